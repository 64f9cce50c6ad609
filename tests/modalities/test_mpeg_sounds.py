"""MP3, MP2 and MP1: lengths are counted by frames."""

from pathlib import Path

import numpy as np
import pytest
from media_files import patch_decoder, put, sound_bytes
from sound_files import (
    id3,
    layer_2_frame,
    mp3_frames,
    patched,
    quiet_and_loud,
    split_frames,
    wav,
)

from reactions.core.errors import MediaError
from reactions.modalities.audio import load_audio
from reactions.modalities.registry import check
from reactions.modalities.sounds import decoding
from reactions.modalities.sounds.mpeg_frames import read_parts

FRAME = 1152


def length(data: bytes) -> int:
    for depth in ("header", "full"):
        assert check("audio", data, depth) == ""
    return len(load_audio(data).samples)


def refused(data: bytes) -> str:
    for depth in ("header", "full"):
        assert check("audio", data, depth) != ""
    with pytest.raises(MediaError) as caught:
        load_audio(data)
    return caught.value.why


def test_a_whole_mp3_is_as_long_as_what_was_written() -> None:
    for options in ({}, {"bitrate_mode": "CONSTANT"}, {"bitrate_mode": "VARIABLE"}):
        data = sound_bytes(form="MP3", n=50_000, rate_hz=44_100, **options)
        assert length(data) == 50_000


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 32_000, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rates_and_channels(rate_hz: int, channels: int) -> None:
    mp3 = sound_bytes(form="MP3", n=20_000, rate_hz=rate_hz, channels=channels)
    assert length(mp3) == 20_000
    parts, contiguous = read_parts(mp3)
    assert (parts[0].rate_hz, parts[0].channels, contiguous) == (rate_hz, channels, True)
    start = parts[0].frames[0][0]
    n = parts[0].frame_samples * len(parts[0].frames)
    assert length(mp3[start:]) == n  # without its header


@pytest.mark.parametrize("loud_first", [True, False])
def test_without_a_length_header_every_frame_counts(loud_first: bool) -> None:
    frames = quiet_and_loud(loud_first)
    assert length(b"".join(frames)) == len(frames) * FRAME


def test_the_samples_without_a_header_are_those_of_the_frames() -> None:
    frames = mp3_frames(bitrate_mode="CONSTANT")[1:]
    several = load_audio(b"".join(frames)).samples
    np.testing.assert_array_equal(load_audio(b"".join(frames[:20])).samples[:9999], several[:9999])
    # An encoder's delay apart, they are the sound that was written.
    full = load_audio(sound_bytes(form="MP3", n=44_100, rate_hz=44_100)).samples
    assert abs(len(several) - len(full)) < 3 * FRAME


def test_tags_are_not_sound(tmp_path: Path) -> None:
    frames = quiet_and_loud(True)
    n = len(frames) * FRAME
    body = b"".join(frames)
    ape = b"APETAGEX" + (2000).to_bytes(4, "little") * 2 + bytes(3) + b"\xa0" + bytes(8)
    for data in (
        id3() + body,
        id3(200_000) + body,
        body + b"TAG" + bytes(125),
        id3() + id3() + body + id3() + b"TAG" + b"\xff" * 125,
        body + ape[:24].ljust(32, b"\0") + bytes(2000),
        body + bytes(3000),
    ):
        assert length(data) == n
        assert length_of(put(tmp_path / "x.mp3", data)) == n
    mp3 = sound_bytes(form="MP3", n=44_100, rate_hz=44_100)
    assert length(id3() + mp3 + b"TAG" + bytes(125)) == 44_100


def length_of(path: Path) -> int:
    assert check("audio", path) == ""
    return len(load_audio(path).samples)


def test_joined_files_are_read_to_the_end() -> None:
    first, other = (sound_bytes(seed, "MP3", 44_100, rate_hz=44_100) for seed in (0, 1))
    joined = load_audio(first + other).samples
    assert len(joined) == 2 * 44_100
    expected = np.concatenate([load_audio(part).samples for part in (first, other)])
    np.testing.assert_array_equal(joined, expected)
    assert length(id3() + first + b"TAG" + bytes(125) + id3() + other) == 2 * 44_100
    headless = b"".join(mp3_frames()[1:])
    assert length(headless + headless) == 2 * (len(mp3_frames()) - 1) * FRAME
    assert length(headless + first) == (len(mp3_frames()) - 1) * FRAME + 44_100
    assert length(first + headless) >= 44_100 + (len(mp3_frames()) - 2) * FRAME


def test_mono_and_stereo_are_joined_and_other_rates_are_not() -> None:
    mono = sound_bytes(0, "MP3", 20_000, rate_hz=44_100)
    stereo = sound_bytes(1, "MP3", 20_000, 2, rate_hz=44_100)
    assert length(mono + stereo) == 40_000
    slow = sound_bytes(0, "MP3", 20_000, rate_hz=16_000)
    assert "joins sounds of 44100 Hz and 16000 Hz" in refused(mono + slow)


@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_what_is_cut_short_is_refused(share: float) -> None:
    data = sound_bytes(form="MP3", n=44_100, rate_hz=44_100)
    assert "cut short" in refused(data[: int(len(data) * share)])
    headless = b"".join(mp3_frames()[1:])
    assert "it is cut short" in refused(headless[: int(len(headless) * share)])


def test_a_cut_at_a_frames_end_shows_in_the_length_header() -> None:
    frames = mp3_frames()
    assert "its header counts" in refused(b"".join(frames[:10]))
    assert "its header counts" in refused(frames[0])


def test_a_stream_may_begin_in_the_middle_of_a_frame() -> None:
    frames = mp3_frames(bitrate_mode="CONSTANT")[1:]
    data = frames[0][7:] + b"".join(frames[1:])
    assert length(data) == (len(frames) - 1) * FRAME
    assert "Format not recognised" in refused(b"\xff\xfb" * 30_000)


def test_frames_that_are_damaged_inside() -> None:
    frames = mp3_frames(bitrate_mode="CONSTANT")
    damaged_frame = b"\xaa" * len(frames[9])
    assert "damaged at byte" in refused(b"".join([*frames[:9], damaged_frame, *frames[10:]]))
    # Padding between joined files is none.
    assert length(b"".join([*frames[1:9], bytes(700), *frames[9:]])) == (len(frames) - 1) * FRAME


@pytest.mark.parametrize("rate", [0, 1, 2])
def test_layer_two(rate: int) -> None:
    data = layer_2_frame(rate) * 50
    waveform = load_audio(data)
    assert (len(waveform.samples), waveform.rate_hz) == (50 * FRAME, (44100, 48000, 32000)[rate])
    assert check("audio", data) == ""
    assert "lacks 5 bytes" in refused(data[:-5])


def test_mp3_in_wav(tmp_path: Path) -> None:
    frames = quiet_and_loud(True)
    body = b"".join(frames)
    for data in (wav(body, 0x55), wav(body, 0x55, riff=0, size=0), wav(body, 0x55, size=2**32 - 1)):
        assert length(data) == len(frames) * FRAME
        assert length_of(put(tmp_path / "x.wav", data)) == len(frames) * FRAME
    assert length(wav(layer_2_frame() * 30, 0x50)) == 30 * FRAME
    assert "cut short" in refused(wav(body, 0x55)[: len(body) // 2])


def test_lengths_beyond_the_limits_are_refused_before_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = b"".join(mp3_frames()[1:])
    monkeypatch.setattr("reactions.modalities.audio.MAX_SAMPLES", 30_000)
    monkeypatch.setattr(decoding, "_decode_piece", lambda *a: pytest.fail("decoded"))
    with pytest.raises(MediaError, match="cannot use") as caught:
        load_audio(data)
    assert "frames of 1 channels" in caught.value.why


def test_a_glance_does_not_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_decoder(monkeypatch, "audio", lambda stream, path: pytest.fail("decoded"))
    assert check("audio", sound_bytes(form="MP3", n=9000)) == ""
    assert check("audio", b"".join(quiet_and_loud(False))) == ""


def test_our_own_headers_are_read_alike() -> None:
    frames = mp3_frames()
    assert b"Xing" in frames[0]
    (part,), _ = read_parts(b"".join(frames))
    assert part.declared == len(part.frames) == len(frames) - 1
    assert split_frames(b"".join(frames)) == frames
    # A header that does not count says nothing.
    place = frames[0].index(b"Xing") + 4
    silent = patched(frames[0], place, bytes(4))
    assert length(silent + b"".join(frames[1:])) == (len(frames) - 1) * FRAME


def test_what_looks_like_frames_is_looked_at_a_limited_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from reactions.modalities.sounds import mpeg_frames

    body = b"".join(mp3_frames()[1:])
    assert "looks like frames" in refused(body + b"\xff" * 300_000)
    assert check("audio", b"\xff\xfb" + b"\xff" * 300_000, "full") != ""
    monkeypatch.setattr(mpeg_frames, "MAX_FRAMES", 10)
    assert "more than 10 frames" in refused(body)
    assert refused(b"ID3\3\0\0\0\0\0\0" * 100_000)
