"""AudioCLIP: the published repository's outputs, kept as numbers, for it is not a package."""

import numpy as np
import pytest
import torch
from clap_toys import item, sound, wav
from hf_tiny import save_pictures
from other_device import assert_same_on

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.types import StagedEncoder, Waveform
from reactions.encoders.audioclip import adapter
from reactions.encoders.audioclip.adapter import AudioClipAdapter
from reactions.encoders.audioclip.esresnext import ESResNeXt
from reactions.weights.locate import WeightLocator

ADAPTER = AudioClipAdapter()

BLOCKS, DIM = (1, 2, 1, 1), 8

GOLDEN = {
    220_500: [0.93352, 1.14296, 1.07614, -0.08479, 0.51108, -1.74487, 2.21122, -0.66463],
    300_001: [0.83922, 1.08204, 1.10283, 0.27452, 0.45558, -1.70235, 2.47562, -0.54254],
}
"""Samples of ``chirp`` to what the repository's code (commit 45327aa) gave for ``fill``'s
weights, on the CPU in single precision; its audio tower with ``BLOCKS`` and ``DIM``."""


def fill(state):
    """Give every tensor of a state dictionary fixed values, by its name alone."""
    for name in sorted(state):
        tensor = state[name]
        if not tensor.is_floating_point() or not tensor.ndim or name.endswith("window"):
            continue
        # The legacy generator's stream is frozen for good.
        draw = np.random.RandomState(sum(name.encode()) % 2**31)
        values = draw.standard_normal(tuple(tensor.shape))
        if name.endswith("running_var"):
            values = 0.5 + draw.random_sample(tuple(tensor.shape))
        elif name.endswith("fbsp.m"):
            values = 0.1 + 0.6 * draw.random_sample(tuple(tensor.shape))
        elif name.endswith("fbsp.fb"):
            values = 0.5 + draw.random_sample(tuple(tensor.shape))
        elif name.endswith("fbsp.fc"):
            values = np.arange(len(tensor)) + 0.1 * values
        elif tensor.ndim > 1:
            values = values / np.sqrt(np.prod(tensor.shape[1:]))
        else:
            values = 0.2 * values + name.endswith("weight")
        tensor.copy_(torch.from_numpy(values.astype(np.float32)))
    return state


def chirp(samples):
    """Return a rising tone with a little of everything else, in [-1, 1]."""
    time = np.arange(samples) / 44_100
    tone = np.sin(2 * np.pi * (200 + 900 * time) * time)
    rest = np.sin(np.arange(samples) ** 2 * 0.37)  # as good as noise, and always the same
    return (0.3 * tone + 0.2 * rest).astype(np.float32)


def hearer():
    model = ESResNeXt(BLOCKS, DIM)
    with torch.no_grad():
        fill(dict(model.state_dict()))
    return model.eval()


# --- sounds --------------------------------------------------------------------------


@pytest.mark.parametrize("samples", GOLDEN)
def test_the_audio_tower_gives_the_repositorys_numbers(samples):
    samples_heard = adapter.samples_of(Waveform(chirp(samples), 44_100))
    # The transform computed anew, or once and for all: both must give them.
    model = hearer().freeze() if samples == 220_500 else hearer()
    with torch.inference_mode():
        actual = model(torch.from_numpy(samples_heard)[None])[0].numpy()
    # Its angles, up to 3200 radians, are single precision on both sides.
    np.testing.assert_allclose(actual, GOLDEN[samples], atol=1e-3)


def test_the_transform_has_a_row_for_each_frequency():
    model = ESResNeXt((1, 1, 1, 1), DIM)
    with torch.no_grad():  # as Fourier's: what training began with
        model.fbsp["m"].zero_()
        model.fbsp["fb"].fill_(1.0)
        model.fbsp["fc"].copy_(torch.arange(1025.0))
        tone = torch.sin(2 * torch.pi * 3000 / 44_100 * torch.arange(44_100.0))
        rows = model.spectrogram(tone[None])[0].reshape(1023, -1)  # three bands, one above another
    assert (rows.argmax(dim=0) - 3000 / 44_100 * 2048).abs().max() <= 1


def test_short_sounds_are_held_at_both_ends():
    clip = sound(1001, rate_hz=44_100)
    samples = adapter.samples_of(clip)
    assert samples.shape == (220_500,)
    n_before = round(0.5 * (220_500 - 1001))
    inside = (clip.samples * 32_768 + 32_768) * 2 / 65_535 - 1
    np.testing.assert_allclose(samples[n_before : n_before + 1001], inside, atol=1e-7)
    assert (samples[:n_before] == samples[n_before]).all()
    assert (samples[n_before + 1001 :] == samples[n_before + 1000]).all()


def test_five_to_ten_seconds_are_taken_whole_and_longer_ones_cut_to_the_middle():
    assert adapter.samples_of(sound(220_501, rate_hz=44_100)).shape == (220_501,)
    long = sound(441_100, rate_hz=44_100)
    middle = Waveform(long.samples[50:-50], 44_100)
    np.testing.assert_array_equal(adapter.samples_of(long), adapter.samples_of(middle))


def test_full_scale_stays_within_one():
    samples = adapter.samples_of(Waveform(np.array([-2.0, 2.0], np.float32), 44_100))
    np.testing.assert_allclose(
        [samples.min(), samples.max()], [-1.0, 1.0], atol=4e-5
    )  # a 16-bit step


def test_what_is_not_a_sound_is_reported():
    with pytest.raises(MediaError):
        adapter.samples_of(None)


# --- checkpoints ---------------------------------------------------------------------


def clip_parts():
    """Return a small CLIP with a ResNet, by the names OpenAI gave and AudioCLIP kept."""
    open_clip = pytest.importorskip("open_clip", exc_type=(ImportError, RuntimeError))
    vision = {"layers": (1, 2, 1, 1), "width": 16, "image_size": 224}
    text = {"width": 64, "heads": 1, "layers": 2}
    return open_clip.CLIP(1024, vision_cfg=vision, text_cfg=text, quick_gelu=True).eval()


@pytest.fixture(scope="module")
def parts():
    clip, ears = clip_parts(), ESResNeXt(BLOCKS, 1024)
    state = dict(clip.state_dict())
    state |= {f"audio.{name}": tensor for name, tensor in ears.state_dict().items()}
    with torch.no_grad():
        fill(state)
    state |= {name: torch.tensor(4.6) for name in ("logit_scale_ai", "logit_scale_at")}
    state |= {"audio.window": torch.ones(1654), "audio.fbsp.bias": torch.zeros(0)}
    return clip, state


@pytest.fixture(scope="module")
def weights(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("audioclip") / "mine.pt"
    torch.save(parts[1], path)
    return path


@pytest.fixture(scope="module")
def encoder(weights):
    return ADAPTER.load(ADAPTER.resolve(f"audioclip:{weights}"))


def test_it_embeds_all_three(encoder, parts, tmp_path):
    assert isinstance(encoder, StagedEncoder)
    sounds = [
        item(wav(tmp_path / f"{i}.wav", n, rate_hz=rate, channels=2))
        for i, (n, rate) in enumerate([(900, 8000), (250_000, 44_100), (60_000, 16_000)])
    ]
    rows = encoder.embed("audio", sounds)
    alone = np.concatenate([encoder.embed("audio", [clip]) for clip in sounds])
    np.testing.assert_allclose(rows, alone, atol=1e-5)
    images = [item(path, "image") for path in save_pictures(tmp_path)]
    texts = [item(text, "text") for text in ("a dog barks", "", "rain " * 100)]
    for modality, items in (("audio", sounds), ("image", images), ("text", texts)):
        actual = encoder.embed(modality, items)
        assert actual.shape == (len(items), 1024)
        np.testing.assert_allclose(np.linalg.norm(actual, axis=1), 1, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # of the package's tokenizer
def test_images_and_texts_are_clips(encoder, parts, tmp_path):
    open_clip = pytest.importorskip("open_clip")
    from PIL import Image

    clip, state = parts
    clip.load_state_dict({k: v for k, v in state.items() if k in clip.state_dict()})
    transform = open_clip.transform.image_transform(224, is_train=False)
    paths = save_pictures(tmp_path)
    texts = ["A dog  barks!", "café &amp; tea", ""]
    with torch.inference_mode():
        pixels = torch.stack([transform(Image.open(path)) for path in paths])
        image_rows = torch.nn.functional.normalize(clip.encode_image(pixels), dim=-1).numpy()
        ids = open_clip.SimpleTokenizer()(texts)
        text_rows = torch.nn.functional.normalize(clip.encode_text(ids), dim=-1).numpy()
    actual = encoder.embed("image", [item(path, "image") for path in paths])
    np.testing.assert_allclose(actual, image_rows, atol=1e-4)
    actual = encoder.embed("text", [item(text, "text") for text in texts])
    np.testing.assert_allclose(actual, text_rows, atol=1e-5)


def test_missing_extra_and_mis_shaped_weights_are_one_error(parts, weights):
    state = dict(parts[1])
    del state["audio.att3.conv_depth.bias"]
    state["visual.surprise"] = torch.ones(1)
    state["audio.fbsp.m"] = torch.ones(7)
    with pytest.raises(DataError, match="do not fit") as caught:
        adapter.build("x", weights, state)
    assert caught.value.fields["missing"] == ["audio.att3.conv_depth.bias"]
    assert caught.value.fields["unexpected"] == ["visual.surprise"]
    assert caught.value.fields["mismatched"] == [["audio.fbsp.m", "7", "1025"]]


@pytest.mark.parametrize("name", ["audio.fc.weight", "text_projection", "audio.layer4.0.bn1.bias"])
def test_what_is_not_an_audioclip_is_reported(parts, weights, name):
    state = {k: v for k, v in parts[1].items() if not k.startswith(name.partition(".0.")[0])}
    with pytest.raises(DataError):
        adapter.build("x", weights, state)


# --- describing ----------------------------------------------------------------------


def test_a_file_is_described(weights):
    spec = ADAPTER.resolve(f"audioclip:{weights}", name="A")
    assert (spec.name, spec.dim, spec.hub, spec.adapter) == ("A", 1024, None, "audioclip")
    assert spec.modalities == ("audio", "image", "text")
    assert dict(spec.preprocessing).keys() == dict(spec.flops_per_item).keys() == {*spec.modalities}
    ADAPTER.check(spec)


def test_changed_weights_are_reported(weights, parts, tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(weights.read_bytes())
    spec = ADAPTER.resolve(f"audioclip:{path}")
    torch.save({**parts[1], "logit_scale_ai": torch.tensor(1.0)}, path)
    with pytest.raises(DataError, match="changed"):
        ADAPTER.load(spec)


def test_published_files_go_by_name(tmp_path):
    (full,) = ADAPTER.requirements("audioclip:")
    assert full.url.endswith("/v0.1/AudioCLIP-Full-Training.pt")
    assert ADAPTER.requirements("audioclip:./mine.pt") == ()
    locator = WeightLocator(folders=(tmp_path,), hub=tmp_path)
    with pytest.raises(MissingError, match="no weights"):
        ADAPTER.resolve("audioclip:", name="AudioCLIP", locator=locator)
    (tmp_path / full.filename).write_bytes(b"cut short")
    with pytest.raises(DataError, match="not whole"):
        ADAPTER.resolve("audioclip:", name="AudioCLIP", locator=locator)


def test_cuda_gives_the_same(cuda, encoder, tmp_path):
    items = {
        "audio": [item(wav(tmp_path / "x.wav", 60_000, rate_hz=16_000))],
        "image": [item(path, "image") for path in save_pictures(tmp_path)[:1]],
        "text": [item("a dog barks", "text")],
    }
    assert_same_on(cuda, encoder, items)
