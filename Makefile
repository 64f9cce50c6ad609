# Two commands on a fresh machine:  make demo   make test
# Both make their own virtual environment. PYTHON chooses the interpreter (>= 3.11) and
# TORCH the build of torch, e.g. make demo TORCH=torch to take the newest.
PYTHON ?= python3
TORCH ?= torch==2.13.0
DEMO := .venv
TEST := .venv-test

.PHONY: demo test format bench clean

demo: $(DEMO)/.installed
	PATH="$(CURDIR)/$(DEMO)/bin:$$PATH" sh examples/demo.sh

test: $(TEST)/.installed
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	$(TEST)/bin/pytest

format: $(TEST)/.installed
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

bench: $(DEMO)/.installed
	$(DEMO)/bin/python benchmarks/end_to_end.py

$(DEMO)/.installed: pyproject.toml
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet "$(TORCH)"
	$(DEMO)/bin/pip install --quiet --editable .
	touch $@

$(TEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet "$(TORCH)"
	$(TEST)/bin/pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf $(DEMO) $(TEST) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
