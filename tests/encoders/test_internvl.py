"""InternVL-C, by a tiny stand-in repository."""

import json
import shutil
import sys

import hf_tiny
import numpy as np
import pytest
import torch
from internvl_tiny import COMMIT, DIM, MODELING, PINNED, REPO, forget, isolate, write
from other_device import assert_same_on

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.left_out import gathered, longer_than
from reactions.core.types import Item, StagedEncoder
from reactions.encoders import registry
from reactions.encoders.flops import transformer_flops
from reactions.encoders.official import probes
from reactions.encoders.official.comparison import compare
from reactions.encoders.official.packages import choose
from reactions.encoders.transformers import internvl
from reactions.weights.hub import code_digest, trust
from reactions.weights.locate import WeightLocator

PIN = f"{REPO}@{COMMIT}"
"""What a person names so that the code of the repository may run."""

transformers = pytest.importorskip("transformers")

CAPTIONS = ["a red square", "", "two dogs barking, " * 9]


@pytest.fixture(autouse=True)
def _untouched(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path / "modules")
    yield
    forget()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The files of a repository, made by its own code."""
    folder = tmp_path_factory.mktemp("tinyvl")
    return folder, write(folder)


@pytest.fixture
def repository(original):
    """The repository in the hub's cache of this test; return its snapshot."""
    folder = WeightLocator.of_environment().hub / ("models--" + REPO.replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    shutil.copytree(original[0], folder / "snapshots" / COMMIT)
    return folder / "snapshots" / COMMIT


def items(modality, values):
    return [Item(str(i), modality, value) for i, value in enumerate(values)]


def unit(rows):
    return torch.nn.functional.normalize(rows.detach().float(), dim=-1).numpy()


class TestEncoder:
    @pytest.mark.parametrize(("option", "bound"), [("", 2e-2), ("?precision=fp32", 1e-4)])
    def test_it_embeds_as_by_transformers_and_the_repositorys_own_calls(
        self, repository, monkeypatch, tmp_path, option, bound
    ):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        spec = registry.resolve_uri(PINNED + option)
        probed = probes.generated(tmp_path, spec.modalities)
        actual = compare(spec, choose("transformers", spec), probed)
        pinned = [agreement for agreement in actual.agreements if agreement.setting == "pinned"]
        assert [(agreement.modality, agreement.items, agreement.bound) for agreement in pinned] == [
            ("image", len(probes.PICTURES), bound),
            ("text", len(probes.TEXTS), bound),
        ]
        assert all(
            agreement.verdict == "agrees" and agreement.cosine > 0.9999 for agreement in pinned
        )
        assert pinned[0].difference <= 1e-6  # the same pixels, the same network

    def test_captions_are_as_the_model_card_says(self, repository, original, monkeypatch):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        encoder = registry.load(registry.resolve_uri(PINNED))
        assert isinstance(encoder, StagedEncoder)
        letters = {c: i + 3 for i, c in enumerate("abcdefghijklmnopqrstuvwxyz: ,")}
        ids = torch.zeros(3, 80, dtype=torch.long)  # padded with 0 to 80
        for row, caption in zip(ids, CAPTIONS, strict=True):
            tokens = [1, *[letters[c] for c in f"summarize:{caption}"][:78], 2]
            row[: len(tokens)] = torch.tensor(tokens)
        assert ids[2, -1] == 2  # the longest is cut, and still ended
        reference = unit(original[1].encode_text(ids))
        actual = encoder.embed("text", items("text", CAPTIONS))
        # Padded less here: other sums, in bfloat16.
        assert ((actual * reference).sum(axis=1) > 0.9999).all()
        prepared = [encoder.preprocess("text", item) for item in items("text", CAPTIONS)]
        for row, have in zip(ids, prepared, strict=True):
            np.testing.assert_array_equal(row[: len(have)], have)
            assert not row[len(have) :].any()

    def test_captions_beyond_80_tokens_are_noted(self, repository, monkeypatch):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        encoder = registry.load(registry.resolve_uri(PINNED))
        room = 80 - 2 - len("summarize:")  # a letter a token
        for length, n_noted in ((room, 0), (room + 1, 1)):
            with gathered() as notes:
                encoder.preprocess("text", Item("x", "text", "a" * length))
            assert [note.clause for note in notes] == [longer_than("80 tokens")] * n_noted

    def test_another_precision(self, repository, monkeypatch):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        exact, half = (registry.resolve_uri(PINNED + o) for o in ("?precision=fp32", ""))
        assert half == registry.resolve_uri(f"{PINNED}?precision=bf16")
        assert exact.source.endswith("?precision=fp32")
        assert exact.identity("text") != half.identity("text")
        a, b = (registry.load(s).embed("text", items("text", CAPTIONS)) for s in (exact, half))
        assert not np.array_equal(a, b)
        assert ((a * b).sum(axis=1) > 0.995).all()  # eight bits of mantissa


class TestDescription:
    def test_it_runs_nothing(self, repository):
        spec = registry.resolve_uri(PINNED)
        assert (spec.name, spec.dim, spec.adapter) == ("TinyVL-224px", DIM, "internvl")
        assert (spec.source, spec.revision, spec.licence) == (PINNED, COMMIT, "mit")
        tags = dict(spec.preprocessing)
        assert tags["image"].startswith("shortest-bicubic-32x32-")
        assert tags["image"].endswith("-bf16")
        assert tags["text"].startswith("summarize-tokens-")
        assert tags["text"].endswith("-truncate80-1-bf16")
        assert not [name for name in sys.modules if name.startswith("transformers_modules")]

    def test_its_cost_follows_from_its_configuration(self, repository):
        path = repository / "config.json"
        config = json.loads(path.read_text())
        config["force_image_size"] = 32
        config["vision_config"] = {
            "hidden_size": 32,
            "image_size": 448,
            "intermediate_size": 96,
            "num_hidden_layers": 5,
            "patch_size": 8,
        }
        config["qllama_config"] = {
            "hidden_size": 16,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
        }
        path.write_text(json.dumps(config))
        actual = dict(registry.resolve_uri(PINNED).flops_per_item)
        # A layer: 4 matrices of attention, 2 of the perceptron, or 3 where it is gated.
        image, text = 4 * 32**2 + 2 * 32 * 96, 4 * 16**2 + 3 * 16 * 48
        patches, tokens = 4 * 4 + 1, 80
        assert actual["image"] == 2 * 5 * patches * (image + 2 * patches * 32)
        assert actual["text"] == 2 * 3 * tokens * (text + 2 * tokens * 16)

    def test_what_the_configuration_leaves_out_is_as_published(self, repository):
        actual = dict(registry.resolve_uri(PINNED).flops_per_item)
        # 32 pixels and patches of 14 here; else InternViT-6B, and LLaMA-7B's shape.
        assert actual["image"] == transformer_flops(layers=48, width=3200, tokens=5)
        assert actual["text"] == pytest.approx(2 * 80 * 6.5e9, rel=0.02)

    def test_its_code_is_part_of_what_it_is(self, repository):
        before = registry.resolve_uri(f"hf:{repository}")
        with (repository / "modeling_tinyvl.py").open("a") as stream:
            stream.write("# changed\n")
        after = registry.resolve_uri(f"hf:{repository}")
        assert before.weights_digest != after.weights_digest

    def test_a_chat_model_of_the_family_is_refused(self, repository):
        path = repository / "config.json"
        config = json.loads(path.read_text())
        for absent_key in ("clip_embed_dim", "auto_map"):
            path.write_text(json.dumps({k: v for k, v in config.items() if k != absent_key}))
            with pytest.raises(DataError, match="only InternVL-C"):
                registry.resolve_uri(PINNED)


class TestTrust:
    def test_without_it_nothing_runs(self, repository):
        spec = registry.resolve_uri(PINNED)
        for act in (registry.check, registry.load):
            with pytest.raises(UsageError, match="runs code that comes with its weights") as caught:
                act(spec)
            error = caught.value
            assert f"{REPO} at revision {COMMIT}" in error.why
            assert "modeling_tinyvl.py" in error.why
            assert "--trust-remote-code" in error.fix
            assert f"{internvl.TRUST_VARIABLE}={REPO}@{COMMIT}" in error.fix
            assert (error.fields["repository"], error.fields["revision"]) == (REPO, COMMIT)
            assert error.exit_code == 2
        assert not [name for name in sys.modules if name.startswith("transformers_modules")]

    @pytest.mark.parametrize("word", ["1", f"{REPO}@main", REPO, f"other/name@{COMMIT}"])
    def test_a_branch_is_not_enough(self, repository, monkeypatch, word):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, word)
        for uri in (f"hf:{REPO}", f"hf:{REPO}@main", f"hf:{REPO}?precision=fp32"):
            with pytest.raises(UsageError, match="has to be pinned") as caught:
                registry.resolve_uri(uri)
            assert PINNED in caught.value.fix

    def test_naming_the_commit_pins_it(self, repository, monkeypatch):
        other = f"other/name@{COMMIT}"
        monkeypatch.setenv(internvl.TRUST_VARIABLE, f"{other}, {REPO}@{COMMIT}")
        spec = registry.resolve_uri(f"hf:{REPO}")
        assert spec.source == PINNED
        registry.check(spec)
        assert registry.load(spec).embed("text", items("text", CAPTIONS)).shape == (3, DIM)
        monkeypatch.setenv(internvl.TRUST_VARIABLE, other)
        with pytest.raises(UsageError, match="runs code"):
            registry.load(spec)
        monkeypatch.setenv(internvl.TRUST_VARIABLE, f"{REPO}@{'f' * 40}")
        with pytest.raises(MissingError):  # that commit is not here, and no other will do
            registry.resolve_uri(f"hf:{REPO}")

    @pytest.mark.parametrize("word", ["1", "yes", "ON", REPO, f"{REPO}@main"])
    def test_a_commit_that_only_the_uri_names_is_not_enough(self, repository, monkeypatch, word):
        """A lab file or a bundle may have written the URI."""
        monkeypatch.setenv(internvl.TRUST_VARIABLE, word)
        spec = registry.resolve_uri(PINNED)
        for act in (registry.check, registry.load):
            with pytest.raises(UsageError, match="runs code") as caught:
                act(spec)
            assert PIN in caught.value.fix
        assert not [name for name in sys.modules if name.startswith("transformers_modules")]

    def test_a_folder_of_ones_own_needs_its_digest(self, original, monkeypatch):
        spec = registry.resolve_uri(f"hf:{original[0]}")
        for word in ("yes", "1", str(original[0]), f"{original[0]}@sha256:{'0' * 64}"):
            monkeypatch.setenv(internvl.TRUST_VARIABLE, word)
            with pytest.raises(UsageError, match="at no revision") as caught:
                registry.load(spec)
            assert not [name for name in sys.modules if name.startswith("transformers_modules")]
        pin = caught.value.fields["pin"]
        assert pin == f"{original[0]}@sha256:{code_digest(original[0])}"
        assert f"--trust-remote-code {pin} " in caught.value.fix
        trust([pin])
        registry.load(spec)
        locator = WeightLocator.of_environment({"InternVL": original[0]})
        spec_by_name = registry.resolve_uri(f"hf:{REPO}", name="InternVL", locator=locator)
        assert spec_by_name.source == spec.source
        (original[0] / "helper.py").write_text("raise SystemExit('ran')\n")
        with pytest.raises(UsageError, match="runs code"):
            registry.load(registry.resolve_uri(f"hf:{original[0]}"))

    def test_code_that_lies_elsewhere_is_refused(self, repository, monkeypatch):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        path = repository / "config.json"
        config = json.loads(path.read_text())
        for reference, kind in (
            ("other/repo--modeling.X", UsageError),
            ("../modeling_tinyvl.X", UsageError),
            ("/tmp/modeling_tinyvl.X", UsageError),
            ("gone.X", MissingError),
        ):
            config["auto_map"]["AutoModel"] = reference
            path.write_text(json.dumps(config))
            for uri in (PINNED, f"hf:{repository}"):
                with pytest.raises(kind, match="not all in its repository") as caught:
                    registry.load(registry.resolve_uri(uri))
                assert caught.value.fix
        assert f"put gone.py of the original repository into {repository}" in caught.value.fix

    def test_code_that_changed_since_is_not_run(self, repository, monkeypatch):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        spec = registry.resolve_uri(PINNED)
        (repository / "modeling_tinyvl.py").write_text("raise SystemExit('ran')\n")
        with pytest.raises(DataError, match="changed"):
            registry.load(spec)


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "kind", "message"),
        [
            ("import no_such_package_at_all\n", MissingError, "no_such_package_at_all"),
            ("raise ValueError('too old')\n", DataError, "ValueError: too old"),
            ("x = 1\n", DataError, "written for transformers 4.36.2"),
        ],
    )
    def test_code_that_does_not_work(self, code, kind, message, repository, monkeypatch):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        (repository / "modeling_tinyvl.py").write_text(code)
        with pytest.raises(kind) as caught:
            registry.load(registry.resolve_uri(PINNED))
        assert message in str(caught.value)

    def test_what_the_code_prints_stays_off_stdout(self, repository, monkeypatch, capsys):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        with (repository / "modeling_tinyvl.py").open("a") as stream:
            stream.write("print('FlashAttention is not installed.')\n")
        registry.load(registry.resolve_uri(PINNED))
        printed = capsys.readouterr()
        assert (printed.out, printed.err) == ("", "FlashAttention is not installed.\n")

    def test_a_model_without_the_call_surface(self, repository, monkeypatch):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        path = repository / "modeling_tinyvl.py"
        path.write_text(MODELING.replace("def encode_text", "def something_else"))
        with pytest.raises(DataError, match="its model has no encode_text"):
            registry.load(registry.resolve_uri(PINNED))

    def test_keys_that_do_not_fit(self, repository, monkeypatch):
        monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
        path = repository / "pytorch_model.bin"
        state = torch.load(path, weights_only=True)
        state["more"] = state.pop("words.weight")
        state["patches.bias"] = torch.zeros(3)
        torch.save(state, path)
        with pytest.raises(DataError) as caught:
            registry.load(registry.resolve_uri(PINNED))
        reported = (
            "1 missing: words.weight; 1 unexpected: more; 1 of another shape: patches.bias is (3)"
        )
        assert reported in caught.value.why

    def test_a_repository_that_is_not_here(self, monkeypatch):
        monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
        with pytest.raises(MissingError, match="offline mode is on"):
            registry.resolve_uri(PINNED)


def test_cuda_gives_the_same(cuda, repository, monkeypatch, tmp_path):
    monkeypatch.setenv(internvl.TRUST_VARIABLE, PIN)
    encoder = registry.load(registry.resolve_uri(PINNED))
    photos, captions = items("image", hf_tiny.save_pictures(tmp_path)), items("text", CAPTIONS)
    # The model computes in bfloat16: eight bits.
    assert_same_on(cuda, encoder, {"image": photos, "text": captions}, atol=2e-2)
