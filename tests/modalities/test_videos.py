"""Videos: the frames that a rule takes, upright, by their times; what is damaged is refused."""

import errno
import io
import sys
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import image_bytes, put
from video_files import FRAMES_A_SECOND, shade, turned, video_bytes

from reactions.core.errors import MediaError, MissingError
from reactions.core.extras import install_extra
from reactions.core.transient import TransientError
from reactions.core.types import Item
from reactions.modalities import registry
from reactions.modalities.video import sampled
from reactions.modalities.videos import decoding
from reactions.modalities.videos.frames import Clips, Evenly, Frames, sample, shown_at
from reactions.modalities.videos.packets import SECOND_US, spans

av = pytest.importorskip("av")

VIDEO = registry.get("video")
VIDEOS = {
    "h264": {},
    "silent": {"sound": ""},
    "mpeg4": {"pictures": "mpeg4"},
    "mkv": {"form": "matroska", "pictures": "mpeg4"},
    "webm": {"form": "webm", "pictures": "libvpx", "sound": "libopus", "rate_hz": 48000},
    "avi": {"form": "avi", "pictures": "mpeg4"},
    "ts": {"form": "mpegts", "pictures": "mpeg2video"},
    "mjpeg": {"form": "mov", "pictures": "mjpeg", "sound": "pcm_s16le"},
}
SECONDS = 12


@pytest.fixture(scope="module")
def encoded():
    """Videos of twelve seconds, by name."""
    return {name: video_bytes(seconds=SECONDS, **options) for name, options in VIDEOS.items()}


def numbers(frames):
    """Return which frames these are, by their times."""
    start = frames.span[0]
    return [round((s - start) * FRAMES_A_SECOND) for s in frames.seconds]


def is_shown(frames):
    """Return whether each picture is the one that its time says."""
    colour = frames.pixels[:, 10:40, 40:60].mean(axis=(1, 2, 3))
    expected = [shade(number) for number in numbers(frames)]
    # Coders are off by a few levels; neighbouring frames differ by six.
    return np.abs(colour - expected).max() < 5


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_are_those_of_the_rule(encoded, name):
    frames = sampled(Evenly(8)).load(encoded[name])
    assert VIDEO.why_unusable(frames) == ""
    assert numbers(frames) == [7, 22, 37, 52, 67, 82, 97, 112]  # shown at 0.75 s, 2.25 s, ...
    assert is_shown(frames)
    assert frames.pixels.shape == (8, 48, 64, 3)
    assert frames.span[1] - frames.span[0] == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("name", VIDEOS)
def test_clips_begin_and_end_where_imagebinds_do(encoded, name):
    frames = sampled(Clips(5, 2.0, 2)).load(encoded[name])
    # From 0, 2.5, 5, 7.5 and 10 s on for two seconds each: the first frame and the last.
    assert numbers(frames) == [0, 19, 25, 44, 50, 69, 75, 94, 100, 119]
    assert is_shown(frames)


@pytest.mark.parametrize("rule", [Evenly(1), Evenly(8), Evenly(300), Clips(), Clips(3, 99.0, 4)])
def test_a_rule_takes_of_a_file_what_it_takes_of_all_frames(encoded, rule):
    all_frames = sampled(Evenly(4 * SECONDS * FRAMES_A_SECOND)).load(encoded["mpeg4"])
    assert len(all_frames.seconds) == SECONDS * FRAMES_A_SECOND
    part = sampled(rule).load(encoded["mpeg4"])
    np.testing.assert_array_equal(sample(part, rule), sample(all_frames, rule))
    assert len(part.seconds) == len(np.unique(rule.rows(all_frames.seconds, all_frames.span)))


def test_without_an_index_all_is_decoded_alike(encoded, monkeypatch):
    expected = sampled(Clips()).load(encoded["h264"])
    monkeypatch.setattr(decoding._Reader, "jump", lambda self, time_us: False)
    with pytest.raises(TypeError):  # None stands for a jump that led astray
        len(decoding._decode_at(io.BytesIO(encoded["h264"]), "x", np.array([0]), jumps=True))
    frames = sampled(Clips()).load(encoded["h264"])
    np.testing.assert_array_equal(frames.pixels, expected.pixels)
    np.testing.assert_array_equal(frames.seconds, expected.seconds)


def test_frames_of_uneven_times_go_by_their_times(tmp_path):
    # Ten frames in the first second, then one that is shown for nine.
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w", format="matroska") as container:
        track = container.add_stream("mpeg4", rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        track.codec_context.time_base = Fraction(1, 1000)
        for number, ms in enumerate([*range(0, 1000, 100), 9000]):
            picture = np.full((48, 64, 3), 20 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = ms, Fraction(1, 1000)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    frames = sampled(Evenly(4)).load(path)
    brightness = sample(frames, Evenly(4)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(brightness, [180, 180, 180, 180], atol=5)
    assert frames.seconds.tolist() == [0.9]
    assert sampled(Evenly(100)).load(path).seconds[:3].tolist() == [0.0, 0.1, 0.2]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_phones_videos_stand_upright(encoded, quarters):
    frames = sampled(Evenly(1)).load(turned(encoded["h264"], quarters))
    (picture,) = frames.pixels
    upright = np.rot90(picture, quarters)  # turned clockwise to be shown
    assert upright.shape == (48, 64, 3)
    assert upright[:, :30, 0].mean() > 180
    assert upright[:, :30, 1:].mean() < 40


def test_files_members_and_bytes_are_alike(encoded, tmp_path):
    rule = sampled(Evenly(3))
    path = put(tmp_path / "x.mp4", encoded["h264"])
    first, other = rule.load(path), rule.load(encoded["h264"])
    assert VIDEO.digest(first) == VIDEO.digest(other)
    assert VIDEO.digest(first).startswith("video:")
    assert VIDEO.size_bytes(first) == 3 * 48 * 64 * 3 + 3 * 8
    usual = registry.load(Item("x", "video", path)).value
    assert len(usual.seconds) == decoding.USUAL.n


def test_one_record_a_rule():
    # So that encoders that ask for the same frames share them within decode_once.
    assert sampled(Evenly(8)) is sampled(Evenly(8))
    assert sampled(Evenly(8)) is not sampled(Evenly(9))


# --- rules ---


@settings(max_examples=100)
@given(
    gaps=st.lists(st.floats(0.01, 3), min_size=1, max_size=40),
    rule=st.one_of(
        st.builds(Evenly, st.integers(1, 20)),
        st.builds(Clips, st.integers(1, 6), st.floats(0.05, 9), st.integers(1, 4)),
    ),
)
def test_rules_take_again_what_they_took(gaps, rule):
    seconds = np.cumsum(gaps)
    span = (float(seconds[0]), float(seconds[-1] + gaps[0]))
    rows = rule.rows(seconds, span)
    assert rows.min() >= 0
    assert rows.max() < len(seconds)
    rows_taken = np.unique(rows)
    np.testing.assert_array_equal(rows_taken[rule.rows(seconds[rows_taken], span)], rows)


@settings(max_examples=60)
@given(gaps=st.lists(st.floats(0.01, 3), min_size=1, max_size=30), n=st.integers(1, 9))
def test_even_frames_one_by_one(gaps, n):
    seconds = np.cumsum(gaps).tolist()
    span = (seconds[0], seconds[-1] + 1)
    for i, row in enumerate(Evenly(n).rows(np.array(seconds), span)):
        middle = span[0] + (i + 0.5) / n * (span[1] - span[0])
        assert row == max((j for j, s in enumerate(seconds) if s <= middle), default=0)


@settings(max_examples=60)
@given(
    gaps=st.lists(st.floats(0.01, 3), min_size=1, max_size=30),
    clips=st.integers(1, 5),
    length=st.floats(0.5, 4),
)
def test_clips_one_by_one(gaps, clips, length):
    seconds = np.cumsum(gaps).tolist()
    span = (seconds[0], seconds[-1] + 1)
    rows = Clips(clips, length, 2).rows(np.array(seconds), span).reshape(clips, 2)
    for i, (first, last) in enumerate(rows.tolist()):
        start = span[0] + max(0.0, span[1] - span[0] - length) * i / max(1, clips - 1)
        within = [j for j, s in enumerate(seconds) if start <= s < start + length]
        if within:
            assert (first, last) == (within[0], within[-1])
        else:
            assert first == last == max((j for j, s in enumerate(seconds) if s < start), default=0)


def test_frames_in_memory_say_how_long_they_last():
    pixels = np.zeros((4, 2, 2, 3), np.uint8)
    assert Frames(pixels, np.arange(4.0)).span == (0.0, 4.0)
    assert Frames(pixels[:1], np.array([3.0])).span == (3.0, 3.0)
    assert Frames(pixels, np.arange(4.0), (0.0, 9.0)).span == (0.0, 9.0)
    pixels[:] = np.arange(4)[:, None, None, None]
    frames = sample(Frames(pixels, np.arange(4.0)), Evenly(8))
    assert frames[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


PIXELS, TIMES = np.zeros((2, 4, 5, 3), np.uint8), np.array([0.0, 1.0])


@pytest.mark.parametrize(
    "value",
    [
        PIXELS,
        "clip.mp4",
        Frames(PIXELS[0], TIMES),
        Frames(PIXELS.astype(np.float32), TIMES),
        Frames(PIXELS[:0], TIMES[:0]),
        Frames(PIXELS, TIMES[:1]),
        Frames(PIXELS, TIMES[::-1]),
        Frames(PIXELS, np.array([0.0, np.nan])),
        Frames(PIXELS, TIMES, (0.5, 2.0)),
        Frames(PIXELS, TIMES, (0.0, np.inf)),
    ],
)
def test_values_that_cannot_be_embedded(value):
    assert VIDEO.why_unusable(value)
    assert VIDEO.why_unusable(Frames(PIXELS, TIMES)) == ""


def test_a_frame_is_shown_from_its_own_time_on():
    times = np.array([0.0, 1.0, 2.0])
    assert shown_at(times, np.array([-1, 0, 0.99, 1, 1.5, 2, 9])).tolist() == [0, 0, 0, 1, 1, 2, 2]


def packet(pts, *, is_discard=False):
    fields = {"dts": pts, "duration": 1, "time_base": Fraction(1), "size": 9}
    return SimpleNamespace(
        pts=pts, is_corrupt=False, is_discard=is_discard, stream_index=0, **fields
    )


def test_frames_before_an_edit_lists_start_are_not_shown():
    container = SimpleNamespace(
        streams=[SimpleNamespace(index=0)],
        demux=lambda: [packet(-1, is_discard=True), packet(0), packet(1)],
        format=SimpleNamespace(name="mpegts"),
    )
    assert spans(container, "x", keep=0, most=9)[0].times_us == [0, SECOND_US]


class Astray:
    """A container whose index leads behind what is looked for."""

    def seek(self, time_us):
        self.sought = True

    def decode(self, track):
        first = 8 if hasattr(self, "sought") else 0
        return (SimpleNamespace(pts=s, time_base=Fraction(1)) for s in range(first, 12))


def test_a_jump_that_leads_astray_is_noticed():
    reader = decoding._Reader(Astray(), None)
    assert reader.jump(1 * SECOND_US)  # near: nothing is sought
    assert not reader.jump(5 * SECOND_US)
    assert decoding._Reader(Astray(), None).jump(9 * SECOND_US)


# --- damage and limits ---


def refused(data, words, depth="header"):
    with pytest.raises(MediaError, match=words) as caught:
        VIDEO.load(data)
    assert registry.check("video", data, depth) == caught.value.why
    return caught.value


@pytest.mark.parametrize("name", VIDEOS)
def test_whole_videos_pass_every_look(encoded, name):
    for depth in ("header", "full"):
        assert registry.check("video", encoded[name], depth) == ""


@pytest.mark.parametrize("name", ["h264", "mkv", "avi", "mjpeg"])
def test_cut_short_is_found_by_a_glance(encoded, name):
    # Within its pictures: where the sound behind them is cut, they are whole.
    data = encoded[name][: len(encoded[name]) // 4]
    assert registry.check("video", data) != ""
    with pytest.raises(MediaError):
        VIDEO.load(data)


def test_what_is_no_video(encoded):
    refused(b"", "is empty")
    refused(b"junk" * 99, "cannot be decoded")
    refused(image_bytes(), "cannot be decoded")
    refused(video_bytes(pictures="", sound="aac", form="mp4"), "no pictures")


def test_an_animation_is_an_image(tmp_path):
    path = put(tmp_path / "x.gif", image_bytes(form="GIF"))
    with pytest.raises(MediaError) as caught:
        VIDEO.load(path)
    assert "cannot be decoded" in caught.value.why
    assert registry.load(Item("x", "image", path)).value.shape == (8, 12, 3)


def test_limits(encoded, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "MAX_SECONDS", 5)
        assert "segment" in refused(encoded["h264"], "lasts 11 seconds").fix
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "MAX_FRAMES", 50)
        refused(encoded["h264"], "more than 50 frames")
    monkeypatch.setattr(decoding, "MAX_SAMPLED_BYTES", 2 * 64 * 48 * 3)
    with pytest.raises(MediaError, match="occupy more than"):
        VIDEO.load(encoded["h264"])
    assert sampled(Evenly(2)).load(encoded["h264"]).pixels.shape == (2, 48, 64, 3)


def test_damage_within_is_found_in_full(encoded):
    data = bytearray(encoded["silent"])
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    assert registry.check("video", bytes(data)) == ""
    assert "decoded" in registry.check("video", bytes(data), "full")


def test_pictures_that_are_lost_are_found_in_full(encoded):
    data = bytearray(encoded["mjpeg"])
    places = [i for i in range(len(data) - 2) if data[i : i + 3] == b"\xff\xd8\xff"]
    for place, end in pairwise(places[30:61]):
        data[place:end] = bytes(end - place)
    assert "decoded" in registry.check("video", bytes(data), "full")


def test_pyav_is_an_extra(encoded, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "av")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for call in (
        lambda: VIDEO.load(encoded["h264"]),
        lambda: registry.check("video", encoded["h264"]),
        lambda: registry.check("video", encoded["h264"], "full"),
    ):
        with pytest.raises(MissingError) as caught:
            call()
        assert caught.value.fix == install_extra("media")


def test_a_file_that_ends_in_its_header_is_damaged_and_a_disk_is_not(encoded, monkeypatch):
    # FFmpeg calls both of them input/output errors.
    assert "input/output error" in registry.check("video", encoded["webm"][:52])

    class Failing(io.BytesIO):
        def read(self, *args):
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(TransientError):
        decoding.frame_times(Failing(encoded["webm"]), "x")
