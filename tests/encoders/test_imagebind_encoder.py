import sys
from pathlib import Path

import imagebind_toy as toy
import numpy as np
import pytest
import soundfile
from other_device import assert_same_on
from PIL import Image

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.storage import Blob
from reactions.core.types import Item, StagedEncoder, Waveform
from reactions.encoders import registry
from reactions.encoders.imagebind import checkpoint
from reactions.encoders.imagebind import encoder as encoders
from reactions.encoders.imagebind.adapter import ImageBindAdapter

ADAPTER = ImageBindAdapter()

VALUES = {
    "audio": Waveform(np.sin(np.arange(30_000) / 7).astype(np.float32), 16000),
    "depth": np.sin(np.arange(90_000) / 50).astype(np.float32).reshape(300, 300),
    "image": np.arange(64 * 80 * 3, dtype=np.uint32).reshape(64, 80, 3).astype(np.uint8),
    "imu": np.sin(np.arange(12_000) / 9).astype(np.float32).reshape(6, 2000),
    "thermal": np.arange(64 * 80 * 3, dtype=np.uint32).reshape(64, 80, 3).astype(np.uint8),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return toy.write(tmp_path_factory.mktemp("toy") / "x.safetensors")


@pytest.fixture(scope="module")
def encoder(path):
    return ADAPTER.load(toy.spec(path, *VALUES))


@pytest.fixture(scope="module")
def reader(path):
    pytest.importorskip("ftfy")
    return ADAPTER.load(toy.spec(path, "text"))


def items(modality, n=5):
    """Return n different items."""
    if modality == "audio":
        value = VALUES["audio"]
        return [
            Item(str(i), "audio", Waveform(np.roll(value.samples, 999 * i)[i * 1000 :], 16000))
            for i in range(n)
        ]
    return [Item(str(i), modality, np.roll(VALUES[modality], 17 * i)) for i in range(n)]


class TestEmbeddings:
    def test_it_is_staged(self, encoder):
        assert isinstance(encoder, StagedEncoder)

    @pytest.mark.parametrize("modality", sorted(VALUES))
    def test_unit_rows_in_order(self, encoder, modality):
        rows = encoder.embed(modality, items(modality))
        assert (rows.shape, rows.dtype) == ((5, toy.SIZES.dim), np.float32)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        backwards = encoder.embed(modality, items(modality)[::-1])
        np.testing.assert_allclose(backwards[::-1], rows, atol=1e-5)  # sums in another order
        assert np.abs(rows[0] - rows[1]).max() > 1e-3

    @pytest.mark.parametrize("modality", sorted(VALUES))
    def test_stages_and_batches_do_not_matter(self, encoder, modality, monkeypatch):
        rows = encoder.embed(modality, items(modality))
        prepared = [encoder.preprocess(modality, item) for item in items(modality)]
        np.testing.assert_array_equal(encoder.forward(modality, prepared), rows)
        monkeypatch.setattr(encoders, "_ROWS", {modality: 2})
        np.testing.assert_allclose(encoder.embed(modality, items(modality)), rows, atol=1e-5)

    def test_texts_of_different_lengths(self, reader):
        texts = ["a cat", "", "a dog barks at a cat in the rain", "rain " * 100]
        batch = [Item(text, "text", text) for text in texts]
        rows = reader.embed("text", batch)
        alone = np.stack([reader.embed("text", [item])[0] for item in batch])
        np.testing.assert_allclose(rows, alone, atol=1e-5)
        assert reader.preprocess("text", batch[3]).shape == (77,)
        longer = Item("x", "text", "rain " * 75 + "and more")
        np.testing.assert_allclose(reader.embed("text", [longer])[0], rows[3], atol=1e-5)

    def test_no_items(self, encoder):
        assert encoder.embed("image", []).shape == (0, toy.SIZES.dim)
        assert encoder.forward("image", []).shape == (0, toy.SIZES.dim)

    def test_clips_are_averaged(self, encoder):
        rng = np.random.default_rng(0)
        prepared = rng.normal(0, 1, (3, 1, 128, 204)).astype(np.float32)
        repeated = [np.repeat(clip[None], 3, axis=0) for clip in prepared]
        mean = encoder.forward("audio", repeated).mean(axis=0)
        actual = encoder.forward("audio", [prepared])[0]
        np.testing.assert_allclose(actual, mean / np.linalg.norm(mean), atol=1e-5)

    @pytest.mark.parametrize(
        ("adapter", "close"), [("imagebind_float16", 3e-3), ("imagebind_bfloat16", 3e-2)]
    )
    def test_half_precision_is_near(self, encoder, path, adapter, close):
        rows = encoder.embed("audio", items("audio"))
        half = registry.load(toy.spec(path, "audio", adapter=adapter))
        actual = half.embed("audio", items("audio"))
        assert actual.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(actual, axis=1), 1, atol=1e-5)
        # About ten roundings of 11 and of 8 bits.
        np.testing.assert_allclose(actual, rows, atol=close)
        assert not np.array_equal(actual, rows)


class TestFiles:
    def test_files_and_values_are_the_same(self, encoder, tmp_path):
        soundfile.write(tmp_path / "x.wav", VALUES["audio"].samples / 2, 16000, subtype="FLOAT")
        half = Waveform(VALUES["audio"].samples / 2, 16000)
        Image.fromarray(VALUES["image"]).save(tmp_path / "x.png")
        np.save(tmp_path / "x.npy", VALUES["depth"])
        for modality, name, value in (
            ("audio", "x.wav", half),
            ("image", "x.png", VALUES["image"]),
            ("thermal", "x.png", VALUES["thermal"]),
            ("depth", "x.npy", VALUES["depth"]),
        ):
            np.testing.assert_array_equal(
                encoder.preprocess(modality, Item("x", modality, tmp_path / name)),
                encoder.preprocess(modality, Item("x", modality, value)),
            )

    def test_the_first_channel_is_heard(self, encoder, tmp_path):
        samples = VALUES["audio"].samples / 2
        silent = np.zeros_like(samples)
        soundfile.write(tmp_path / "x.wav", np.stack([samples, silent], 1), 16000, subtype="FLOAT")
        np.testing.assert_array_equal(
            encoder.preprocess("audio", Item("x", "audio", tmp_path / "x.wav")),
            encoder.preprocess("audio", Item("x", "audio", Waveform(samples, 16000))),
        )

    @pytest.mark.parametrize("modality", ["audio", "image", "thermal"])
    def test_members_and_bytes_are_read_like_files(self, encoder, tmp_path, modality):
        path = tmp_path / ("x.wav" if modality == "audio" else "x.png")
        if modality == "audio":
            two = np.stack([VALUES["audio"].samples / 2, np.zeros(30_000, np.float32)], axis=1)
            soundfile.write(path, two, 16000)
        else:
            Image.fromarray(VALUES[modality]).save(path)
        data = path.read_bytes()
        shard = tmp_path / "shard.tar"
        shard.write_bytes(b"..." + data + b"..")
        expected = encoder.preprocess(modality, Item("x", modality, path))
        for value in (data, Blob(str(shard), 3, len(data), path.name)):
            np.testing.assert_array_equal(
                encoder.preprocess(modality, Item("x", modality, value)), expected
            )

    @pytest.mark.parametrize("modality", sorted(VALUES))
    @pytest.mark.parametrize("damage", ["missing", "junk", "empty"])
    def test_what_cannot_be_decoded_is_named(self, encoder, tmp_path, modality, damage):
        path = tmp_path / "x.bin"
        if damage != "missing":
            path.write_bytes(b"" if damage == "empty" else b"junk" * 99)
        with pytest.raises(MediaError) as caught:
            encoder.embed(modality, [Item("fine", modality, path)])
        assert caught.value.fields["id"] == "fine"
        assert caught.value.fields["path"] == str(path)

    def test_no_pickles_in_npy(self, encoder, tmp_path):
        np.save(tmp_path / "x.npy", np.array([Path("x")], dtype=object), allow_pickle=True)
        with pytest.raises(MediaError) as caught:
            encoder.embed("depth", [Item("x", "depth", tmp_path / "x.npy")])
        assert caught.value.fields["id"] == "x"

    def test_a_text_that_is_not_utf8(self, reader, tmp_path):
        (tmp_path / "x.txt").write_bytes(b"\xff\xfe\xff")
        with pytest.raises(MediaError) as caught:
            reader.embed("text", [Item("x", "text", tmp_path / "x.txt")])
        assert caught.value.fields["id"] == "x"

    @pytest.mark.parametrize(
        ("modality", "value"),
        [
            ("audio", None),
            ("audio", np.zeros(16000, np.float32)),
            ("audio", Waveform(np.zeros((2, 16000), np.float32), 16000)),
            ("audio", Waveform(np.zeros(0, np.float32), 16000)),
            ("audio", Waveform(np.zeros(16000, np.float32), 0)),
            ("audio", Waveform(np.zeros(16000, np.float32), 10_000_000)),
            ("audio", Waveform(np.full(16000, np.nan, np.float32), 16000)),
            ("image", "a cat"),
            ("image", np.zeros((4, 4), np.uint8)),
            ("image", np.zeros((1, 5000, 3), np.uint8)),
            ("thermal", np.zeros((4, 4), np.uint8)),
            ("depth", np.zeros((4, 4), np.uint8)),
            ("depth", np.full((4, 4), np.inf, np.float32)),
        ],
    )
    def test_unusable_values_are_named(self, encoder, modality, value):
        good = items(modality, 1)[0]
        with pytest.raises(MediaError, match=f"cannot embed {modality} 'bad'") as caught:
            encoder.embed(modality, [good, Item("bad", modality, value)])
        assert caught.value.fields["id"] == "bad"
        assert caught.value.why

    def test_a_text_that_is_not_a_string(self, reader):
        with pytest.raises(MediaError, match="cannot embed text 'bad'"):
            reader.embed("text", [Item("bad", "text", 3)])


class TestLoading:
    def test_other_modalities(self, encoder):
        for call in (
            lambda: encoder.embed("text", [Item("x", "text", "a cat")]),
            lambda: encoder.preprocess("text", Item("x", "text", "a cat")),
            lambda: encoder.forward("text", [np.array([1, 2])]),
        ):
            with pytest.raises(DataError, match="does not embed text"):
                call()
        with pytest.raises(DataError, match="ImageBind does not embed smell"):
            ADAPTER.load(toy.spec(Path(encoder.spec.source), "audio", "smell"))

    def test_towers_are_brought_when_used(self, path, monkeypatch):
        brought = []
        bring = checkpoint.LazyTowers._bring
        monkeypatch.setattr(
            checkpoint.LazyTowers, "_bring", lambda self, m: brought.append(m) or bring(self, m)
        )
        fresh = ADAPTER.load(toy.spec(path, "audio", "image"))
        assert not brought
        fresh.embed("image", items("image", 2))
        fresh.embed("image", items("image", 1))
        assert brought == ["image"]

    def test_it_is_deterministic(self, path):
        first, second = (ADAPTER.load(toy.spec(path, "audio")) for _ in range(2))
        np.testing.assert_array_equal(
            first.embed("audio", items("audio")), second.embed("audio", items("audio"))
        )

    @pytest.mark.parametrize("value", [0.0, float("nan")])
    def test_useless_embeddings_are_named(self, tmp_path, value):
        contents = toy.state()
        contents["modality_heads.vision.2.weight"].fill_(value)
        broken = ADAPTER.load(toy.spec(toy.write(tmp_path / "x.safetensors", contents), "image"))
        with pytest.raises(DataError, match="no usable embedding for image '0'") as caught:
            broken.embed("image", items("image", 1))
        assert caught.value.fields["id"] == "0"

    def test_text_needs_a_package(self, path, monkeypatch):
        monkeypatch.setitem(sys.modules, "ftfy", None)
        with pytest.raises(MissingError, match="ftfy"):
            ADAPTER.load(toy.spec(path, "text"))
        ADAPTER.load(toy.spec(path, "image"))


def test_cuda_gives_the_same(cuda, encoder):
    assert_same_on(cuda, encoder, {modality: items(modality, 2) for modality in VALUES})


def test_cuda_reads_the_same(cuda, reader):
    assert_same_on(cuda, reader, {"text": [Item("x", "text", "a dog barks")]})
