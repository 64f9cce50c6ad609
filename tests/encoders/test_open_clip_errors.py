"""open_clip models that are not here, do not fit, or are damaged."""

import json
import pickle

import open_clip_tiny
import pytest
import torch
from open_clip_tiny import CONFIG, snapshot
from pickles import Code
from safetensors.torch import save_file

from reactions.core.errors import DataError, MissingError
from reactions.encoders import registry

pytest.importorskip("open_clip")

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module", autouse=True)
def _tiny(tmp_path_factory):
    with open_clip_tiny.known(tmp_path_factory.mktemp("configs")):
        yield


@pytest.fixture(scope="module")
def state():
    return open_clip_tiny.state()


@pytest.fixture
def checkpoint(tmp_path, state):
    return open_clip_tiny.save(tmp_path / "epoch_9.pt", state)


class TestErrors:
    @pytest.mark.parametrize(
        ("uri", "what", "fix"),
        [
            ("open_clip:Tiny16/two_b", "no architecture 'Tiny16'", "'Tiny-16'"),
            ("open_clip:Tiny-16/twob", "no weights 'twob' for Tiny-16", "'two_b'"),
            ("open_clip:Tiny-16", "names no weights", "TAG"),
            ("open_clip:", "no architecture ''", "ARCH/TAG"),
            ("open_clip:./gone", "no open_clip model at 'gone'", "open_clip_config.json"),
            ("open_clip:Tiny-16/two_b?size=4", "unknown option 'size'", "like"),
            ("open_clip:Tiny-16/two_b?precision=int8", "unknown precision", "fp32"),
            ("open_clip:Tiny-16/two_b?like=tow_b", "no weights 'tow_b'", "'two_b'"),
        ],
    )
    def test_a_wrong_name_is_answered_with_near_ones(self, uri, what, fix):
        with pytest.raises(MissingError) as caught:
            registry.resolve_uri(uri)
        assert what in caught.value.what
        assert fix in caught.value.fix

    def test_weights_that_are_not_here(self, monkeypatch):
        monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
        for uri, name in (
            ("open_clip:Tiny-16/two_b", "Tiny-16-two_b"),
            ("open_clip:hf-hub:maker/gone", "gone"),
        ):
            with pytest.raises(MissingError) as caught:
                registry.resolve_uri(uri)
            assert caught.value.what == f"no weights for space '{name}'"
            assert caught.value.why == "offline mode is on (MOLSPACE_OFFLINE=1)"
            assert caught.value.fix.startswith(f'molspace spaces fetch "{uri}"')

    def test_a_tokeniser_that_is_not_here(self, state):
        config = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "hf_tokenizer_name": "maker/words"}}
        files = {
            "open_clip_config.json": json.dumps({"model_cfg": config}),
            "open_clip_model.safetensors": state,
        }
        snapshot("maker/wordless", files)
        with pytest.raises(MissingError, match="no tokeniser for space 'wordless'"):
            registry.resolve_uri("open_clip:hf-hub:maker/wordless")

    @pytest.mark.parametrize("suffix", ["pt", "safetensors"])
    def test_keys_and_shapes_that_do_not_fit(self, suffix, state, tmp_path):
        wrong = {k: v for k, v in state.items() if k != "visual.proj"}
        wrong["visual.extra"] = torch.zeros(1)
        wrong["text_projection"] = torch.zeros(3, 5)
        path = tmp_path / f"wrong.{suffix}"
        save_file(wrong, path) if suffix == "safetensors" else torch.save(wrong, path)
        with pytest.raises(DataError) as caught:
            registry.load(registry.resolve_uri(f"open_clip:Tiny-16/{path}"))
        why = caught.value.why
        assert "1 missing: visual.proj" in why
        assert "1 unexpected: visual.extra" in why
        assert "1 of another shape: text_projection is (3, 5), not (16, 16)" in why

    def test_a_pickle_with_code_is_refused_and_not_run(self, tmp_path, capsys):
        bad = tmp_path / "bad.pt"
        torch.save({"state_dict": Code()}, bad)
        old = tmp_path / "old.pt"
        old.write_bytes(pickle.dumps(Code(), protocol=2))
        for path in (bad, old):
            with pytest.raises(DataError, match="holds more than tensors"):
                registry.load(registry.resolve_uri(f"open_clip:Tiny-16/{path}"))
        assert "ran" not in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["cut.pt", "cut.safetensors", "empty.pt", "list.pt"])
    def test_damaged_files(self, name, state, tmp_path, checkpoint):
        path = tmp_path / name
        if name == "cut.pt":
            path.write_bytes(checkpoint.read_bytes()[:5000])
        elif name == "cut.safetensors":
            save_file(state, path)
            path.write_bytes(path.read_bytes()[:5000])
        elif name == "list.pt":
            torch.save([1, 2], path)
        else:
            path.write_bytes(b"")
        with pytest.raises(DataError, match=r"cannot read the|is not a checkpoint"):
            registry.load(registry.resolve_uri(f"open_clip:Tiny-16/{path}"))

    def test_a_damaged_configuration(self, state):
        for i, text in enumerate(("{", '{"model_cfg": {}}', '{"model_cfg": {"embed_dim": "x"}}')):
            files = {"open_clip_config.json": text, "open_clip_model.safetensors": state}
            snapshot(f"maker/damaged-{i}", files)
            with pytest.raises(DataError, match="cannot read"):
                registry.resolve_uri(f"open_clip:hf-hub:maker/damaged-{i}")

    @pytest.mark.parametrize(
        ("tower", "changes", "what", "fix"),
        [
            (
                "vision_cfg",
                {"timm_model_name": "vit_base_patch16_22"},
                "unknown architecture 'vit_base_patch16_22' of the image tower",
                "'vit_base_patch16_224'",
            ),
            ("vision_cfg", {"timm_model_name": "hf-hub:maker/x"}, "unknown architecture", "timm."),
            ("vision_cfg", {"layer": 3}, "cannot build space 'odd'", "correct the configuration"),
            ("text_cfg", {"pool_type": "max"}, "cannot build space 'odd'", "update open_clip"),
        ],
    )
    def test_an_architecture_that_is_not_there(self, tower, changes, what, fix, state, tmp_path):
        folder = tmp_path / "odd"
        folder.mkdir()
        config = {**CONFIG, tower: {**CONFIG[tower], **changes}}
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
        save_file(state, folder / "open_clip_model.safetensors")
        with pytest.raises(DataError) as caught:
            registry.load(registry.resolve_uri(f"open_clip:{folder}"))
        assert what in caught.value.what
        assert fix in caught.value.fix

    def test_weights_that_changed_since(self, checkpoint, state, tmp_path):
        spec = registry.resolve_uri(f"open_clip:Tiny-16/{checkpoint}")
        torch.save({k: v + 1 for k, v in state.items()}, checkpoint)
        with pytest.raises(DataError, match="changed"):
            registry.load(spec)
        checkpoint.unlink()
        for act in (registry.load, registry.check):
            with pytest.raises(MissingError, match="there is no file"):
                act(spec)
