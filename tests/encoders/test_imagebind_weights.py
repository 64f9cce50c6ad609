import json
import os
import pickle
import struct

import imagebind_toy as toy
import pytest
import torch
from safetensors.torch import save_file

from reactions.core.errors import DataError, MissingError
from reactions.core.types import Item
from reactions.encoders.imagebind import checkpoint
from reactions.encoders.imagebind.adapter import ImageBindAdapter, describe
from reactions.encoders.imagebind.sizes import HUGE
from reactions.encoders.imagebind.towers import ImageBind

ADAPTER = ImageBindAdapter()

STEM = "modality_preprocessors.audio.rgbt_stem.proj.weight"
BIAS = "modality_trunks.audio.blocks.1.attn.bias_k"
HEAD = "modality_heads.vision.2.weight"


def open_toy(path, *modalities, **options):
    spec = toy.spec(path, *(modalities or ("audio", "image")))
    return ImageBindAdapter(toy.HEADS).load(spec, **options)


def changed(tmp_path, suffix=".pth", **changes):
    """Write the toy with some keys changed; None takes one away."""
    contents = toy.state()
    for key, value in changes.items():
        if value is None:
            del contents[key]
        else:
            contents[key] = value
    return toy.write(tmp_path / f"x{suffix}", contents)


class Hostile:
    """Leaves a trace where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class TestSources:
    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_both_formats_give_the_same(self, tmp_path, suffix):
        encoder = open_toy(toy.write(tmp_path / f"x{suffix}"))
        expected = ImageBind(toy.SIZES)
        expected.load_state_dict(toy.state())
        features = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            rows = torch.nn.functional.normalize(expected("image", features), dim=-1)
        actual = encoder.forward("image", list(features.numpy()))
        torch.testing.assert_close(torch.from_numpy(actual), rows)

    def test_the_format_before_archives(self, tmp_path):
        torch.save(toy.state(), tmp_path / "x.pth", _use_new_zipfile_serialization=False)
        open_toy(tmp_path / "x.pth")

    def test_the_suffix_does_not_matter(self, tmp_path):
        path = toy.write(tmp_path / "x.safetensors").rename(tmp_path / "x.bin")
        open_toy(path)

    def test_a_folder(self, tmp_path):
        toy.write(tmp_path / "imagebind_huge.pth")
        open_toy(tmp_path)

    def test_heads_are_reported_by_the_file(self, tmp_path):
        ADAPTER.load(toy.spec(toy.write(tmp_path / "x.safetensors")))

    def test_sixteen_bit_weights_are_widened(self, tmp_path):
        contents = {key: value.half() for key, value in toy.state().items()}
        encoder = open_toy(toy.write(tmp_path / "x.pth", contents))
        assert encoder.forward("image", [torch.zeros(3, 224, 224).numpy()]).dtype == "float32"

    @pytest.mark.parametrize("source", ["nothing.pth", ""])
    def test_missing(self, tmp_path, source):
        with pytest.raises(MissingError, match="no weights for space 'ImageBind'") as caught:
            open_toy(tmp_path / source)
        assert caught.value.exit_code == 3
        assert "--weights ImageBind=PATH" in caught.value.fix
        assert str(tmp_path) in "\n".join(caught.value.lines())

    def test_another_digest(self, tmp_path):
        path = toy.write(tmp_path / "x.pth")
        with pytest.raises(DataError, match="changed"):
            ImageBindAdapter(toy.HEADS).load(toy.spec(path, weights_digest="0" * 64))

    def test_another_dim(self, tmp_path):
        spec = toy.spec(toy.write(tmp_path / "x.safetensors"))
        with pytest.raises(DataError, match="do not fit") as caught:
            ADAPTER.load(
                type(spec)(**{f: getattr(spec, f) for f in spec.__slots__} | {"dim": 1024})
            )
        assert "24 dimensions, not 1024" in caught.value.why


class TestKeys:
    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_every_fault_is_named(self, tmp_path, suffix):
        path = changed(
            tmp_path,
            suffix,
            **{STEM: None, BIAS: torch.zeros(1, 1, 23), "model.extra": torch.zeros(1)},
        )
        with pytest.raises(DataError, match="do not fit its model") as caught:
            open_toy(path)
        error = caught.value
        assert error.fields["missing"] == [STEM]
        assert error.fields["unexpected"] == ["model.extra"]
        assert error.fields["mismatched"] == [[BIAS, "1, 1, 23", "1, 1, 24"]]
        for words in (STEM, "model.extra", BIAS, "(1, 1, 23)", "(1, 1, 24)"):
            assert words in error.why

    @pytest.mark.parametrize("key", ["modality_trunks.audio.blocks.0.norm_1.weight", HEAD])
    def test_a_wrong_width_is_blamed_on_its_key_alone(self, tmp_path, key):
        value = toy.state()[key]
        path = changed(tmp_path, **{key: torch.zeros(value.shape[0] + 1, *value.shape[1:])})
        with pytest.raises(DataError) as caught:
            open_toy(path, "audio", "image", "thermal")
        assert [entry[0] for entry in caught.value.fields["mismatched"]] == [key]
        assert not caught.value.fields["missing"]

    def test_integers_are_no_weights(self, tmp_path):
        path = changed(tmp_path, **{BIAS: torch.zeros(1, 1, 24, dtype=torch.int64)})
        with pytest.raises(DataError, match="do not fit its model") as caught:
            open_toy(path)
        assert caught.value.fields["mismatched"] == [[BIAS, "not of floats", "1, 1, 24"]]

    def test_a_prefix_of_parallel_training_is_taken_off(self, tmp_path):
        contents = {f"module.{key}": value for key, value in toy.state().items()}
        open_toy(toy.write(tmp_path / "x.pth", contents))

    def test_another_model(self, tmp_path):
        contents = {f"visual.{i}": torch.zeros(1) for i in range(9)}
        with pytest.raises(DataError, match="no audio tower") as caught:
            open_toy(toy.write(tmp_path / "x.pth", contents))
        assert "visual.0" in caught.value.why
        assert "3 more" in caught.value.why

    def test_a_tower_that_is_not_there(self, tmp_path):
        contents = {key: value for key, value in toy.state().items() if ".depth." not in key}
        with pytest.raises(DataError, match="no depth tower") as caught:
            open_toy(toy.write(tmp_path / "x.pth", contents), "depth")
        assert "audio, imu, text, thermal, vision" in caught.value.why

    def test_unused_towers_may_be_damaged_or_missing(self, tmp_path):
        contents = {
            key: torch.zeros(1) if ".thermal." in key else value
            for key, value in toy.state().items()
            if ".imu." not in key and ".depth." not in key and ".text." not in key
        }
        open_toy(toy.write(tmp_path / "x.pth", contents))

    @pytest.mark.parametrize(
        "key",
        ["modality_trunks.smell.blocks.0.norm_1.weight", "modality_trunks.audio.blocks.0.extra"],
    )
    def test_only_towers_known_by_name_are_passed_over(self, tmp_path, key):
        with pytest.raises(DataError) as caught:
            open_toy(changed(tmp_path, **{key: torch.ones(4)}))
        assert caught.value.fields["unexpected"] == [key]

    def test_a_block_too_few(self, tmp_path, monkeypatch):
        key = "modality_trunks.vision.blocks."
        with torch.device("meta"):
            full = ImageBind(HUGE, ("image",)).state_dict()
        # One number, spread over the shape: a file that claims that is refused as it is read.
        contents = {
            name: torch.zeros(1).expand(value.shape)
            for name, value in full.items()
            if not name.startswith(f"{key}31.")
        }
        monkeypatch.setattr(checkpoint, "read_tensors", lambda path: contents)
        with pytest.raises(DataError) as caught:
            describe(toy.write(tmp_path / "x.pth", {}), modalities=["image"])
        assert len(caught.value.fields["missing"]) == 12
        assert all(name.startswith(f"{key}31.") for name in caught.value.fields["missing"])

    def test_the_causal_mask_is_optional(self, tmp_path):
        pytest.importorskip("ftfy")
        path = changed(tmp_path, **{"modality_preprocessors.text.mask": None})
        encoder = open_toy(path, "text")
        assert encoder.embed("text", [Item("x", "text", "a cat")]).shape == (1, 24)

    def test_heads_of_an_unknown_size(self, tmp_path):
        path = toy.write(tmp_path / "x.pth")
        with pytest.raises(DataError, match="attention heads of the audio tower") as caught:
            ADAPTER.load(toy.spec(path))
        assert "24, not the 768" in caught.value.why
        with pytest.raises(DataError, match="cannot have 5 heads"):
            ImageBindAdapter({**toy.HEADS, "audio": 5}).load(toy.spec(path))


class TestDamage:
    def refused(self, path, match):
        with pytest.raises(DataError) as caught:
            open_toy(path)
        assert caught.value.fields["path"] == str(path)
        assert match in caught.value.why
        assert "weights_only" not in caught.value.why

    @pytest.mark.parametrize("archive", [True, False])
    def test_code_is_refused_and_not_run(self, tmp_path, archive):
        trace = tmp_path / "trace"
        path = tmp_path / "x.pth"
        torch.save(
            {**toy.state(), "bomb": Hostile(trace)}, path, _use_new_zipfile_serialization=archive
        )
        self.refused(path, "unpickling it would call posix.mkdir")
        assert not trace.exists()

    def test_a_bare_pickle_with_code(self, tmp_path):
        trace = tmp_path / "trace"
        path = tmp_path / "x.pth"
        path.write_bytes(pickle.dumps(Hostile(trace)))
        with pytest.raises(DataError, match=r"cannot read the|is not a checkpoint"):
            open_toy(path)
        assert not trace.exists()

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    @pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
    def test_cut_short(self, tmp_path, suffix, share):
        path = toy.write(tmp_path / f"x{suffix}")
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(DataError, match=r"cannot read the|is not a checkpoint"):
            open_toy(path)

    @pytest.mark.parametrize(
        ("contents", "why"),
        [
            ([torch.zeros(2)], "no dictionary of tensors"),
            (torch.zeros(2), "no dictionary of tensors"),
            ({}, "no dictionary of tensors"),
            ({"model": {}, "epoch": 3}, "these are not tensors: model, epoch"),
        ],
    )
    def test_other_contents(self, tmp_path, contents, why):
        torch.save(contents, tmp_path / "x.pth")
        self.refused(tmp_path / "x.pth", why)

    @pytest.mark.parametrize("junk", [b"", b"PK\x03\x04", b"junk" * 100, b"\x80\x02."])
    def test_junk(self, tmp_path, junk):
        (tmp_path / "x.pth").write_bytes(junk)
        with pytest.raises(DataError, match=r"cannot read the|is not a checkpoint"):
            open_toy(tmp_path / "x.pth")

    @pytest.mark.parametrize("heads", ["[]", "{", '{"heads": 3}', '{"heads": {"audio": "x"}}'])
    def test_bad_metadata(self, tmp_path, heads):
        save_file(toy.state(), tmp_path / "x.safetensors", {"molspace": heads})
        with pytest.raises(DataError, match=r"cannot read the|is not a checkpoint"):
            ADAPTER.load(toy.spec(tmp_path / "x.safetensors"))

    def test_a_header_that_lies(self, tmp_path):
        path = toy.write(tmp_path / "x.safetensors")
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        header[STEM]["shape"] = [10**9, 10**9]
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        with pytest.raises(DataError, match=r"cannot read the|is not a checkpoint"):
            open_toy(path)

    def test_weights_without_storage(self, tmp_path):
        path = changed(tmp_path, **{BIAS: torch.zeros(1, 1, 24, device="meta")})
        with pytest.raises(DataError) as caught:
            open_toy(path)
        # Refused as the file is read, before it is held against the network.
        assert caught.value.why == "it holds a tensor that is sparse, quantised or without numbers"
