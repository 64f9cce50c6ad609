"""WAV2CLIP: the package's outputs for its checkpoint's names, beside a CLIP model."""

import numpy as np
import pytest
import torch
from clap_toys import item, scramble, sound, wav
from hf_tiny import save_clip, save_pictures
from other_device import assert_same_on

from reactions.core.errors import DataError, DimensionMismatch, MediaError, MissingError
from reactions.core.types import StagedEncoder, Waveform
from reactions.encoders import registry, wav2clip
from reactions.encoders.wav2clip import Wav2ClipAdapter
from reactions.weights.locate import WeightLocator

ADAPTER = Wav2ClipAdapter()


def checkpoint(seed=0):
    """Return weights by the published names, with what training left beside them."""
    state = dict(scramble(wav2clip.Wav2ClipNetwork(), seed).state_dict())
    state["audio_encoder.spectrogram.window"] = torch.hann_window(512)
    state["image_transform.sequential.0.weight"] = torch.zeros(512, 512)
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("wav2clip") / "Wav2CLIP.pt"
    torch.save(checkpoint(), path)
    return path


# --- sounds --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of the package's imports
@pytest.mark.parametrize("samples", [300, 512, 16_000, 80_001, 160_000])
def test_sounds_embed_as_in_the_package(weights, samples):
    for package in ("librosa", "torchaudio"):
        pytest.importorskip(package, exc_type=(ImportError, RuntimeError))
    package = pytest.importorskip("wav2clip.model.encoder")
    reference = package.ResNetExtractor(checkpoint=checkpoint(), scenario="frozen", transform=True)
    clip = sound(samples, rate_hz=16_000)
    samples_heard = clip.samples if samples >= 512 else np.resize(clip.samples, 512)
    with torch.inference_mode():
        expected = reference(torch.from_numpy(samples_heard)[None]).numpy()
    model = wav2clip.build("x", weights, checkpoint())
    with torch.inference_mode():
        actual = model(torch.from_numpy(wav2clip.features(clip))[None]).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)  # values reach 5


def test_a_spectrogram_is_standardised():
    spectrogram = wav2clip.features(sound(48_000, rate_hz=48_000))
    assert spectrogram.shape == (1, 257, 16_000 // 353 + 1)
    assert spectrogram.dtype == np.float32
    assert abs(spectrogram.mean()) < 1e-4
    assert abs(spectrogram.std() - 1) < 1e-3


def test_loudness_is_taken_out():
    loud = sound(16_000, rate_hz=16_000)
    quiet = Waveform(loud.samples * np.float32(0.25), 16_000)
    change = wav2clip.features(loud) - wav2clip.features(quiet)
    assert np.abs(change).mean() < 0.01  # not wholly: a constant is added before the logarithm


def test_silence_is_zeros_and_not_rounding_errors():
    assert (wav2clip.features(Waveform(np.zeros(9000, np.float32), 16_000)) == 0).all()


@pytest.mark.parametrize("samples", [1, 2, 511])
def test_a_click_is_repeated(samples):
    spectrogram = wav2clip.features(sound(samples, rate_hz=16_000))
    assert spectrogram.shape == (1, 257, 2)
    assert np.isfinite(spectrogram).all()


def test_more_than_a_minute_is_cut_to_its_middle():
    clip = sound(16_000 * 61, rate_hz=16_000)
    middle = Waveform(clip.samples[8000:-8000], 16_000)
    np.testing.assert_array_equal(wav2clip.features(clip), wav2clip.features(middle))


def test_what_is_not_a_sound_is_reported():
    with pytest.raises(MediaError):
        wav2clip.features("a string")


# --- checkpoints ---------------------------------------------------------------------


def test_missing_extra_and_mis_shaped_weights_are_one_error(weights):
    state = checkpoint()
    del state["audio_encoder.layer2.0.downsample.0.weight"]
    state["audio_encoder.surprise"] = torch.ones(1)
    state["audio_transform.sequential.3.bias"] = torch.ones(7)
    with pytest.raises(DataError, match="do not fit") as caught:
        wav2clip.build("x", weights, state)
    assert caught.value.fields["missing"] == ["audio_encoder.layer2.0.downsample.0.weight"]
    assert caught.value.fields["unexpected"] == ["audio_encoder.surprise"]
    assert caught.value.fields["mismatched"] == [["audio_transform.sequential.3.bias", "7", "512"]]


# --- the space -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    config = save_clip(folder).config
    config.projection_dim = 512
    scramble(transformers.CLIPModel(config)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def spec(weights, clip_folder):
    return ADAPTER.resolve(f"wav2clip:{weights}?clip=hf:{clip_folder}")


def test_it_is_described(spec, weights, clip_folder):
    assert (spec.name, spec.dim, spec.hub) == ("Wav2CLIP", 512, "image")
    assert spec.modalities == ("audio", "image", "text")
    assert dict(spec.preprocessing).keys() == dict(spec.flops_per_item).keys() == {*spec.modalities}
    assert spec.licence == "MIT"
    other = weights.with_name("other.pt")
    torch.save(checkpoint(1), other)
    other_spec = ADAPTER.resolve(f"wav2clip:{other}?clip=hf:{clip_folder}", name="W")
    assert other_spec.name == "W"
    assert other_spec.identity("image") != spec.identity("image")


def test_it_embeds_all_three(spec, clip_folder, tmp_path):
    encoder = ADAPTER.load(spec)
    assert isinstance(encoder, StagedEncoder)
    sounds = [
        item(wav(tmp_path / f"{n}.wav", n, rate_hz=rate, channels=2))
        for n, rate in ((900, 8000), (44_100, 44_100), (16_000, 16_000), (44_100, 44_100))
    ]
    rows = encoder.embed("audio", sounds)
    assert rows.shape == (4, 512)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    # One length and another in a batch: each as alone, and in order.
    alone = np.concatenate([encoder.embed("audio", [entry]) for entry in sounds])
    np.testing.assert_allclose(rows, alone, atol=1e-5)
    np.testing.assert_allclose(rows[1], rows[3], atol=1e-6)

    clip = registry.load(registry.resolve_uri(f"hf:{clip_folder}"))
    for modality, values in (("text", ["a dog", "a cat"]), ("image", save_pictures(tmp_path))):
        items = [item(value, modality) for value in values]
        expected = clip.embed(modality, items)
        np.testing.assert_array_equal(encoder.embed(modality, items), expected)
        prepared = [encoder.preprocess(modality, entry) for entry in items]
        np.testing.assert_array_equal(encoder.forward(modality, prepared), expected)
    with pytest.raises(DataError, match="does not embed video"):
        encoder.embed("video", [item(None, "video")])


def test_a_clip_of_another_width_is_reported(weights, tmp_path):
    pytest.importorskip("transformers")
    save_clip(tmp_path)
    with pytest.raises(DimensionMismatch, match="is not the model"):
        ADAPTER.resolve(f"wav2clip:{weights}?clip=hf:{tmp_path}")


def test_changed_weights_are_reported(spec, clip_folder, tmp_path):
    path = tmp_path / "Wav2CLIP.pt"
    torch.save(checkpoint(), path)
    spec = ADAPTER.resolve(f"wav2clip:{path}?clip=hf:{clip_folder}")
    torch.save(checkpoint(3), path)
    with pytest.raises(DataError, match="changed"):
        ADAPTER.load(spec)


def test_what_must_be_fetched(tmp_path, monkeypatch):
    model, clip = ADAPTER.requirements("wav2clip:Wav2CLIP.pt")
    assert model is wav2clip.PUBLISHED["Wav2CLIP.pt"]
    assert model.url.endswith("/Wav2CLIP.pt")
    assert clip.repo == "openai/clip-vit-base-patch32"
    assert ADAPTER.requirements("wav2clip:") == (model, clip)
    assert len(ADAPTER.requirements("wav2clip:./mine.pt")) == 1
    with pytest.raises(MissingError):
        ADAPTER.resolve("wav2clip:Wav2CLIP.pt", locator=WeightLocator(hub=tmp_path))


def test_cuda_gives_the_same(cuda, spec, tmp_path):
    encoder = ADAPTER.load(spec)
    items = {
        "audio": [
            item(wav(tmp_path / f"{n}.wav", n, rate_hz=16_000)) for n in (900, 16_000, 16_000)
        ],
        "image": [item(path, "image") for path in save_pictures(tmp_path)[:1]],
        "text": [item("a dog barks", "text")],
    }
    assert_same_on(cuda, encoder, items)
