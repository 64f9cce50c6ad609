"""Recordings as cameras make them are read; pictures that show no events are reported."""

import io

import numpy as np
import pytest
from further_media import bin_bytes, npz_bytes
from media_files import put
from PIL import Image

from reactions.modalities import noticed, registry
from reactions.modalities.events.pictures import STYLES, event_picture

EVENT = registry.get("event")


def edges(height=180, width=240, n=30_000, *, hot=0.0, noise=0.1, bursts=0, step_us=1, bright=0.7):
    """Events of a second of moving edges, as a camera's: noise, hot pixels, bursts, ties."""
    rng = np.random.default_rng(0)
    t = rng.integers(0, 10**6, n)
    for burst in range(bursts):
        t[burst::10] = burst * 90_000 + rng.integers(0, 3000, len(t[burst::10]))
    t = np.sort(t) // step_us * step_us
    edge = rng.integers(0, 12, n)
    speed = rng.normal(0, width / 2, 12)[edge]
    x = (edge * width / 12 + speed * t / 1e6 + rng.normal(0, 1, n)).astype(int) % width
    y = (rng.integers(0, height, n) * (0.3 + 0.7 * edge / 12)).astype(int)
    p = (rng.random(n) < np.where(speed > 0, bright, 1 - bright)).astype(int)
    is_noise, is_hot = rng.random(n) < noise, rng.random(n) < hot
    x[is_noise], y[is_noise] = (rng.integers(0, side, is_noise.sum()) for side in (width, height))
    x[is_hot], y[is_hot] = 17, 23
    return {"x": x, "y": y, "t": t, "p": p}


CAMERAS = {
    "DAVIS240": edges(),
    "DAVIS346, bursts": edges(260, 346, bursts=5),
    "Prophesee": edges(720, 1280, 200_000),
    "one polarity": {**edges(), "p": np.ones(30_000, int)},
    "hot pixel": edges(hot=0.3),
    "milliseconds": edges(step_us=1000),
    "noise alone": edges(noise=1.0),
    "sparse": edges(n=50),
}


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("share_late", [0, 0.005])
def test_recordings_are_read(camera, share_late, tmp_path):
    of = {name: column.copy() for name, column in CAMERAS[camera].items()}
    late = np.arange(1, int(share_late * len(of["t"]))) * 190
    of["t"][late], of["t"][late - 1] = of["t"][late - 1], of["t"][late].copy()
    value = EVENT.load(npz_bytes(**of))
    assert (len(value), EVENT.why_unusable(value)) == (len(of["t"]), "")
    if of["x"].max() < 240:
        path = put(tmp_path / "x.bin", bin_bytes(len(of["t"]), **of))
        assert len(EVENT.load(path)) == len(of["t"])


def encoded(pixels, form="PNG", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("camera", ["DAVIS240", "DAVIS346, bursts", "milliseconds", "noise alone"])
@pytest.mark.parametrize("style", STYLES)
def test_drawn_recordings_need_no_word(camera, style):
    pixels = event_picture(EVENT.load(npz_bytes(**CAMERAS[camera])), style)
    for data in (encoded(pixels), encoded(pixels, "JPEG", quality=60)):
        EVENT.load(data)
        assert noticed.take() == []


def photograph(*, grey=False):
    """Smooth shapes under noise, as a lens and a sensor give them."""
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    smooth = np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC)).astype(float)
    pixels = np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
    return np.repeat(pixels[:, :, :1], 3, axis=2) if grey else pixels


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_frames_of_a_camera_are_reported(grey, form, tmp_path):
    path = put(tmp_path / "x.png", encoded(photograph(grey=grey), form))
    EVENT.load(path)
    (text,) = noticed.take()
    assert text == (
        f"1 picture of events looks like a photograph, of a camera's frames, first '{path}'"
    )


@pytest.mark.parametrize("value", [0, 127, 255])
def test_blank_frames_are_reported(value):
    EVENT.load(encoded(np.full((60, 80, 3), value, np.uint8)))
    assert "1 picture of events is blank" in noticed.take()[0]
