"""transformers: what is wrong with a repository is told, and nothing of it runs."""

import json

import pytest
import torch
from hf_tiny import CAPTIONS, items, opened
from pickles import Code
from safetensors.torch import load_file, save_file

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.extras import install_extra
from reactions.encoders import registry
from reactions.encoders.transformers import clip

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("no_network")


class TestErrors:
    def test_keys_and_shapes_that_do_not_fit(self, hf_copied):
        folder = hf_copied()
        state = load_file(folder / "model.safetensors")
        del state["visual_projection.weight"]
        state["extra"] = torch.zeros(2)
        state["text_projection.weight"] = torch.zeros(3, 4)
        save_file(state, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(DataError) as caught:
            opened(f"hf:{folder}")
        assert "1 missing: visual_projection.weight" in caught.value.why
        assert "1 unexpected: extra" in caught.value.why
        assert (
            "1 of another shape: text_projection.weight is (3, 4), not (24, 16)" in caught.value.why
        )

    def test_a_pickle_with_code_is_refused_and_not_run(self, hf_copied, capsys):
        folder = hf_copied()
        (folder / "model.safetensors").unlink()
        torch.save({"visual_projection.weight": Code()}, folder / "pytorch_model.bin")
        with pytest.raises(DataError, match="holds more than tensors"):
            opened(f"hf:{folder}")
        assert "ran" not in capsys.readouterr().out

    def test_code_that_comes_with_a_repository_is_not_run(self, hf_copied):
        folder = hf_copied()
        (folder / "evil.py").write_text("raise SystemExit('ran')\n")
        for name in ("config.json", "tokenizer_config.json"):
            actual = json.loads((folder / name).read_text())
            actual["auto_map"] = {
                "AutoConfig": "evil.X",
                "AutoModel": "evil.X",
                "AutoTokenizer": ["evil.X", "evil.X"],
            }
            (folder / name).write_text(json.dumps(actual))
        rows = opened(f"hf:{folder}").embed("text", items("text", CAPTIONS))
        assert rows.shape == (4, 24)

    @pytest.mark.parametrize("damage", ["cut", "empty"])
    def test_damaged_weights(self, damage, hf_copied):
        folder = hf_copied()
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:900] if damage == "cut" else b"")
        with pytest.raises(DataError, match="cannot read the weights"):
            opened(f"hf:{folder}")

    def test_weights_that_are_not_finite_are_reported(self, hf_copied):
        folder = hf_copied()
        state = load_file(folder / "model.safetensors")
        state["text_projection.weight"][:] = float("nan")
        save_file(state, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(DataError, match="4 of 4 are zero or not finite"):
            opened(f"hf:{folder}").embed("text", items("text", CAPTIONS))

    def test_weights_that_changed_since(self, hf_copied):
        folder = hf_copied()
        spec = registry.resolve_uri(f"hf:{folder}")
        state = load_file(folder / "model.safetensors")
        state["logit_scale"] += 1
        save_file(state, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(DataError, match="changed"):
            registry.load(spec)

    def test_another_family_is_named_with_those_that_run(self, hf_copied):
        folder = hf_copied()
        for family in ("blip", ""):
            (folder / "config.json").write_text(json.dumps({"model_type": family}))
            with pytest.raises(DataError, match=f"model_type is '{family}'") as caught:
                registry.resolve_uri(f"hf:{folder}")
            assert caught.value.fix == "run here: clap, clip, internvl, siglip, siglip2"

    @pytest.mark.parametrize(
        ("file", "text", "message"),
        [
            ("config.json", "{", "cannot read"),
            ("config.json", "[]", "holds no JSON object"),
            (
                "config.json",
                '{"model_type": "clip", "projection_dim": "x"}',
                "projection_dim is 'x'",
            ),
            (
                "config.json",
                '{"model_type": "clip", "text_config": 3}',
                "text_config is not an object",
            ),
            ("preprocessor_config.json", "null", "holds no JSON object"),
            ("preprocessor_config.json", '{"crop_size": 48}', "gives 48 x 48 pixels"),
            ("preprocessor_config.json", '{"do_center_crop": false}', "leaves no one size"),
            ("preprocessor_config.json", '{"size": {"longest_edge": 9}}', "leaves no one size"),
            ("preprocessor_config.json", '{"crop_size": 32, "resample": 99}', "IndexError"),
            ("preprocessor_config.json", '{"crop_size": 32, "image_mean": [1]}', "three numbers"),
        ],
    )
    def test_damaged_settings(self, file, text, message, hf_copied):
        folder = hf_copied()
        (folder / file).write_text(text)
        with pytest.raises(DataError, match=message):
            registry.resolve_uri(f"hf:{folder}")

    def test_towers_of_different_width(self, hf_copied):
        folder = hf_copied("siglip")
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["projection_size"] = 16
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(DataError, match="image has 32 dimensions, text has 16"):
            registry.resolve_uri(f"hf:{folder}")

    @pytest.mark.parametrize(
        "file", ["config.json", "preprocessor_config.json", "model.safetensors", "vocab.json"]
    )
    def test_a_missing_part(self, file, hf_copied):
        folder = hf_copied()
        (folder / file).unlink()
        with pytest.raises(MissingError) as caught:
            registry.resolve_uri(f"hf:{folder}")
        assert str(folder) in str(caught.value)

    def test_a_damaged_tokeniser(self, hf_copied):
        folder = hf_copied()
        (folder / "vocab.json").write_text("{")
        with pytest.raises(DataError, match="cannot load the tokeniser of space 'my-clip'"):
            opened(f"hf:{folder}")

    def test_a_repository_that_is_not_here(self, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(MissingError) as caught:
            registry.resolve_uri("hf:maker/gone")
        assert caught.value.why == "offline mode is on (HF_HUB_OFFLINE=1)"
        assert caught.value.fix.startswith('molspace spaces fetch "hf:maker/gone"')
        for uri in ("hf:", "hf:a/b/c", "hf:a b"):
            with pytest.raises(UsageError):
                registry.resolve_uri(uri)
        with pytest.raises(MissingError, match="no folder"):
            registry.resolve_uri("hf:./gone")

    def test_what_is_installed_does_not_fit_together(self, hf_saved, monkeypatch):
        def mismatched(name):
            raise RuntimeError("compiled with different CUDA versions")

        spec = registry.resolve_uri(f"hf:{hf_saved['clip'][0]}")
        from reactions.encoders import packages

        monkeypatch.setattr(packages.importlib, "import_module", mismatched)
        with pytest.raises(MissingError, match="different CUDA versions") as caught:
            clip.HfAdapter().load(spec)
        assert caught.value.fix == install_extra("hf")
