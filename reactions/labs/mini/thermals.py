"""Scenes before a thermal camera, in integer arithmetic: warm things in cool places."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.labs.mini import pixels
from reactions.labs.mini.world import N_CLASSES, Scenes, bits, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = pixels.SIDE
_CHUNK = 1024
_AMBIENT = (70, 48, 36, 24)
"""Warmth of room, street, forest and water."""


def thermals(scenes: Scenes, *, poor: bool = False) -> NDArray[np.uint8]:
    """Render scenes.

    Args:
        scenes: what the camera sees.
        poor: half the contrast, thrice the noise.

    Returns:
        (n, 32, 32) uint8, 255 the hottest.
    """
    out = np.empty((len(scenes), SIDE, SIDE), np.uint8)
    for start in range(0, len(scenes), _CHUNK):
        out[start : start + _CHUNK] = _render(scenes[start : start + _CHUNK], poor)
    return out


def _render(scenes: Scenes, poor: bool) -> NDArray[np.uint8]:
    cover, mark = (part.astype(np.int16) for part in pixels.coverage(scenes))
    body, part = _heat()[:, scenes.kind].astype(np.int16)

    def spread(values: NDArray[Any]) -> NDArray[np.int16]:
        spread_out: NDArray[np.int16] = values.astype(np.int16)[:, None, None]
        return spread_out

    ambient = np.array(_AMBIENT, np.int16)[scenes.place]
    ambient = ambient + scenes.draw("thermal-ambient", 21) - 10
    body = body + scenes.draw("thermal-body", 21) - 10
    rise = np.arange(SIDE, dtype=np.int16)[None, :, None] // 4  # the ground is a little warmer
    heat = spread(ambient) + rise
    # 255 * 64 fits int16.
    heat = heat + (((spread(body) - heat) * cover) >> 6)
    heat += ((spread(np.clip(body + part, 0, 255)) - heat) * mark) >> 6
    heat = _blurred(heat)
    gain = 32 if poor else 64
    heat = (heat * spread(gain * 3 // 4 + scenes.draw("thermal-gain", gain // 4))) >> 6
    words = SIDE * SIDE // 8
    noise = bits(
        key_of("thermal-noise"),
        scenes.identity[:, None] + np.arange(words, dtype=np.uint64)[None, :],
    )
    # One byte order, so that all machines see the same bytes.
    noise8 = noise.astype("<u8").view(np.int8).reshape(-1, SIDE, SIDE).astype(np.int16)
    strength = (2 + scenes.draw("thermal-noise-strength", 6)) * (3 if poor else 1)
    return np.clip(heat + ((noise8 * spread(strength)) >> 7), 0, 255).astype(np.uint8)


def _blurred(heat: NDArray[np.int16]) -> NDArray[np.int16]:
    """Average each pixel with its four neighbours, which count half as much: lenses are coarse."""
    wide = np.pad(heat, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    blurred: NDArray[np.int16] = (4 * heat + around) >> 3
    return blurred


@cache
def _heat() -> NDArray[np.int64]:
    """Return each kind's warmth, 110 to 239, and what its markings add, -70 to 69: (2, 50)."""
    kinds = np.arange(N_CLASSES, dtype=np.uint64)

    def trait(name: str, n: int) -> NDArray[np.int64]:
        return ((bits(key_of(name), kinds) >> np.uint64(32)) % np.uint64(n)).astype(np.int64)

    return np.stack([110 + trait("thermal-kind", 130), trait("thermal-marking", 140) - 70])
