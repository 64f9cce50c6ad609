import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from other_device import assert_same_on
from PIL import Image

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.hashing import file_digest
from reactions.core.types import Item, SpaceSpec, StagedEncoder, Waveform
from reactions.encoders import mini as spaces
from reactions.encoders import registry
from reactions.labs import lab_file, mini

ADAPTER = spaces.MiniAdapter()

NAMES = ("ImageBind", "InternVL", "CLAP_g", "CLAP_m")


@pytest.fixture(scope="module")
def catalogue():
    return lab_file.load_lab("mini").catalogue


@pytest.fixture(scope="module")
def encoders(catalogue):
    return {name: registry.load(catalogue.by_name(name)) for name in NAMES}


@pytest.fixture(scope="module")
def imagebind(encoders):
    return encoders["ImageBind"]


def embed_one(encoder, modality, value):
    return encoder.embed(modality, [Item("x", modality, value)])[0]


def sound(n, rate_hz=8000, seed=0):
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, n)
    return Waveform(noise.astype(np.float32), rate_hz)


class TestShippedWeights:
    @pytest.mark.parametrize("name", NAMES)
    def test_unit_rows_of_the_right_width(self, encoders, name):
        encoder = encoders[name]
        for modality in encoder.spec.modalities:
            rows = encoder.embed(modality, mini.corpus(modality, n=5, seed=0).items(0, 5))
            assert (rows.shape, rows.dtype) == ((5, encoder.spec.dim), np.float32)
            # Normalised in single precision.
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)

    def test_they_are_small(self, catalogue):
        sizes = [(spaces.SHIPPED / catalogue.by_name(n).source).stat().st_size for n in NAMES]
        assert sum(sizes) < 5_000_000

    @pytest.mark.parametrize("name", ["ImageBind", "InternVL"])
    def test_images_find_their_class(self, encoders, name):
        data = mini.benchmark("imagenet", seed=9)
        prompts = [Item(c, "text", f"a photo of a {c.replace('_', ' ')}.") for c in data.classes]
        texts = encoders[name].embed("text", prompts)
        images = encoders[name].embed("image", data.queries.items(0, 200))
        accuracy = ((images @ texts.T).argmax(axis=1) == data.labels[:200]).mean()
        assert accuracy > 0.6  # chance is 0.02; a wrong preprocessing step lands far below

    @pytest.mark.parametrize("name", ["CLAP_g", "CLAP_m"])
    def test_sounds_find_their_class(self, encoders, name):
        data = mini.benchmark("esc50", seed=9)
        prompts = [
            Item(c, "text", f"This is a sound of {c.replace('_', ' ')}.") for c in data.classes
        ]
        texts = encoders[name].embed("text", prompts)
        sounds = encoders[name].embed("audio", data.queries.items(0, 200))
        accuracy = ((sounds @ texts.T).argmax(axis=1) == data.labels[:200]).mean()
        assert accuracy > 0.5

    def test_digests_match_the_lab(self, catalogue):
        for name in NAMES:
            spec = catalogue.by_name(name)
            assert file_digest(spaces.SHIPPED / spec.source) == spec.weights_digest
            own_modalities = set(spec.modalities) - set(dict(spec.derived))
            tags = {m: tag for m, tag in spec.preprocessing if m in own_modalities}
            assert tags == {m: spaces.PREPROCESSING[m] for m in own_modalities}


class TestBatches:
    @pytest.mark.parametrize("modality", ["audio", "image", "text"])
    def test_batch_size_does_not_matter(self, imagebind, modality, monkeypatch):
        items = mini.corpus(modality, n=9, seed=0).items(0, 9)
        together = imagebind.embed(modality, items)
        tower = dataclasses.replace(imagebind.towers[modality], batch_items=2)
        monkeypatch.setitem(imagebind.towers, modality, tower)
        # Single precision sums in another order.
        np.testing.assert_allclose(imagebind.embed(modality, items), together, atol=1e-5)
        alone = np.stack([imagebind.embed(modality, [item])[0] for item in items])
        np.testing.assert_allclose(alone, together, atol=1e-5)

    def test_order_is_kept(self, imagebind):
        items = mini.corpus("text", n=6, seed=0).items(0, 6)
        forward, backward = imagebind.embed("text", items), imagebind.embed("text", items[::-1])
        np.testing.assert_allclose(forward, backward[::-1], atol=1e-5)

    def test_an_item_of_which_only_the_id_is_there_is_refused(self, imagebind):
        with pytest.raises(MediaError, match="cannot embed image 'a'") as caught:
            imagebind.embed("image", [Item("a", "image", None)])
        assert "looked up in folders of embeddings alone" in caught.value.why

    def test_no_items(self, imagebind):
        assert imagebind.embed("image", []).shape == (0, 128)


class TestStages:
    @pytest.mark.parametrize("modality", ["audio", "image", "text"])
    def test_embedding_is_preparing_then_forward(self, imagebind, modality):
        assert isinstance(imagebind, StagedEncoder)
        items = mini.corpus(modality, n=7, seed=0).items(0, 7)
        prepared = [imagebind.preprocess(modality, item) for item in items]
        np.testing.assert_array_equal(
            imagebind.forward(modality, prepared), imagebind.embed(modality, items)
        )
        assert imagebind.forward(modality, []).shape == (0, imagebind.spec.dim)

    def test_what_runs_ahead_is_small(self, imagebind):
        image = imagebind.preprocess("image", Item("x", "image", np.zeros((640, 480, 3), np.uint8)))
        audio = imagebind.preprocess("audio", Item("x", "audio", sound(480_000, 48_000)))
        words, grams = imagebind.preprocess("text", Item("x", "text", "a low hum"))
        assert (image.nbytes, audio.nbytes) == (32 * 32 * 3, 4000 * 4)
        assert (len(words), len(grams)) == (3, 1 + 3 + 3)  # <a>; <lo low ow>; <hu hum um>

    def test_padding_does_not_matter(self, imagebind):
        texts = ["hum", "a long low hum with a great many words beside it " * 9, ""]
        prepared = [imagebind.preprocess("text", Item(t, "text", t)) for t in texts]
        together = imagebind.forward("text", prepared)
        alone = np.concatenate([imagebind.forward("text", [sequence]) for sequence in prepared])
        # Single precision sums in another order.
        np.testing.assert_allclose(together, alone, atol=1e-5)

    def test_modalities_it_lacks(self, encoders):
        with pytest.raises(DataError, match="does not embed image"):
            encoders["CLAP_g"].preprocess("image", Item("x", "image", None))
        with pytest.raises(DataError, match="does not embed image"):
            encoders["CLAP_g"].forward("image", [])


class TestImages:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (33, 31), (480, 640), (7, 2000)])
    def test_any_size(self, imagebind, shape):
        pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        assert np.isfinite(embed_one(imagebind, "image", pixels)).all()

    def test_enlarged_image_means_the_same(self, imagebind):
        (item,) = mini.corpus("image", n=1, seed=0).items(0, 1)
        large = np.asarray(Image.fromarray(item.value).resize((320, 320), Image.Resampling.LANCZOS))
        cosine = embed_one(imagebind, "image", large) @ embed_one(imagebind, "image", item.value)
        assert cosine > 0.9

    def test_centre_is_cropped(self, imagebind):
        (item,) = mini.corpus("image", n=1, seed=0).items(0, 1)
        wide = np.zeros((32, 96, 3), np.uint8)
        wide[:, 32:64] = item.value
        np.testing.assert_allclose(
            embed_one(imagebind, "image", wide),
            embed_one(imagebind, "image", item.value),
            atol=1e-5,
        )

    @pytest.mark.parametrize(
        ("mode", "suffix"),
        [(mode, suffix) for mode in ("L", "RGBA", "P", "1", "RGB") for suffix in ("png", "tiff")]
        + [("CMYK", "tiff")],  # PNG has no CMYK
    )
    def test_files_of_any_mode(self, imagebind, tmp_path, mode, suffix):
        path = tmp_path / f"x.{suffix}"
        Image.new("RGB", (40, 30), (200, 30, 30)).convert(mode).save(path)
        assert np.isfinite(embed_one(imagebind, "image", path)).all()

    @pytest.mark.parametrize(
        "value",
        [
            np.zeros((4, 4), np.uint8),
            np.zeros((4, 4, 4), np.uint8),
            np.zeros((4, 4, 3), np.float32),
            np.zeros((0, 4, 3), np.uint8),
            None,
            "a cat",
        ],
    )
    def test_unusable(self, imagebind, value):
        with pytest.raises(MediaError) as caught:
            embed_one(imagebind, "image", value)
        assert caught.value.fields["id"] == "x"


class TestSounds:
    @pytest.mark.parametrize("rate_hz", [100, 8000, 11025, 16000, 44100, 48000, 192_000])
    @pytest.mark.parametrize("seconds", [0.001, 0.5, 3.0])
    def test_any_rate_and_length(self, imagebind, rate_hz, seconds):
        value = sound(max(1, int(rate_hz * seconds)), rate_hz)
        assert np.isfinite(embed_one(imagebind, "audio", value)).all()

    @pytest.mark.parametrize("samples", [[0.0], [1.0], [0.0] * 4000, [1.0] * 9000])
    def test_silence_clicks_and_constants(self, encoders, samples):
        value = Waveform(np.array(samples, np.float32), 8000)
        for name in ("ImageBind", "CLAP_g", "CLAP_m"):
            row = embed_one(encoders[name], "audio", value)
            np.testing.assert_allclose(np.linalg.norm(row), 1, atol=1e-5)

    @pytest.mark.parametrize("rate_hz", [16000, 44100])
    def test_rate_hardly_matters(self, imagebind, rate_hz):
        import soxr

        for item in mini.corpus("audio", n=3, seed=0).items(0, 3):
            resampled = soxr.resample(item.value.samples, 8000, rate_hz).astype(np.float32)
            row = embed_one(imagebind, "audio", Waveform(resampled, rate_hz))
            # The resampler's filter takes a little off near 4 kHz.
            assert row @ embed_one(imagebind, "audio", item.value) > 0.9

    def test_loudness_does_not_matter(self, imagebind):
        (item,) = mini.corpus("audio", n=1, seed=0).items(0, 1)
        soft = Waveform(item.value.samples * np.float32(0.25), 8000)
        np.testing.assert_allclose(
            embed_one(imagebind, "audio", soft),
            embed_one(imagebind, "audio", item.value),
            atol=1e-4,
        )

    def test_long_sounds_are_cut_in_the_middle(self, imagebind):
        middle = sound(4000).samples
        long = np.concatenate([np.zeros(2000, np.float32), middle, np.zeros(2000, np.float32)])
        np.testing.assert_allclose(
            embed_one(imagebind, "audio", Waveform(long, 8000)),
            embed_one(imagebind, "audio", Waveform(middle, 8000)),
            atol=1e-5,
        )

    def test_short_sounds_are_repeated(self, imagebind):
        short = sound(1000)
        np.testing.assert_allclose(
            embed_one(imagebind, "audio", short),
            embed_one(imagebind, "audio", Waveform(np.tile(short.samples, 4), 8000)),
            atol=1e-5,
        )

    @pytest.mark.parametrize(
        "value",
        [
            sound(0),
            sound(10, 0),
            sound(10, 99),
            sound(10, 2_000_000),
            Waveform(np.array([0.0, np.nan], np.float32), 8000),
            Waveform(np.zeros((2, 10), np.float32), 8000),
            np.zeros(10, np.float32),
        ],
    )
    def test_unusable(self, imagebind, value):
        with pytest.raises(MediaError) as caught:
            embed_one(imagebind, "audio", value)
        assert caught.value.fields["id"] == "x"


class TestTexts:
    @settings(
        max_examples=40,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.text(max_size=60))
    def test_any_string(self, imagebind, text):
        row = embed_one(imagebind, "text", text)
        np.testing.assert_allclose(np.linalg.norm(row), 1, atol=1e-5)

    @pytest.mark.parametrize(
        "text", ["", "   ", "zyx", "日本語", "🎻", "a" * 10_000, "la " * 5_000]
    )
    def test_odd_strings(self, encoders, text):
        for encoder in encoders.values():
            assert np.isfinite(embed_one(encoder, "text", text)).all()

    def test_case_does_not_matter(self, imagebind):
        np.testing.assert_array_equal(
            embed_one(imagebind, "text", "A Red DOG"), embed_one(imagebind, "text", "a red dog")
        )

    def test_synonyms_are_near_and_others_far(self, imagebind):
        dog, hound, piano = (
            embed_one(imagebind, "text", f"a photo of a {word}")
            for word in ("dog", "hound", "piano")
        )
        assert dog @ hound > dog @ piano

    def test_text_files(self, imagebind, tmp_path):
        path = tmp_path / "x.txt"
        path.write_text("a red dog\n")
        np.testing.assert_array_equal(
            embed_one(imagebind, "text", path), embed_one(imagebind, "text", "a red dog")
        )

    def test_unusable(self, imagebind):
        with pytest.raises(MediaError):
            embed_one(imagebind, "text", 7)


class TestFiles:
    def test_sample_files_embed_like_the_items(self, imagebind, tmp_path):
        manifest = mini.write_sample(tmp_path)
        values = {(i.modality, i.id): i.value for i in mini.sample_items()}
        for line in map(json.loads, manifest.read_text().splitlines()):
            (modality,) = line.keys() - {"id"}
            value = line["text"] if modality == "text" else tmp_path / line[modality]
            np.testing.assert_allclose(
                embed_one(imagebind, modality, value),
                embed_one(imagebind, modality, values[modality, line["id"]]),
                atol=1e-5,
            )

    def test_missing_file_names_the_item(self, imagebind, tmp_path):
        with pytest.raises(MediaError) as caught:
            embed_one(imagebind, "image", tmp_path / "no.png")
        assert caught.value.fields["id"] == "x"


class TestLoad:
    @pytest.fixture
    def spec(self, tmp_path):
        torch.manual_seed(0)
        towers = spaces.Towers(8, {"image": (4, 8), "text": (4, 6)})
        path = tmp_path / "tiny.safetensors"
        towers.save(path, name="tiny")
        return SpaceSpec(
            name="tiny",
            dim=8,
            modalities=("image", "text"),
            adapter="mini",
            source=str(path),
            weights_digest=file_digest(path),
        )

    def test_round_trip(self, spec):
        encoder = ADAPTER.load(spec, device="cpu")
        reloaded = ADAPTER.load(spec, device="cpu")
        items = mini.corpus("image", n=3, seed=0).items(0, 3)
        np.testing.assert_array_equal(encoder.embed("image", items), reloaded.embed("image", items))

    def test_other_weights(self, spec):
        path = Path(spec.source)
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
        with pytest.raises(DataError, match="not the ones this lab names") as caught:
            ADAPTER.load(spec, device="cpu")
        assert caught.value.fields["expected"] == spec.weights_digest

    @pytest.mark.parametrize("data", [b"", b"not safetensors", b"\xff" * 100])
    def test_damaged(self, spec, data):
        Path(spec.source).write_bytes(data)
        with pytest.raises(DataError, match="cannot read"):
            ADAPTER.load(dataclasses.replace(spec, weights_digest=""), device="cpu")

    def test_foreign_safetensors(self, spec):
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(2)}, spec.source)
        with pytest.raises(DataError, match="cannot read") as caught:
            ADAPTER.load(dataclasses.replace(spec, weights_digest=""), device="cpu")
        assert "format" in caught.value.why

    def test_missing(self, spec):
        Path(spec.source).unlink()
        with pytest.raises(MissingError, match="no weights"):
            ADAPTER.load(spec, device="cpu")

    def test_fewer_modalities_than_the_weights_hold(self, spec):
        items = mini.corpus("text", n=3, seed=0).items(0, 3)
        texts_alone = ADAPTER.load(dataclasses.replace(spec, modalities=("text",)), device="cpu")
        both = ADAPTER.load(spec, device="cpu")
        np.testing.assert_array_equal(texts_alone.embed("text", items), both.embed("text", items))
        with pytest.raises(DataError, match="does not embed image"):
            texts_alone.embed("image", [])

    @pytest.mark.parametrize("change", [{"dim": 9}, {"modalities": ("audio", "text")}])
    def test_description_that_does_not_fit(self, spec, change):
        with pytest.raises(DataError, match="do not fit"):
            ADAPTER.load(dataclasses.replace(spec, **change), device="cpu")

    def test_modality_it_lacks(self, spec):
        encoder = ADAPTER.load(spec, device="cpu")
        with pytest.raises(DataError, match="does not embed audio"):
            encoder.embed("audio", [])


@pytest.mark.parametrize("name", NAMES)
def test_cuda_gives_the_same(cuda, encoders, name):
    encoder = encoders[name]
    items = {m: mini.corpus(m, n=3, seed=0).items(0, 3) for m in encoder.spec.modalities}
    assert_same_on(cuda, encoder, items)
