import io
import re
import sys

import numpy as np
import pytest
from media_files import image_bytes, put, sound_bytes
from video_files import RATE_HZ, loudest_hz, shade, turned, video_bytes

from reactions.core.errors import MediaError, MissingError
from reactions.core.extras import install_extra
from reactions.core.types import Item
from reactions.modalities import registry
from reactions.modalities.audio import load_audio, of_channel
from reactions.modalities.image import load_image
from reactions.modalities.videos import clips, files
from reactions.modalities.videos.choice import ClipChoice
from reactions.modalities.videos.clips import Clip, ClipHalf, find_clip

pytest.importorskip("av")

VIDEOS = {
    "h264": {},
    "mpeg4": {"pictures": "mpeg4"},
    "mkv": {"form": "matroska", "pictures": "mpeg4"},
    "webm": {"form": "webm", "pictures": "libvpx", "sound": "libopus", "rate_hz": 48000},
    "avi": {"form": "avi", "pictures": "mpeg4"},
    "ts": {"form": "mpegts", "pictures": "mpeg2video"},
    "pcm": {"form": "mov", "pictures": "mjpeg", "sound": "pcm_s16le"},
}


@pytest.fixture(scope="module")
def encoded():
    """Videos of three seconds, by name."""
    return {name: video_bytes(**options) for name, options in VIDEOS.items()}


def clip_of(data, **choice):
    return find_clip(io.BytesIO(data), "x.mp4", ClipChoice(**choice))


def sound(data, clip):
    return load_audio(clips.sound_bytes(io.BytesIO(data), "x.mp4", clip))


def picture(data, clip):
    return load_image(clips.picture_bytes(io.BytesIO(data), "x.mp4", clip))


def refused(data, words, **choice):
    with pytest.raises(MediaError, match=f"(?s){words}") as caught:
        clip_of(data, **choice)
    return caught.value


# --- where a clip lies ---


@pytest.mark.parametrize("name", VIDEOS)
def test_a_short_video_is_taken_whole(encoded, name):
    clip = clip_of(encoded[name])
    assert clip.length_us == pytest.approx(3_000_000, abs=120_000)
    assert clip.picture_us - clip.start_us == pytest.approx(clip.length_us / 2, abs=1)


@pytest.mark.parametrize(("at", "start_s"), [(0, 0), (0.5, 1), (1, 2)])
def test_a_clip_lies_where_it_is_to(encoded, at, start_s):
    clip = clip_of(encoded["h264"], seconds=1, at=at, picture_at=1)
    assert clip == Clip(start_s * 1_000_000, 1_000_000, (start_s + 1) * 1_000_000)


def test_other_choices_have_other_keys():
    choices = [ClipChoice(), ClipChoice(5), ClipChoice(at=0), ClipChoice(picture_at=0)]
    assert len({choice.key for choice in choices}) == 4


def test_a_clip_ends_where_sound_or_pictures_do():
    data = video_bytes(seconds=3, sound_seconds=2, pictures="mpeg4")
    assert clip_of(data).length_us == pytest.approx(2_000_000, abs=70_000)
    data = video_bytes(seconds=2, sound_seconds=3, pictures="mpeg4")
    assert clip_of(data).length_us == pytest.approx(2_000_000, abs=70_000)


def test_a_single_picture_is_shown_while_the_sound_lasts():
    data = video_bytes(seconds=0.1, sound_seconds=3, pictures="mpeg4")
    clip = clip_of(data)
    assert clip.length_us == pytest.approx(3_000_000, abs=70_000)
    assert picture(data, clip).shape == (48, 64, 3)


# --- what it holds ---


@pytest.mark.parametrize("name", VIDEOS)
def test_the_sound_is_that_of_the_clip(encoded, name):
    clip = clip_of(encoded[name], seconds=0.8, at=0.5)
    waveform = sound(encoded[name], clip)
    assert waveform.rate_hz == VIDEOS[name].get("rate_hz", RATE_HZ)
    assert len(waveform.samples) == pytest.approx(0.8 * waveform.rate_hz, abs=2)
    # The second second, from 1.1 to 1.9.
    assert loudest_hz(waveform.samples, waveform.rate_hz) == pytest.approx(200, abs=3)
    assert np.abs(waveform.samples).max() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("name", VIDEOS)
def test_the_picture_is_that_of_its_time(encoded, name):
    clip = clip_of(encoded[name], seconds=2, at=0.5, picture_at=0.5)
    pixels = picture(encoded[name], clip)
    assert (pixels.shape, pixels.dtype) == (((48, 64, 3)), np.uint8)
    left, right = pixels[:, :28].mean((0, 1)), pixels[:, 36:].mean((0, 1))
    assert left[0] > 180
    assert left[1:].max() < 40
    number = round((clip.picture_us - clip.start_us + 500_000) / 100_000)
    assert right.mean() == pytest.approx(shade(number), abs=10)


def test_pieces_fit_together(encoded):
    # Of PCM: exact. Each piece is found by a jump of its own into the file.
    data = encoded["pcm"]
    full_track = sound(data, Clip(0, 3_000_000, 0)).samples
    for start in (0, 500_000, 1_250_000, 2_400_000):
        part = sound(data, Clip(start, 500_000, 0)).samples
        first = start * RATE_HZ // 1_000_000
        assert np.array_equal(part, full_track[first : first + len(part)])
        assert len(part) == RATE_HZ // 2


def test_all_channels_are_kept_until_one_is_chosen():
    data = video_bytes(form="mov", sound="pcm_s16le", pictures="mjpeg", channels=2, seconds=1)
    half = clips.sound_bytes(io.BytesIO(data), "x", clip_of(data))
    first = of_channel(1).load(half)
    assert np.abs(first.samples).max() > 0.2


@pytest.mark.parametrize(
    ("quarters", "shape"), [(0, (48, 64)), (1, (64, 48)), (2, (48, 64)), (3, (64, 48))]
)
def test_pictures_are_upright_as_phones_show_them(encoded, quarters, shape):
    data = turned(encoded["h264"], quarters)
    pixels = picture(data, clip_of(data))
    assert pixels.shape == (*shape, 3)
    # Red is on the left of what is stored: clockwise it goes up, to the right, and down.
    sides = [pixels[:, :10], pixels[:10], pixels[:, -10:], pixels[-10:]]
    reds = [float(side[..., 0].mean()) - float(side[..., 1].mean()) for side in sides]
    assert int(np.argmax(reds)) == quarters
    assert max(reds) > 150


def test_the_same_bytes_give_the_same_halves(encoded):
    clip = clip_of(encoded["h264"], seconds=1)
    for decode in (sound, picture):
        first, decoded_again = (decode(encoded["h264"], clip) for _ in range(2))
        assert np.array_equal(
            getattr(first, "samples", first), getattr(decoded_again, "samples", decoded_again)
        )


# --- halves as items ---


def test_a_half_is_decoded_like_any_item(tmp_path, encoded):
    path = put(tmp_path / "a.mp4", encoded["h264"])
    clip = clip_of(encoded["h264"], seconds=1)
    for half, modality in (("sound", "audio"), ("picture", "image")):
        tag = clips.half_tag(half, clip, "0" * 64)
        value = ClipHalf(str(path), tag=tag, clip=clip, half=half)
        item = Item("a", modality, value)
        assert registry.content_digest(item, None) == tag
        assert registry.get(modality).why_unusable(registry.load(item).value) == ""
        assert str(value) == f"{path} ({half})"


def test_what_is_gone_is_missing(tmp_path):
    value = ClipHalf(str(tmp_path / "gone.mp4"), clip=Clip(0, 1, 0))
    with pytest.raises(MissingError, match=r"gone\.mp4"):
        value.read()


def test_tags_tell_apart_what_differs():
    clip = Clip(1, 2, 3)
    tags = {
        clips.half_tag("sound", clip, "0" * 64),
        clips.half_tag("sound", Clip(0, 2, 3), "0" * 64),
        clips.half_tag("sound", Clip(1, 3, 3), "0" * 64),
        clips.half_tag("sound", clip, "1" * 64),
        clips.half_tag("picture", clip, "0" * 64),
        clips.half_tag("picture", Clip(1, 2, 4), "0" * 64),
    }
    assert len(tags) == 6
    # The picture of another length of clip may be the same picture.
    assert clips.half_tag("picture", Clip(0, 9, 3), "0" * 64) in tags


# --- what cannot be used ---


def test_without_sound():
    refused(video_bytes(sound=""), "it has no sound")


def test_without_pictures():
    refused(video_bytes(pictures=""), "it has no pictures")


def test_empty():
    refused(b"", "it is empty")


@pytest.mark.parametrize(
    "data",
    [
        b"abc" * 100,
        b"\0" * 4096,
        sound_bytes(),
        image_bytes(form="GIF"),
        b"YUV4MPEG2 W4 H4 F1:1\nFRAME\n" + b"\0" * 24,
    ],
)
def test_not_a_video(data):
    refused(data, "cannot be decoded")


def test_an_index_that_is_cut_off(encoded):
    refused(encoded["h264"][: len(encoded["h264"]) // 2], "cannot be decoded")


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_cut_short_behind_its_index(share):
    data = video_bytes(seconds=20, pictures="mpeg4", movflags="faststart")
    refused(data[: int(len(data) * share)], "cut short")


def test_matroska_cut_short():
    data = video_bytes(seconds=20, form="matroska", pictures="mpeg4")
    refused(data[: len(data) // 2], "cut short")


@pytest.mark.parametrize(
    "playlist",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile {path}\n",
        b"<?xml version='1.0'?><MPD><BaseURL>{path}</BaseURL></MPD>",
    ],
)
def test_lists_of_other_files_open_none(tmp_path, encoded, playlist):
    path = put(tmp_path / "a.mp4", encoded["h264"])
    refused(playlist.replace(b"{path}", str(path).encode()), "cannot be decoded")


def test_too_large_a_picture_is_refused_before_it_is_decoded(encoded, monkeypatch):
    monkeypatch.setattr(files, "MAX_PIXELS", 64 * 48 - 1)
    refused(encoded["h264"], r"64 x 48 pixels, more than 3071")


class Overlooked(int):
    """A limit that the look at the header does not notice."""

    def __lt__(self, other):
        return False


def test_the_decoder_allocates_no_larger_picture_than_the_header_may_declare(encoded, monkeypatch):
    clip = clip_of(encoded["h264"])
    monkeypatch.setattr(files, "MAX_PIXELS", Overlooked(100))
    with pytest.raises(MediaError, match="cannot be decoded"):
        picture(encoded["h264"], clip)


def test_too_much_sound(encoded, monkeypatch):
    monkeypatch.setattr(clips, "MAX_SAMPLES", 1000)
    with pytest.raises(MediaError, match="frames of 1 channels"):
        sound(encoded["h264"], clip_of(encoded["h264"]))


def test_a_clip_behind_the_end_of_the_sound():
    data = video_bytes(seconds=3, sound_seconds=1, pictures="mpeg4")
    with pytest.raises(MediaError, match="no sound"):
        sound(data, Clip(2_000_000, 1_000_000, 0))


def test_damage_that_only_decoding_shows(encoded):
    data = bytearray(encoded["pcm"])
    start = data.index(b"mdat") + 4
    for place in range(start, len(data) - 3000, 200):  # the JPEGs and all between
        data[place : place + 60] = b"\xff" * 60
    data = bytes(data)
    clip = clip_of(data)
    with pytest.raises(MediaError):
        clips.check_clip(io.BytesIO(data), "x.mov", clip)


def test_check_clip_of_a_good_one(encoded):
    clips.check_clip(io.BytesIO(encoded["h264"]), "x.mp4", clip_of(encoded["h264"]))


def test_without_the_package(monkeypatch, encoded):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "av")
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="(?s)PyAV.*" + re.escape(install_extra("media"))):
        clip_of(encoded["h264"])
