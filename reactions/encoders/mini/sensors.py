"""What the mini lab's networks take of event, thermal and depth cameras, and of point clouds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reactions.encoders.mini.features import SIDE
from reactions.encoders.preprocessing.image_transform import note_cropped

if TYPE_CHECKING:
    from numpy.typing import NDArray

THIRDS = 3
"""Events are counted in each third of a recording: the camera moves another way in each."""

N_POINTS = 128

_TYPICAL_EVENTS = 900  # of a recording of the world; counts are scaled to as many


# --- batches -------------------------------------------------------------------------


def event_features(planes: Tensor) -> Tensor:
    """Return logarithms of (n, 6, 32, 32) counts from ``event_planes``."""
    return planes.log1p()


def thermal_features(heat: Tensor) -> Tensor:
    """Centre (n, 32, 32) heat, 0 to 1: (n, 1, 32, 32)."""
    return heat[:, None].sub(0.35).mul(4.0)


def depth_features(metres: Tensor) -> Tensor:
    """Invert (n, 32, 32) depths: (n, 1, 32, 32); what was not measured is as if far away."""
    near = torch.where(metres > 0, 1.0 / metres.clamp_min(0.1), torch.zeros_like(metres))
    return near[:, None].sub(0.35).mul(4.0)


def point_features(points: Tensor) -> Tensor:
    """Centre (n, 128, 3) clouds, and scale each to radius 1."""
    centred = points - points.mean(dim=1, keepdim=True)
    radius = centred.square().sum(dim=2).amax(dim=1).sqrt()
    return centred / radius.clamp_min(1e-6)[:, None, None]


# --- single items --------------------------------------------------------------------


def event_planes(
    x: NDArray[Any],
    y: NDArray[Any],
    t_us: NDArray[Any],
    polarity: NDArray[Any],
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """Count events by third of the recording, polarity and place.

    Args:
        x: (events,) columns.
        y: (events,) rows.
        t_us: (events,) microseconds, in any order.
        polarity: (events,) 0 or 1.
        size: height and width of the sensor; the centre square is used.

    Returns:
        (6, 32, 32) float32, scaled to the number of events that the networks are used to.
    """
    height, width = size
    side = min(height, width)
    column = (x.astype(np.int64) - (width - side) // 2) * SIDE // side
    row = (y.astype(np.int64) - (height - side) // 2) * SIDE // side
    since = t_us.astype(np.int64) - (t_us.min() if len(t_us) else 0)
    third = since * THIRDS // (int(since.max(initial=0)) + 1)
    plane = third * 2 + (polarity > 0)
    inside = (column >= 0) & (column < SIDE) & (row >= 0) & (row < SIDE)
    place = ((plane * SIDE + row) * SIDE + column)[inside]
    counts = np.bincount(place, minlength=2 * THIRDS * SIDE * SIDE)
    scale = _TYPICAL_EVENTS / max(1, len(place))
    return (counts * scale).astype(np.float32).reshape(2 * THIRDS, SIDE, SIDE)


def heat_square(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the centre square of a thermal image at 32 x 32, (32, 32) float32.

    Args:
        heat: (h, w) float32, 0 to 1.
    """
    return _centre(heat, "BICUBIC")


def depth_square(metres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the centre square of a depth image at 32 x 32, (32, 32) float32.

    Args:
        metres: (h, w) float32; 0 where nothing was measured.
    """
    # Nearest: a mean of something near and something far is where nothing is.
    return _centre(metres, "NEAREST")


def _centre(values: NDArray[np.float32], resampling: str) -> NDArray[np.float32]:
    if values.shape == (SIDE, SIDE):
        return values.astype(np.float32, copy=False)
    from PIL import Image

    height, width = values.shape
    side = min(height, width)
    note_cropped(side * side, height * width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    image = Image.fromarray(values.astype(np.float32, copy=False))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling[resampling], box=box))


def cloud(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 128 points of a cloud, evenly spread over the order they are in, (128, 3) float32.

    Args:
        points: (n, 3) or (n, 6) float32, n > 0; colours are not looked at. Fewer than 128 are
            repeated.
    """
    rows = np.arange(N_POINTS) * max(len(points), N_POINTS) // N_POINTS % len(points)
    return points[rows, :3].astype(np.float32, copy=False)
