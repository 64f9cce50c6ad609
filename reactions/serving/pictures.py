"""Items as a browser shows them: small pictures, outlines of sounds, sounds that it can play."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.core.types import Modality, Waveform

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE: Final = 320
"""Pixels of the longer side of a small picture."""

N_PEAKS: Final = 72
_STRIP: Final = 4
_POINTS: Final = 20_000
_DRAWN: Final = ("image", "depth", "thermal", "event", "video", "point")


def is_drawn(modality: Modality) -> bool:
    """Return whether items of a modality are shown as pictures."""
    return modality in _DRAWN


def picture_of(modality: Modality, value: Any) -> NDArray[np.uint8] | None:
    """Draw a decoded value.

    Depth is near in light and far in dark, heat from dark to light; of a video, some frames stand
    side by side; points are seen from the front and above.

    Returns:
        (h, w, 3) uint8 RGB; None for what is not drawn.
    """
    if modality == "video":
        return _strip(value.pixels)
    if modality == "event":
        from reactions.modalities.events.pictures import as_picture

        return as_picture(value, "unibind")
    if not isinstance(value, np.ndarray):
        return None
    if modality == "point":
        return _cloud(value)
    if value.ndim == 2 and modality in ("depth", "thermal"):
        return _shaded(-value if modality == "depth" else value)
    if value.ndim == 3 and value.shape[2] == 3 and value.dtype == np.uint8:
        return value
    return None


def encoded_picture(pixels: NDArray[np.uint8], side: int = SIDE) -> bytes:
    """Return a picture as PNG (small ones, exact) or JPEG, its longer side at most ``side``."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    small = max(image.size) <= 128
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    image.save(out, "PNG" if small else "JPEG", **({} if small else {"quality": 86}))
    return out.getvalue()


def wav(waveform: Waveform, seconds: int) -> bytes:
    """Return the first seconds of a sound as 16-bit WAV, which every browser plays."""
    import wave

    samples = waveform.samples[: seconds * waveform.rate_hz]
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(waveform.rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def peaks(waveform: Waveform, n: int = N_PEAKS) -> list[float]:
    """Return the outline of a sound: the loudest sample of each of ``n`` parts, from 0 to 1."""
    parts = np.array_split(np.abs(waveform.samples), n)
    loudest = np.array([part.max() if len(part) else 0.0 for part in parts], dtype=np.float64)
    top = float(loudest.max())
    return [round(float(value), 3) for value in (loudest / top if top > 0 else loudest)]


def _strip(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows = np.linspace(0, len(frames) - 1, min(_STRIP, len(frames))).round().astype(int)
    step = max(1, frames.shape[1] // 240)
    strip: NDArray[np.uint8] = np.concatenate(list(frames[rows, ::step, ::step]), axis=1)
    return strip


def _shaded(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Scale values to the 2nd and 98th percentiles, in a colour scale that is even to the eye."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (2, 98)) if len(finite) else (0.0, 1.0)
    scaled = np.clip((values - low) / max(float(high - low), 1e-9), 0, 1)
    at = np.nan_to_num(scaled) * (len(_INFERNO) - 1)
    below = np.floor(at).astype(int).clip(0, len(_INFERNO) - 2)
    share = (at - below)[..., None]
    colours: NDArray[np.uint8] = (
        (_INFERNO[below] * (1 - share) + _INFERNO[below + 1] * share).round().astype(np.uint8)
    )
    return colours


_INFERNO: Final = np.array(
    (
        *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99)),
        *((212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164)),
    ),
    dtype=np.float64,
)


def _cloud(points: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Draw points from the front and above, nearer ones lighter, on black."""
    sample = points[:: max(1, len(points) // _POINTS), :3].astype(np.float64)
    sample = sample - sample.mean(axis=0)
    sample /= max(float(np.abs(sample).max()), 1e-9)
    turn, tilt = np.radians(35), np.radians(25)
    x = sample[:, 0] * np.cos(turn) + sample[:, 2] * np.sin(turn)
    z = sample[:, 2] * np.cos(turn) - sample[:, 0] * np.sin(turn)
    y = sample[:, 1] * np.cos(tilt) - z * np.sin(tilt)
    depth = z * np.cos(tilt) + sample[:, 1] * np.sin(tilt)
    side = 160
    columns = ((x + 1.5) / 3 * (side - 1)).round().astype(int).clip(0, side - 1)
    rows = ((1.5 - y) / 3 * (side - 1)).round().astype(int).clip(0, side - 1)
    nearest = np.full((side, side), -np.inf)
    for down in (0, 1):
        for right in (0, 1):
            at = (rows + down).clip(0, side - 1), (columns + right).clip(0, side - 1)
            np.maximum.at(nearest, at, depth)
    is_drawn = np.isfinite(nearest)
    picture = np.zeros((side, side, 3), dtype=np.uint8)
    light = 0.35 + 0.65 * (nearest[is_drawn] - depth.min()) / max(float(np.ptp(depth)), 1e-9)
    picture[is_drawn] = (light[:, None] * np.array([150, 205, 255])).astype(np.uint8)
    return picture
