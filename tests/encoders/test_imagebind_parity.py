"""Our ImageBind beside the published code, with the same random weights and the same files."""

import functools
import html
import unicodedata
from unittest import mock

import imagebind_reference as reference
import imagebind_toy as toy
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from reactions.core.types import Item
from reactions.encoders.imagebind import encoder, images, sound, video
from reactions.encoders.imagebind.adapter import ImageBindAdapter
from reactions.encoders.imagebind.sizes import HUGE, PUBLISHED
from reactions.encoders.imagebind.towers import ImageBind
from reactions.encoders.preprocessing import clip_bpe
from reactions.modalities import registry
from reactions.modalities.videos.frames import Frames

ADAPTER = ImageBindAdapter()

RATES_HZ = (8000, 11025, 16000, 22050, 44100, 48000)


@pytest.fixture(scope="module")
def published():
    return reference.models()


@pytest.fixture(scope="module")
def loaders():
    return reference.data()


@pytest.fixture(scope="module")
def model(published):
    """The published class, at the toy's size and with the toy's weights."""
    return reference.model(toy.state())


@pytest.fixture(scope="module")
def ours(loaders, tmp_path_factory):
    path = toy.write(tmp_path_factory.mktemp("toy") / "toy.safetensors")
    return ADAPTER.load(toy.spec(path, *toy.SIZES.towers))


def write_sound(path, seconds, rate_hz, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = 0.3 * np.sin(2 * np.pi * 440 * time_s * (1 + time_s / 10))
    noise = rng.normal(0, 0.02, (len(time_s), channels))
    soundfile.write(path, tone[:, None] + noise + 0.01, rate_hz, subtype="PCM_16")
    return path


def write_image(path, width, height, mode="RGB"):
    rng = np.random.default_rng(width)
    pixels = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((width, height)).convert(mode)
    image.save(path)
    return path


@torch.inference_mode()
def published_rows(model, name, inputs):
    rows = model({name: inputs})[name]
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


class TestNetworks:
    def test_every_key_and_shape_of_the_published_size(self, published):
        # A layer's size is computed with a tensor, which has no value on the meta device.
        counted = functools.partial(torch.linspace, device="cpu")
        with torch.device("meta"), mock.patch.object(torch, "linspace", counted):
            published_state = published.ImageBindModel(
                vision_embed_dim=1280,
                vision_num_blocks=32,
                vision_num_heads=16,
                text_embed_dim=1024,
                text_num_blocks=24,
                text_num_heads=16,
                out_embed_dim=1024,
            ).state_dict()
            actual = ImageBind(HUGE).state_dict()
        expected = {key: value.shape for key, value in published_state.items()}
        assert {key: value.shape for key, value in actual.items()} == expected

    @pytest.mark.parametrize("modality", ["audio", "depth", "image", "imu", "thermal"])
    def test_equal_outputs(self, model, modality):
        network = ImageBind(toy.SIZES)
        network.load_state_dict(toy.state())
        shapes = {"audio": (1, 128, 204), "image": (3, 224, 224), "imu": (6, 2000)}
        shape = shapes.get(modality, (1, 224, 224))
        inputs = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected = model({PUBLISHED[modality]: inputs})[PUBLISHED[modality]]
            actual = network(modality, inputs)
        # Single precision; the image's two equal frames are summed in another order.
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)

    def test_equal_outputs_for_videos(self, model, loaders):
        network = ImageBind(toy.SIZES)
        network.load_state_dict(toy.state())
        for height, width in ((240, 320), (260, 224), (224, 224)):
            frames = torch.randn(10, 3, height, width, generator=torch.Generator().manual_seed(2))
            clips = list(frames.view(5, 2, 3, height, width).transpose(1, 2))
            expected_views = torch.stack(loaders.SpatialCrop(224, num_crops=3)(clips))
            views = video.views(frames)
            # The published order is the same: clip by clip.
            torch.testing.assert_close(views, expected_views)
            with torch.inference_mode():
                expected = model({"vision": expected_views[None]})["vision"]
                actual = network("image", views).mean(dim=0, keepdim=True)
            torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("size", [(36, 50), (300, 224), (480, 854), (224, 224)])
    def test_equal_frames_of_videos(self, loaders, size):
        transforms = reference.video_transforms()
        pixels = np.random.default_rng(0).integers(0, 256, (10, *size, 3), dtype=np.uint8)
        clip = torch.from_numpy(pixels).permute(3, 0, 1, 2).float() / 255
        scaled = transforms.short_side_scale(clip, 224)
        normalise = loaders.NormalizeVideo(
            mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
        )
        expected = normalise(scaled).transpose(0, 1)
        # Ten frames, two of each clip of a video of ten seconds at one frame a second.
        actual = video.scaled_frames(Frames(pixels, np.arange(10.0)))
        torch.testing.assert_close(torch.from_numpy(actual), expected, atol=1e-5, rtol=1e-5)

    def test_equal_outputs_for_text_without_the_padding(self, model, loaders):
        network = ImageBind(toy.SIZES)
        network.load_state_dict(toy.state())
        padded = loaders.load_and_transform_text(["a dog barks", "rain " * 90, ""], "cpu")
        with torch.inference_mode():
            expected = model({"text": padded})["text"]
            torch.testing.assert_close(network("text", padded), expected, atol=1e-5, rtol=1e-4)
            longest = len(clip_bpe.tokenize("a dog barks"))
            short = network("text", padded[[0, 2], :longest])
        torch.testing.assert_close(short, expected[[0, 2]], atol=1e-5, rtol=1e-4)


def prepared(modality, path):
    """Return what the network takes of a file."""
    record = encoder._FIRST_CHANNEL if modality == "audio" else None
    prepare = {"audio": encoder._clips, "image": images.colour}[modality]
    return prepare(registry.load(Item("x", modality, path), record).value)


class TestSound:
    @pytest.mark.parametrize("rate_hz", RATES_HZ)
    @pytest.mark.parametrize("seconds", [0.3, 2.0, 5.11])
    def test_equal_spectrograms(self, loaders, tmp_path, rate_hz, seconds):
        path = write_sound(tmp_path / "x.wav", seconds, rate_hz)
        expected = loaders.load_and_transform_audio_data([path], "cpu")[0].numpy()
        actual = prepared("audio", path)
        assert actual.shape == expected.shape
        # Bands above what a slowly sampled sound can hold are filled by rounding alone.
        audible = np.full(actual.shape, rate_hz >= 16000) | (expected > -0.75)
        np.testing.assert_allclose(actual[audible], expected[audible], atol=1e-4)
        np.testing.assert_allclose(actual, expected, atol=5e-3)

    @pytest.mark.parametrize("seconds", [1.0, 5.0, 40.0])
    def test_stereo_and_long(self, loaders, tmp_path, seconds):
        path = write_sound(tmp_path / "x.wav", seconds, 44100, channels=2)
        expected = loaders.load_and_transform_audio_data([path], "cpu")[0].numpy()
        actual = prepared("audio", path)
        # Where clips overlap, the step that they leave in one another comes from the mean of
        # both channels in the published code. A band with next to nothing shows rounding.
        difference = np.abs(actual - expected)
        assert (difference <= 1e-4).mean() > (0.998 if seconds == 5.0 else 0.9995)
        assert difference.max() < 5e-3

    @pytest.mark.parametrize("rate_hz", [8000, 11025, 44100, 96000])
    def test_equal_resampling(self, rate_hz):
        samples = np.random.default_rng(rate_hz).normal(0, 1, rate_hz // 10).astype(np.float32)
        expected = reference.torchaudio().functional.resample(
            torch.from_numpy(samples), rate_hz, sound.RATE_HZ
        )
        n = sound.resampled_length(len(samples), rate_hz)
        assert n == len(expected)
        # Sums of some thirty products in single precision.
        np.testing.assert_allclose(
            sound.resample(samples, rate_hz, 0, n), expected.numpy(), atol=5e-6
        )

    def test_equal_lengths_where_single_precision_rounds(self):
        # 480,037 samples and a little more, which rounds away.
        expected = reference.torchaudio().functional.resample(torch.zeros(1_323_102), 44100, 16000)
        assert sound.resampled_length(1_323_102, 44100) == len(expected) == 480_037

    def test_equal_filter_bank(self):
        samples = torch.randn(1, 8000, generator=torch.Generator().manual_seed(3)) / 10
        expected = reference.torchaudio().compliance.kaldi.fbank(
            samples,
            htk_compat=True,
            sample_frequency=16000,
            use_energy=False,
            window_type="hanning",
            num_mel_bins=128,
            dither=0.0,
            frame_length=25,
            frame_shift=10,
        )
        torch.testing.assert_close(sound.log_mel(samples[0]), expected, atol=1e-4, rtol=0)

    @settings(deadline=None)  # the first example loads the reference
    @given(st.integers(sound.MIN_SAMPLES, 2_000_000))
    @example(480_001)
    def test_equal_clips(self, n):
        sampler = loaders_once().ConstantClipsPerVideoSampler(clip_duration=2, clips_per_video=3)
        points = loaders_once().get_clip_timepoints(sampler, n / sound.RATE_HZ)
        assert sound.clip_starts(n) == [int(start * sound.RATE_HZ) for start, _ in points]
        assert {int(end * sound.RATE_HZ) - int(start * sound.RATE_HZ) for start, end in points} == {
            sound.CLIP_SAMPLES
        }


@functools.cache
def loaders_once():
    return reference.data()


class TestPictures:
    @pytest.mark.parametrize(
        ("width", "height"),
        [(224, 224), (640, 480), (333, 500), (100, 37), (225, 1000), (1001, 224), (17, 16)],
    )
    def test_equal_pixels(self, loaders, tmp_path, width, height):
        path = write_image(tmp_path / "x.png", width, height)
        (expected,) = loaders.load_and_transform_vision_data([path], "cpu").numpy()
        np.testing.assert_allclose(prepared("image", path), expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("mode", "suffix"), [("L", "png"), ("P", "png"), ("1", "png"), ("CMYK", "jpg")]
    )
    def test_equal_pixels_of_other_modes(self, loaders, tmp_path, mode, suffix):
        path = write_image(tmp_path / f"x.{suffix}", 300, 400, mode)
        (expected,) = loaders.load_and_transform_vision_data([path], "cpu").numpy()
        np.testing.assert_allclose(prepared("image", path), expected, atol=1e-6)

    def test_one_channel_is_cropped_alike(self, loaders):
        transforms = loaders.transforms
        side = transforms.Compose(
            [
                transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
            ]
        )
        values = np.random.default_rng(0).normal(0, 1, (300, 401)).astype(np.float32)
        np.testing.assert_array_equal(
            images.disparity(values), side(Image.fromarray(values)).numpy()
        )
        colours = np.random.default_rng(0).integers(0, 256, (300, 401, 3), dtype=np.uint8)
        np.testing.assert_allclose(
            images.grey(colours), side(Image.fromarray(colours).convert("L")).numpy(), atol=1e-6
        )


TEXTS = (
    "This is a sound of rain.",
    "A cat\u2019s on the mat & it's 3½ km away",
    "HÉLLO wörld naïve ﬁ ﬂ e\u0301",
    "日本語テキスト 一二三 12 Ⅷ ²",
    "😂😂😂 fun!!!??...",
    "a_b __c 'S don't WE'LL they'd I'm 're",
    "&amp;lt;b&gt; &nbsp; R&D &#128512;",
    "a < b &amp;lt; c &amp;amp;amp; d",
    "  tabs\tand\r\nlines \u2028 here\x0b\x1c ",
    "\x00\x1f\ud800 broken\x7f",
    "<|endoftext|>after<|startoftext|>",
    "İstanbul ΟΔΟΣ '\u017f \u017f",
    "supercalifragilisticexpialidocious" * 20,
    "word " * 200,
    "",
    " ",
)


class TestTexts:
    @pytest.mark.parametrize("text", TEXTS)
    def test_equal_tokens(self, loaders, text):
        (expected,) = loaders.load_and_transform_text([text], "cpu").tolist()
        actual = clip_bpe.tokenize(text).tolist()
        assert actual == expected[: len(actual)]
        assert not any(expected[len(actual) :])

    @settings(deadline=None)  # the first example loads the reference
    @given(st.text(max_size=60))
    def test_equal_tokens_of_anything(self, text):
        expected = tokenizer()(text).tolist()
        # A letter newer than Python's tables is not a letter to us; it is one to the reference.
        mended = html.unescape(html.unescape(ftfy().fix_text(text)))
        assume(all(unicodedata.category(character) != "Cn" for character in mended))
        actual = clip_bpe.tokenize(text).tolist()
        assert actual == expected[: len(actual)]
        assert not any(expected[len(actual) :])

    @settings(deadline=None)  # the first example loads the reference
    @given(st.text(st.characters(max_codepoint=0x7F), max_size=80))
    def test_equal_tokens_of_ascii(self, text):
        expected = tokenizer()(text).tolist()
        actual = clip_bpe.tokenize(text).tolist()
        assert actual == expected[: len(actual)]

    def test_equal_vocabularies(self):
        package_tokenizer = tokenizer()
        learnt = clip_bpe._vocabulary()
        special = {"<|startoftext|>": clip_bpe.START, "<|endoftext|>": clip_bpe.END}
        assert learnt.ids | special == package_tokenizer.encoder
        assert learnt.ranks == package_tokenizer.bpe_ranks


def ftfy():
    return pytest.importorskip("ftfy")


@functools.cache
def tokenizer():
    loaders = reference.data()
    return loaders.SimpleTokenizer(bpe_path=loaders.return_bpe_path())


class TestFilesToEmbeddings:
    def test_sounds(self, ours, model, loaders, tmp_path):
        paths = [
            write_sound(tmp_path / f"{i}.wav", seconds, rate_hz, channels, seed=i)
            for i, (seconds, rate_hz, channels) in enumerate(
                [(5, 44100, 2), (1.3, 16000, 1), (12, 22050, 1)]
            )
        ]
        expected = published_rows(
            model, "audio", loaders.load_and_transform_audio_data(paths, "cpu")
        )
        actual = ours.embed("audio", [Item(p.name, "audio", p) for p in paths])
        np.testing.assert_allclose(actual, expected, atol=1e-4)

    def test_images(self, ours, model, loaders, tmp_path):
        paths = [write_image(tmp_path / f"{w}.png", w, h) for w, h in ((300, 200), (90, 400))]
        expected = published_rows(
            model, "vision", loaders.load_and_transform_vision_data(paths, "cpu")
        )
        actual = ours.embed("image", [Item(p.name, "image", p) for p in paths])
        np.testing.assert_allclose(actual, expected, atol=1e-4)

    def test_texts(self, ours, model, loaders):
        texts = [text for text in TEXTS if "\ud800" not in text]
        expected = published_rows(model, "text", loaders.load_and_transform_text(texts, "cpu"))
        actual = ours.embed("text", [Item(str(i), "text", t) for i, t in enumerate(texts)])
        np.testing.assert_allclose(actual, expected, atol=1e-4)
