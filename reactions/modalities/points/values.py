"""Point clouds in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.modalities.values import other_array

MAX_POINTS = 1 << 23
"""Of one cloud."""

_MAX_ROUNDING = 1e-4
"""By how much of a cloud's size a float32 may move its points."""


def cloud(xyz: NDArray[Any], rgb: NDArray[Any] | None = None) -> NDArray[np.float32]:
    """Return points as (n, 3) or (n, 6) float32.

    Args:
        xyz: (n, 3) coordinates, of any unit.
        rgb: (n, 3) colours: whole numbers from 0 to 255, or floats from 0 to 1.

    Raises:
        ValueError: they are not finite, too many, all at one place, or so far from the origin that
            float32 does not tell them apart; or the colours are out of range.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise ValueError(f"its points have the shape {xyz.shape}, not (n, 3)")
    if not 1 <= len(xyz) <= MAX_POINTS:
        raise ValueError(f"it has {len(xyz)} points, and needs 1 to {MAX_POINTS}")
    if xyz.dtype.kind not in "fiu" or (rgb is not None and rgb.dtype.kind not in "fiu"):
        raise ValueError(f"its points are of {xyz.dtype}, not of numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        columns = [xyz.astype(np.float64)]
        if rgb is not None:
            columns.append(_colours(rgb))
        exact = np.concatenate(columns, axis=1)
        points: NDArray[np.float32] = exact.astype(np.float32)
        extent = float(np.ptp(exact[:, :3], axis=0).max())
        is_blurred = float(np.abs(exact[:, :3]).max()) * 2.0**-24 > _MAX_ROUNDING * extent
    if is_blurred and extent > 0:
        raise ValueError("it lies so far from the origin that float32 blurs it; shift it there")
    if why := why_unusable(points):
        raise ValueError(why)
    return points


def why_unusable(value: Any) -> str:
    """Return why a value is not a point cloud that can be embedded; "" if it is one."""
    if not (
        isinstance(value, np.ndarray)
        and value.dtype == np.float32
        and value.ndim == 2
        and value.shape[1] in (3, 6)
        and len(value) > 0
    ):
        return "it needs (n, 3) float32, or (n, 6) with colours from 0 to 1" + other_array(value)
    if len(value) > MAX_POINTS:
        return f"it has {len(value)} points, more than {MAX_POINTS}"
    if not np.isfinite(value).all():
        return "not every value is finite"
    if value.shape[1] == 6 and (value[:, 3:].min() < 0 or value[:, 3:].max() > 1):
        return "its colours are not from 0 to 1"
    if not np.ptp(value[:, :3], axis=0).max() > 0:
        return "all its points are at one place"
    return ""


def _colours(rgb: NDArray[Any]) -> NDArray[np.float64]:
    colours = rgb.astype(np.float64)
    if rgb.dtype.kind == "f":
        return colours
    if rgb.dtype == np.uint16:
        return colours / 65535
    if rgb.size and (colours.min() < 0 or colours.max() > 255):
        raise ValueError("its colours are not from 0 to 255")
    return colours / 255
