"""Scenes as point clouds, in integer arithmetic: the thing alone, cut out of a plate and turned."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from reactions.labs.mini import pixels
from reactions.labs.mini.world import N_CLASSES, Scenes, below, bits, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_POINTS, N_POOR_POINTS = 128, 64
UNIT = 4096
"""Coordinates are in these parts of one."""

_ANGLES = 45  # degrees to either side
_THICK, _RAISED = 420, 420  # half the plate, and how far markings stand out of it, in parts of UNIT


def clouds(scenes: Scenes, *, poor: bool = False) -> NDArray[np.int16]:
    """Render scenes.

    Args:
        scenes: whose kinds are shown; how many things, and where, a cloud does not tell.
        poor: half as many points, thrice as uncertain.

    Returns:
        (n, 128, 3) int16, or (n, 64, 3): x, y (up), z, in 4096ths; all within about one.
    """
    n_points = N_POOR_POINTS if poor else N_POINTS
    counter = np.arange(n_points, dtype=np.uint64)[None, :]

    def draw(name: str, n: int) -> NDArray[np.int64]:
        random = bits(key_of(f"point-{name}"), scenes.identity[:, None] + counter)
        return below(random, n)

    cells, n_cells = _surface()
    pick = (draw("cell", 1 << 20) * n_cells[scenes.kind][:, None]) >> 20
    place, raised = np.divmod(cells[scenes.kind[:, None], pick], 2)
    fine = pixels.FINE
    step = 2 * UNIT // fine
    within = draw("within", step * step)
    x = (place % fine) * step + within % step - UNIT
    y = UNIT - (place // fine) * step - within // step
    # Both faces of the plate, and its edge between them.
    side = draw("side", 1 << 16)
    z = np.where(side < 1 << 14, draw("edge", 2 * _THICK) - _THICK, _THICK)
    z = np.where((side & 1) == 1, -z, z + raised * _RAISED)
    angle = scenes.draw("point-angle", 2 * _ANGLES + 1)[:, None]
    cosine, sine = _turns()[:, angle]
    turned = (x * cosine + z * sine) >> 12, y, (z * cosine - x * sine) >> 12
    spread = 3 * 160 if poor else 160
    jittered = [
        axis + ((draw(f"jitter-{k}", 2 * spread + 1) - spread) >> 1)
        for k, axis in enumerate(turned)
    ]
    return np.stack(jittered, axis=2).astype(np.int16)


@cache
def _surface() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells of every kind's shape, (50, most) of ``2 * cell + marked``, and how many."""
    shape, marked = pixels.fields().reshape(N_CLASSES, 2, -1).transpose(1, 0, 2)
    n_cells = shape.sum(axis=1)
    cells = np.zeros((N_CLASSES, int(n_cells.max())), np.int64)
    for kind in range(N_CLASSES):
        at = np.flatnonzero(shape[kind])
        cells[kind, : len(at)] = 2 * at + marked[kind, at]
    return cells, n_cells


@cache
def _turns() -> NDArray[np.int64]:
    """Return cosine and sine of -45 to 45 degrees, scaled by 2^12: (2, 91)."""
    angles = [math.radians(degrees) for degrees in range(-_ANGLES, _ANGLES + 1)]
    return np.array(
        [[round(4096 * f(angle)) for angle in angles] for f in (math.cos, math.sin)], np.int64
    )
