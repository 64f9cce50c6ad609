"""Scenes before a depth camera, in integer arithmetic: how far away everything is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reactions.labs.mini import pixels
from reactions.labs.mini.world import Scenes, bits, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = pixels.SIDE
_CHUNK = 1024
_NEAREST_MM = (2200, 1800, 1400)
"""Of small, middling and large things: what is large is large because it is near."""


def depths(scenes: Scenes) -> NDArray[np.uint16]:
    """Render scenes.

    Returns:
        (n, 32, 32) uint16 millimetres; 0 where nothing was measured, about one pixel in 64.
    """
    out = np.empty((len(scenes), SIDE, SIDE), np.uint16)
    for start in range(0, len(scenes), _CHUNK):
        out[start : start + _CHUNK] = _render(scenes[start : start + _CHUNK])
    return out


def _render(scenes: Scenes) -> NDArray[np.uint16]:
    cover, mark = (part.astype(np.int32) for part in pixels.coverage(scenes))
    nearest = np.array(_NEAREST_MM)[scenes.size] + scenes.draw("depth-thing", 300)
    relief_mm = 120 + scenes.draw("depth-relief", 120)
    # A thing bulges: markings and what lies well inside it stand out.
    thing = nearest[:, None, None] + 100 - ((mark * relief_mm[:, None, None]) >> 6)
    away = np.where(cover >= 32, thing, _background(scenes))
    random = bits(
        key_of("depth-noise"),
        scenes.identity[:, None] + np.arange(SIDE * SIDE, dtype=np.uint64)[None, :],
    ).reshape(-1, SIDE, SIDE)
    # Errors grow with distance: up to 1 in 64.
    error = (random >> np.uint64(56)).astype(np.int64) - 128
    away = away + ((away * error) >> 13)
    measured = (random & np.uint64(63)) != 0
    return np.where(measured, away, 0).astype(np.uint16)


def _background(scenes: Scenes) -> NDArray[np.int64]:
    """Return the distance of the place, (n, 32, 32) millimetres."""
    grid = np.arange(SIDE, dtype=np.int64)
    shift = scenes.draw("depth-shift", SIDE)[:, None, None]
    x, y = grid[None, None, :], grid[None, :, None]
    far = np.empty((len(scenes), SIDE, SIDE), np.int64)
    room, street, forest, water = (scenes.place == place for place in range(4))
    far[room] = 3600 + ((((x + shift[room]) >> 3) & 1) * 150)  # a panelled wall
    far[street] = 3000 + (SIDE - 1 - y) * 250  # the ground, and what is ahead
    far[forest] = 3000 + ((((x + shift[forest]) * 5) ^ (y * 3)) & 15) * 220  # trunks and gaps
    far[water] = 2600 + (SIDE - 1 - y) * (SIDE - 1 - y) * 14  # to the horizon
    return far + scenes.draw("depth-place", 600)[:, None, None]
