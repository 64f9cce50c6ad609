"""Valid files that phones and tools write: read as they are shown, or what is lost is reported."""

import io
import struct

import numpy as np
import pytest
from further_media import npy_bytes
from PIL import Image
from video_files import video_bytes

from reactions.inference.values import media_value
from reactions.modalities import noticed, registry
from reactions.modalities.audio import load_audio
from reactions.modalities.thermal import scaled_by
from reactions.modalities.videos.files import open_video, upright

N = 800


def said() -> str:
    """What was noticed of one item; "" for nothing."""
    notices = noticed.take()
    assert len(notices) < 2, notices
    return "".join(notices)


# --- videos ---


@pytest.fixture(scope="module")
def video():
    return video_bytes(0.2, sound="")


def shown(data: bytes) -> np.ndarray:
    with open_video(io.BytesIO(data), "x.mp4") as container:
        return upright(next(iter(container.decode(video=0))), "x.mp4")


def with_matrix(data: bytes, *matrix: int) -> bytes:
    """An MP4 with another display matrix: (a, b, c, d)."""
    a, b, c, d = (value << 16 for value in matrix)
    place = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    fields = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return data[:place] + fields + data[place + len(fields) :]


TURNS = {
    (1, 0, 0, 1): lambda x: x,
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (-1, 0, 0, -1): lambda x: x[::-1, ::-1],
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (0, -1, 1, 0): lambda x: np.rot90(x),
    (0, 1, 1, 0): lambda x: x.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda x: x[::-1, ::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_videos_are_turned_and_mirrored(video, matrix):
    stored = shown(video)
    np.testing.assert_array_equal(shown(with_matrix(video, *matrix)), TURNS[matrix](stored))
    assert said() == ""


def coloured(transfer: int, space: int, pixels: tuple[int, int, int]) -> bytes:
    """A video of one colour, in 10 bits: its Y, Cb and Cr, of 8."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as container:
        track = container.add_stream("ffv1", rate=10)
        track.width, track.height, track.pix_fmt = 32, 16, "yuv444p10le"
        context = track.codec_context
        context.colorspace, context.color_range, context.color_trc = space, 1, transfer
        frame = av.VideoFrame(32, 16, "yuv444p10le")
        for plane, value in zip(frame.planes, pixels, strict=True):
            plane.update(np.full(plane.buffer_size // 2, value * 4, np.uint16).tobytes())
        frame.pts = 0
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return stream.getvalue()


@pytest.mark.parametrize(("transfer", "is_hdr"), [(1, False), (16, True), (18, True)])
def test_hdr_is_reported(transfer, is_hdr):
    data = coloured(transfer, 1, (63, 102, 240))
    np.testing.assert_allclose(shown(data)[8, 8], (255, 0, 0), atol=2)  # BT.709 has its own matrix
    assert ("1 video is HDR" in said()) == is_hdr


# --- sounds ---


def loud(factor: float, channels: int = 1, **options) -> bytes:
    import soundfile

    wave = factor * np.sin(np.arange(N) / 7)
    stream = io.BytesIO()
    samples = np.stack([wave] * channels, axis=1)
    soundfile.write(stream, samples, 8000, format="WAV", **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("factor", "words"), [(0.5, ""), (1.0001, ""), (3.0, "1 sound is louder"), (0.0, "is silent")]
)
@pytest.mark.parametrize("channels", [1, 6])
def test_full_scale(factor, words, channels):
    samples = load_audio(loud(factor, channels, subtype="FLOAT")).samples
    wave = np.clip(factor * np.sin(np.arange(N) / 7), -1, 1)
    np.testing.assert_allclose(samples, wave, atol=1e-5)
    notice = said()
    assert words in notice
    assert bool(words) == bool(notice)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "DOUBLE", "ULAW"])
def test_depths_of_sounds(subtype):
    samples = load_audio(loud(0.5, subtype=subtype)).samples
    np.testing.assert_allclose(samples, 0.5 * np.sin(np.arange(N) / 7), atol=0.02)
    assert said() == ""


# --- pictures and maps ---


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (200, 100, 50, 128)), ("LA", (100, 128))])
def test_colours_times_their_opacity(mode, colour):
    image = Image.new(mode, (2, 2), colour)
    premultiplied = image.convert({"RGBA": "RGBa", "LA": "La"}[mode])
    expected = media_value("image", image).astype(int)
    np.testing.assert_allclose(media_value("image", premultiplied), expected, atol=2)


def png(values) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint16)).save(stream, "PNG")
    return stream.getvalue()


MILLIMETRES = 50 * np.arange(64).reshape(8, 8)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(MILLIMETRES), ""),
        (png(MILLIMETRES // 20), "no value above 255"),
        (png(0 * MILLIMETRES), "0 throughout"),
        (npy_bytes((MILLIMETRES / 1000).astype(np.float32)), ""),
        (npy_bytes(MILLIMETRES.astype(np.float32)), "reaches 1,000 m and more"),
        (npy_bytes(np.zeros((4, 4), np.float32)), "0 throughout"),
    ],
)
def test_depths(data, words):
    value = registry.get("depth").load(data)
    assert registry.get("depth").why_unusable(value) == ""
    notice = said()
    assert words in notice
    assert bool(words) == bool(notice)


@pytest.mark.parametrize(
    ("rule", "values", "is_flat"),
    [
        ("centikelvin", 29315 + MILLIMETRES, False),
        ("centikelvin", MILLIMETRES, True),
        ("full", MILLIMETRES // 20, True),
        ("range", MILLIMETRES // 20, False),
        ("range", 0 * MILLIMETRES + 9, True),
    ],
)
def test_heat(rule, values, is_flat):
    scaled_by(rule).load(png(values))
    assert ("nearly one brightness" in said()) == is_flat


@pytest.mark.parametrize(
    ("text", "shape", "is_noted"),
    [
        ("1 2 3\n4 5 6\n", (2, 3), False),
        ("1 2 3 255 0 0\n4 5 6 0 0 9\n", (2, 3), True),
        ("x,y,z,red,green,blue\n1,2,3,255,0,0\n4,5,6,0,0,9\n", (2, 6), False),
    ],
)
def test_further_columns_of_points(text, shape, is_noted):
    assert registry.get("point").load(text.encode()).shape == shape
    assert ("further numbers" in said()) == is_noted
