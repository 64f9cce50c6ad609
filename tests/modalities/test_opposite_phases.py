"""Channels of opposite phase cancel each other out: what averaging loses is reported."""

import io

import numpy as np
import pytest
import soundfile
from media_files import put
from video_files import heard

from reactions.modalities import noticed
from reactions.modalities.audio import load_audio
from reactions.modalities.registry import check

RATE_HZ = 8000
N = 4000


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, N)


def flac(*channels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.stack(channels, axis=1), RATE_HZ, format="FLAC")
    return stream.getvalue()


def correlated(share: float) -> np.ndarray:
    """Noise that correlates so with that of seed 0."""
    return share * noise(0) + np.sqrt(1 - share**2) * noise(1)


@pytest.mark.parametrize(
    "channels",
    [
        [noise(0), -noise(0)],
        [noise(0), -0.8 * noise(0)],
        [noise(0), correlated(-0.9)],
        [noise(0) + 0.3, -noise(0) + 0.3],
        [noise(0), -noise(0), np.zeros(N), np.zeros(N), np.zeros(N), np.zeros(N)],
    ],
    ids=["its negative", "a quieter one", "nearly", "beside an offset", "six channels"],
)
def test_what_cancels_out_is_reported(channels, tmp_path):
    path = put(tmp_path / "x.flac", flac(*channels))
    samples = load_audio(path).samples
    np.testing.assert_allclose(samples, np.mean(channels, axis=0), atol=1e-4)
    (text,) = noticed.take()
    assert text.startswith("1 sound lost most of its energy when its channels, of opposite phase")
    assert "pan=mono|c0=c0" in text
    assert text.endswith(f"first '{path}'")
    load_audio(path, channel=0)  # the fix
    assert noticed.take() == []


@pytest.mark.parametrize(
    "channels",
    [
        [noise(0), noise(0)],
        [noise(0), noise(1)],
        [noise(0), correlated(-0.5)],
        [noise(0), np.zeros(N)],
        [noise(seed) for seed in range(6)],
        [noise(0), *[np.zeros(N)] * 5],
    ],
    ids=["equal", "unrelated", "wide", "one silent", "six unrelated", "one of six"],
)
def test_what_does_not_is_not(channels):
    load_audio(flac(*channels))
    assert noticed.take() == []


def test_several_are_counted_once_each_also_by_a_check(tmp_path):
    for name in "ab":
        put(tmp_path / name, flac(noise(0), -noise(0)))
    for name in "abba":
        load_audio(tmp_path / name)
        assert check("audio", tmp_path / name, "full") == ""
    (text,) = noticed.take()
    assert text.startswith("2 sounds lost most of their energy")


def test_in_blocks_and_in_sounds_of_videos(tmp_path):
    import av

    path = tmp_path / "x.mka"
    wave = heard(0.5)
    with av.open(str(path), "w", format="matroska") as container:
        track = container.add_stream("flac", rate=16_000)
        track.layout = "stereo"
        block = (np.stack([wave, -wave], axis=1) * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, "s16", "stereo")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    assert np.abs(load_audio(path).samples).max() < 1e-3
    (text,) = noticed.take()
    assert text.startswith("1 sound lost most")


def test_silence_is_of_all_channels_or_of_the_one_that_is_kept():
    left_silent = flac(np.zeros(N), noise(0))
    assert not load_audio(left_silent, channel=0).samples.any()
    (text,) = noticed.take()
    assert text.startswith("1 sound is silent in the one channel of several that a space takes")
    load_audio(left_silent, channel=1)
    load_audio(left_silent)
    assert noticed.take() == []
    for channel in (0, None):
        load_audio(flac(np.zeros(N), np.zeros(N)), channel=channel)
        (text,) = noticed.take()
        assert text.startswith("1 sound is silent: every sample is 0")
