"""Scenes as clips of four frames, in integer arithmetic: a hand-held camera, unsteady light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reactions.labs.mini import pixels
from reactions.labs.mini.world import Scenes, bits, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = pixels.SIDE
FRAMES = 4
RATE_HZ = 4
_CHUNK = 512


def clips(scenes: Scenes) -> NDArray[np.uint8]:
    """Render scenes.

    Returns:
        (n, 4, 32, 32, 3) uint8 RGB; frame ``f`` is at ``f / 4`` seconds.
    """
    out = np.empty((len(scenes), FRAMES, SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(scenes), _CHUNK):
        part = scenes[start : start + _CHUNK]
        still = pixels.images(part)
        for frame in range(FRAMES):
            out[start : start + _CHUNK, frame] = _frame(part, still, frame)
    return out


def _frame(scenes: Scenes, still: NDArray[np.uint8], frame: int) -> NDArray[np.uint8]:
    grid = np.arange(SIDE)
    rows = np.arange(len(scenes))[:, None, None]

    def moved(axis: str) -> NDArray[np.int64]:
        drift = (scenes.draw(f"clip-drift-{axis}", 3) - 1) * frame
        shake = scenes.draw(f"clip-shake-{axis}-{frame}", 3) - 1
        return np.clip(grid[None, :] + (drift + shake)[:, None], 0, SIDE - 1)

    picture = still[rows, moved("y")[:, :, None], moved("x")[:, None, :]].astype(np.int16)
    light = (52 + scenes.draw(f"clip-light-{frame}", 13)).astype(np.int16)
    picture = (picture * light[:, None, None, None]) >> 6
    words = SIDE * SIDE * 3 // 8
    counter = np.arange(words, dtype=np.uint64)[None, :]
    noise = bits(key_of("clip-grain", frame=frame), scenes.identity[:, None] + counter)
    # One byte order, so that all machines see the same bytes.
    noise8 = noise.astype("<u8").view(np.int8).reshape(picture.shape).astype(np.int16)
    return np.clip(picture + (noise8 >> 4), 0, 255).astype(np.uint8)
