"""What CLAP hears: exact filters, fixed crops, and any ordinary sound."""

import numpy as np
import pytest
import torch
from clap_toys import sound
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import MediaError
from reactions.core.types import Waveform
from reactions.encoders.clap.audio_features import ClapAudioConfig, crop_starts, features, quantise
from reactions.encoders.preprocessing.log_mel import log_mel, mel_filters

SMALL = {"samples": 4800, "hop": 480}
"""Ten frames and one: the policies in milliseconds."""


def small(*, fused, **changes):
    return ClapAudioConfig(fused, **(SMALL | changes))


# --- the spectrogram -----------------------------------------------------------------


def test_filters_are_librosas():
    librosa = pytest.importorskip("librosa")
    librosas = librosa.filters.mel(sr=48_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000).T
    ours = mel_filters(48_000, 1024, 64, 50.0, 14_000.0, "slaney")
    np.testing.assert_allclose(ours, librosas, atol=1e-8)  # single precision of values below 0.02


def test_filters_are_torchaudios():
    torchaudio = pytest.importorskip("torchaudio", exc_type=(ImportError, RuntimeError))
    torchaudios = torchaudio.functional.melscale_fbanks(513, 50.0, 14_000.0, 64, 48_000).numpy()
    ours = mel_filters(48_000, 1024, 64, 50.0, 14_000.0, "htk")
    np.testing.assert_allclose(
        ours, torchaudios, atol=1e-5
    )  # theirs are computed in single precision


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_filters_without_any_package(scale):
    filters = mel_filters(48_000, 1024, 64, 50.0, 14_000.0, scale)
    hertz = np.linspace(0, 24_000, 513)
    assert filters.shape == (513, 64)
    assert (filters >= 0).all()
    assert (filters[hertz > 14_000] == 0).all()
    assert (filters[hertz < 46] == 0).all()
    peaks = hertz[filters.argmax(axis=0)]
    assert (np.diff(peaks) >= 0).all()
    if scale == "htk":  # one triangle falls as the next rises
        inside = (hertz > 200) & (hertz < 13_000)
        np.testing.assert_allclose(filters.sum(axis=1)[inside], 1.0, atol=1e-6)
    else:  # unit area; the narrow ones are sampled coarsely
        np.testing.assert_allclose(filters.sum(axis=0)[20:] * (24_000 / 512), 1.0, atol=0.05)


def test_a_tone_is_loudest_in_its_band():
    hertz = 1000.0
    samples = np.sin(2 * np.pi * hertz / 48_000 * np.arange(48_000)).astype(np.float32)
    mel = ClapAudioConfig(fused=False, samples=48_000).spectrogram(samples)
    filters = mel_filters(48_000, 1024, 64, 50.0, 14_000.0, "slaney")
    expected = filters[round(hertz / 24_000 * 512)].argmax()
    assert np.abs(mel[5:-5].argmax(axis=1) - expected).max() <= 1  # the window spreads it


def test_silence_is_the_floor():
    assert (ClapAudioConfig(fused=True).spectrogram(np.zeros(4800, np.float32)) == -100.0).all()


def test_blocks_of_frames_join_seamlessly(monkeypatch):
    audio_config = ClapAudioConfig(fused=True)
    samples = sound(48_000).samples
    at_once = audio_config.spectrogram(samples)
    monkeypatch.setattr("reactions.encoders.preprocessing.log_mel._BLOCK_FRAMES", 7)
    # Matrix products of other sizes round differently, by less than 1e-5 dB.
    np.testing.assert_allclose(audio_config.spectrogram(samples), at_once, atol=1e-5)


def test_frames_are_centred_and_the_ends_mirrored():
    samples = sound(9600).samples
    mel = log_mel(
        samples, rate_hz=48_000, fft=1024, hop=480, mels=64, low_hz=50, high_hz=14_000, scale="htk"
    )
    spectrum = torch.stft(
        torch.from_numpy(samples), 1024, 480, window=torch.hann_window(1024),
        center=True, pad_mode="reflect", return_complex=True,
    )  # fmt: skip
    power = spectrum.abs().square().T.numpy() @ mel_filters(48_000, 1024, 64, 50, 14_000, "htk")
    np.testing.assert_allclose(mel, 10 * np.log10(power), atol=1e-3)  # dB


# --- lengths -------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("samples", [1, 2, 4799, 4800])
def test_short_sounds_are_one_view(fused, samples):
    mel = features(sound(samples), small(fused=fused))
    assert mel.shape == (1, 11, 64)
    assert mel.dtype == np.float32


@pytest.mark.parametrize(
    ("padding", "samples", "filled"),
    [("repeatpad", 4000, 4000), ("repeatpad", 1500, 4500), ("repeat", 1500, 4800), ("pad", 9, 9)],
)
def test_padding(monkeypatch, padding, samples, filled):
    heard_by = []
    monkeypatch.setattr(
        ClapAudioConfig, "spectrogram", lambda self, x: heard_by.append(x) or np.zeros((11, 64))
    )
    clip = sound(samples)
    features(clip, small(fused=False, padding=padding, quantised=False))
    (samples_given,) = heard_by
    assert samples_given.shape == (4800,)
    np.testing.assert_array_equal(samples_given[:filled], np.resize(clip.samples, filled))
    assert (samples_given[filled:] == 0).all()


def test_a_longer_sound_is_cut_to_its_middle():
    clip = sound(7001)
    audio_config = small(fused=False)
    middle = Waveform(clip.samples[1100:5900], 48_000)
    np.testing.assert_array_equal(features(clip, audio_config), features(middle, audio_config))


def test_a_longer_sound_gives_a_fused_model_four_views():
    clip, audio_config = sound(48_000), small(fused=True)
    views = features(clip, audio_config)
    assert views.shape == (4, 11, 64)
    full_spectrogram = audio_config.spectrogram(quantise(clip.samples))
    for view, start in zip(views[1:], (15, 46, 76), strict=True):  # middles of 0-30, 31-60, 61-90
        np.testing.assert_array_equal(view, full_spectrogram[start : start + 11])
    # All of it, shrunk: an output frame lies between two of the whole.
    for i in range(11):
        at = (i + 0.5) * len(full_spectrogram) / 11 - 0.5
        low, share = int(at), at % 1
        blend = (1 - share) * full_spectrogram[low] + share * full_spectrogram[min(low + 1, 100)]
        np.testing.assert_allclose(views[0][i], blend, atol=1e-3)  # dB


def test_a_little_longer_is_not_longer():
    # Fewer samples than one frame over: the whole spectrogram fits.
    assert features(sound(4800 + 479), small(fused=True)).shape == (1, 11, 64)
    assert features(sound(4800 + 480), small(fused=True)).shape == (4, 11, 64)


@given(frames=st.integers(1, 2000), over=st.integers(1, 5000))
def test_crops_lie_inside_and_in_order(frames, over):
    first, middle, last = starts = crop_starts(frames + over, frames)
    assert all(0 <= start <= over for start in starts)
    if over >= 2:  # else a third is empty
        assert first < middle < last
        assert abs((first + last) / 2 - over / 2) <= 1  # even about the middle


def test_crops_of_hardly_longer_sounds_fall_back_to_the_start():
    assert crop_starts(1002, 1001) == (0, 1, 0)


# --- any ordinary sound --------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000, 96_000])
def test_rates_are_made_one(rate_hz):
    tone = np.sin(2 * np.pi * 440 / rate_hz * np.arange(rate_hz)).astype(np.float32) * 0.5
    mel = features(Waveform(tone, rate_hz), ClapAudioConfig(fused=False))
    reference = np.sin(2 * np.pi * 440 / 48_000 * np.arange(48_000)).astype(np.float32) * 0.5
    expected = features(Waveform(reference, 48_000), ClapAudioConfig(fused=False))
    loud = expected > expected.max() - 20  # elsewhere are the clicks where it repeats
    assert np.abs(mel - expected)[loud].max() < 1.0  # dB


def test_the_same_sound_gives_the_same_features_whatever_the_seed():
    clip = sound(9000)
    for fused in (False, True):
        views = []
        for seed in (1, 2):
            np.random.seed(seed)
            torch.manual_seed(seed)
            views.append(features(clip, small(fused=fused)))
        np.testing.assert_array_equal(*views)


def test_quantising_is_the_published_round_trip():
    samples = np.array([-1.0, -0.5, -1e-5, 0.0, 1e-5, 0.3, 1.0], np.float32)
    integers = (samples * 32767.0).astype(np.int16)  # towards zero
    np.testing.assert_array_equal(quantise(samples), (integers / 32767.0).astype(np.float32))
    np.testing.assert_array_equal(integers, [-32767, -16383, 0, 0, 0, 9830, 32767])


def test_overshoot_is_clipped_before_it_wraps_around():
    loud = Waveform(np.array([2.0, -3.0] * 2400, np.float32), 48_000)
    clipped = Waveform(np.array([1.0, -1.0] * 2400, np.float32), 48_000)
    audio_config = small(fused=False)
    np.testing.assert_array_equal(features(loud, audio_config), features(clipped, audio_config))


@pytest.mark.parametrize(
    "value",
    [
        "a string",
        Waveform(np.zeros(0, np.float32), 48_000),
        Waveform(np.zeros((2, 100), np.float32), 48_000),
        Waveform(np.array([0.0, np.nan], np.float32), 48_000),
        Waveform(np.zeros(100, np.float32), 0),
        Waveform(np.zeros(100, np.float32), 10_000_000),
    ],
)
def test_unusable_sounds_are_reported(value):
    with pytest.raises(MediaError, match="cannot embed audio"):
        features(value, small(fused=False))
