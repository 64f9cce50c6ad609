import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.encoders.base import Unusable
from reactions.encoders.imagebind import sound


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


class TestClips:
    @pytest.mark.parametrize("rate_hz", [100, 8000, 16000, 44100, 47_999, 384_000])
    def test_shape_at_any_rate(self, rate_hz):
        actual = sound.clips(noise(rate_hz), rate_hz)
        assert (actual.shape, actual.dtype) == ((3, 1, 128, 204), np.float32)
        assert np.isfinite(actual).all()

    def test_a_short_sound_is_heard_three_times_and_padded(self):
        actual = sound.clips(noise(16000), 16000)
        # Its mean, once taken away, is no longer quite zero in single precision.
        np.testing.assert_allclose(actual[1], actual[0], atol=1e-4)
        np.testing.assert_allclose(actual[2], actual[0], atol=1e-4)
        frames = 1 + (16000 - 400) // 160
        silence = np.float32(4.268 / 9.138)
        np.testing.assert_allclose(actual[..., frames:], silence, rtol=1e-6)
        assert not np.isclose(actual[..., frames - 1], silence).all()

    def test_samples_outside_every_clip_do_not_matter(self):
        long = noise(16000 * 30)
        starts = sound.clip_starts(len(long))
        changed = long.copy()
        changed[starts[0] + 32000 : starts[1]] = 0.5
        changed[starts[2] + 32000 :] = -0.5
        np.testing.assert_array_equal(sound.clips(changed, 16000), sound.clips(long, 16000))
        changed[starts[1]] += 0.5
        assert not np.array_equal(sound.clips(changed, 16000), sound.clips(long, 16000))

    def test_the_input_is_left_alone(self):
        samples = noise(16000 * 3) + np.float32(0.2)
        before = samples.copy()
        first = sound.clips(samples, 16000)
        np.testing.assert_array_equal(samples, before)
        np.testing.assert_array_equal(sound.clips(samples, 16000), first)
        samples.setflags(write=False)
        np.testing.assert_array_equal(sound.clips(samples, 16000), first)

    def test_an_offset_hardly_matters(self):
        samples = noise(16000 * 3)
        difference = sound.clips(samples + np.float32(0.25), 16000) - sound.clips(samples, 16000)
        # Frames across the edge of an earlier clip see the offset as a step.
        assert (np.abs(difference) < 1e-2).mean() > 0.98

    def test_silence(self):
        actual = sound.clips(np.zeros(32000, np.float32), 16000)
        floor = (np.log(np.finfo(np.float32).eps) + 4.268) / 9.138
        np.testing.assert_allclose(actual[..., :198], floor, rtol=1e-5)

    @pytest.mark.parametrize(
        ("n", "rate_hz", "filled"),
        [(1, 16000, 400), (399, 16000, 400), (199, 8000, 200), (1, 44_100, 1103), (1, 101, 3)],
    )
    def test_a_click_is_followed_by_silence(self, n, rate_hz, filled):
        click = noise(n)
        padded = np.concatenate([click, np.zeros(filled - n, np.float32)])
        actual = sound.clips(click, rate_hz)
        np.testing.assert_array_equal(actual, sound.clips(padded, rate_hz))
        assert np.isfinite(actual).all()
        if n > 100:  # the window is zero at its ends
            assert np.abs(actual - sound.clips(padded * 0, rate_hz)).max() > 1

    def test_no_samples(self):
        with pytest.raises(Unusable, match="no samples"):
            sound.clips(noise(0), 16000)

    @given(st.integers(400, 10_000_000))
    def test_starts_are_in_order_and_inside(self, n):
        first, second, third = sound.clip_starts(n)
        assert first == 0 <= second <= third
        assert third + sound.CLIP_SAMPLES <= max(n, sound.CLIP_SAMPLES)
        # The middle and the end; the seconds are rounded on the way.
        spare = max(0, n - sound.CLIP_SAMPLES)
        assert abs(second - spare / 2) <= 1
        assert abs(third - spare) <= 1

    def test_the_whole_of_five_seconds_is_heard(self):
        assert [start / 16000 for start in sound.clip_starts(80_000)] == [0, 1.5, 3]


class TestResampling:
    @settings(deadline=None)
    @given(st.sampled_from([8000, 11025, 22050, 44100, 48000, 7919]), st.data())
    def test_a_part_equals_that_part_of_the_whole(self, rate_hz, data):
        samples = noise(rate_hz // 20, seed=1)
        n = sound.resampled_length(len(samples), rate_hz)
        start = data.draw(st.integers(0, n - 1))
        stop = data.draw(st.integers(start + 1, n))
        at_once = sound.resample(samples, rate_hz, 0, n)
        np.testing.assert_array_equal(
            sound.resample(samples, rate_hz, start, stop), at_once[start:stop]
        )

    @pytest.mark.parametrize("rate_hz", [8000, 44100, 96000])
    def test_a_tone_stays_what_it_is(self, rate_hz):
        tone = np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32)
        actual = sound.resample(tone, rate_hz, 1000, 15000)
        expected = np.sin(2 * np.pi * 440 * np.arange(1000, 15000) / 16000)
        # A window of six zero crossings lets through a little of what it should not.
        np.testing.assert_allclose(actual, expected, atol=5e-3)

    def test_the_same_rate_is_a_copy(self):
        samples = noise(1000)
        actual = sound.resample(samples, 16000, 10, 20)
        np.testing.assert_array_equal(actual, samples[10:20])
        assert not np.shares_memory(actual, samples)


class TestFilterBank:
    def test_a_tone_is_loudest_in_its_band(self):
        tone = torch.sin(2 * torch.pi * 1000 * torch.arange(4000) / 16000)
        loudest = sound.log_mel(tone).argmax(dim=1)
        mel = [1127 * np.log(1 + hertz / 700) for hertz in (20, 1000, 8000)]
        expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * 129 - 1
        assert (loudest - expected).abs().max() <= 1

    def test_frames(self):
        assert sound.log_mel(torch.randn(400)).shape == (1, 128)
        assert sound.log_mel(torch.randn(559)).shape == (1, 128)
        assert sound.log_mel(torch.randn(560)).shape == (2, 128)
