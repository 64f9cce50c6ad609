"""Scenes as 32 x 32 RGB images, in integer arithmetic."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from reactions.labs.mini.world import N_CLASSES, Scenes, bits, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32
_GLYPH = 18  # largest glyph, in pixels
_MARGIN = 10  # canvas border, so that glyphs may touch the edge
_CANVAS = SIDE + 2 * _MARGIN
_CHUNK = 1024
FINE = 60
"""Cells along each axis of the grid that shapes are drawn on."""

_COLOURS = ((210, 45, 40), (240, 205, 50), (150, 60, 190), (245, 245, 240), (25, 25, 30), (245, 130, 30))  # noqa: E501  # fmt: skip
"""Red, yellow, purple, white, black, orange: none is the colour of a place."""

_MARKINGS = (30, 30, 30, 30, 210, 30)
"""The grey of the markings of things of each colour."""

_PLACES = ((176, 150, 118), (120, 122, 128), (58, 110, 58), (60, 110, 170))
"""Room, street, forest, water."""

_SIZES = ((10, 12), (13, 15), (16, 18))
"""Glyph side in pixels, from and to (exclusive): small, middling, large."""

# Centres of the glyphs of a scene of one, two or three things, in pixels.
_LAYOUT = (
    ((16, 16), (0, 0), (0, 0)),
    ((10, 16), (22, 16), (0, 0)),
    ((9, 21), (23, 21), (16, 9)),
)


def images(scenes: Scenes) -> NDArray[np.uint8]:
    """Render scenes.

    Returns:
        (n, 32, 32, 3) uint8 RGB.
    """
    out = np.empty((len(scenes), SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(scenes), _CHUNK):
        out[start : start + _CHUNK] = _render(scenes[start : start + _CHUNK])
    return out


def _render(scenes: Scenes) -> NDArray[np.uint8]:
    n = len(scenes)
    # Colours apart from each other until the end: numpy is slow at innermost axes of three.
    cover, mark = (part.astype(np.int16)[:, None] for part in coverage(scenes))
    image = _background(scenes)  # (n, 3, 32, 32); cover, mark: (n, 1, 32, 32), 0 to 64
    paint = np.array(_COLOURS, np.int16)[scenes.colour]
    paint = paint + np.stack([scenes.draw(f"paint-{c}", 51) - 25 for c in range(3)], 1)
    paint = np.clip(paint, 0, 255).astype(np.int16)[:, :, None, None]
    # image += (paint - image) * cover / 64, in place; 255 * 64 fits int16.
    layer = paint - image
    layer *= cover
    layer >>= 6
    image += layer
    ink = np.array(_MARKINGS, np.int16)[scenes.colour][:, None, None, None]
    # Markings likewise, at three quarters.
    np.subtract(ink, image, out=layer)
    layer *= mark
    layer >>= 6
    layer *= 3
    layer >>= 2
    image += layer
    # Light: each channel is dimmed on its own, so colours are a little uncertain.
    # In 64ths.
    light = np.stack([40 + scenes.draw(f"light-{c}", 25) for c in range(3)], 1)
    light = (light * (75 + scenes.draw("exposure", 26))[:, None] // 100).astype(np.int16)
    image *= light[:, :, None, None]
    image >>= 6
    lit = np.moveaxis(image, 1, 3) + _grain(scenes, n)
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8)


def coverage(scenes: Scenes) -> NDArray[np.uint8]:
    """Return how much of each pixel the things, and their markings, cover.

    Returns:
        (2, n, 32, 32), 0 to 64.
    """
    n = len(scenes)
    low, high = np.array(_SIZES).T
    canvas = np.zeros((n, _CANVAS, _CANVAS, 2), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(
        canvas, (_GLYPH, _GLYPH), axis=(1, 2), writeable=True
    )  # (n, ., ., 2, 18, 18)
    glyphs = _glyphs()
    rows = np.arange(n)
    for thing in range(3):
        shown = rows[scenes.count >= thing]
        part = slice(None) if len(shown) == n else shown  # all scenes: a slice copies nothing
        span = (high - low)[scenes.size]
        side = low[scenes.size] + scenes.draw(f"side-{thing}", 1 << 16) % span
        x, y = np.array(_LAYOUT)[scenes.count, thing].T
        x = x + scenes.draw(f"x-{thing}", 7) - 3 + _MARGIN - _GLYPH // 2
        y = y + scenes.draw(f"y-{thing}", 7) - 3 + _MARGIN - _GLYPH // 2
        mask = glyphs[scenes.kind, side - low[0]]
        at = (shown, y[part], x[part])
        windows[at] = np.maximum(windows[at], mask[part])
    return np.moveaxis(canvas[:, _MARGIN : _MARGIN + SIDE, _MARGIN : _MARGIN + SIDE], 3, 0)


def _background(scenes: Scenes) -> NDArray[np.int16]:
    """Return places: a colour and a pattern each, (n, 3, 32, 32) int16."""
    grid = np.arange(SIDE, dtype=np.int16)
    shift = scenes.draw("shift", SIDE).astype(np.int16)[:, None, None]
    x, y = grid[None, None, :] + shift, grid[None, :, None] + shift
    pattern = np.empty((len(scenes), SIDE, SIDE), np.int16)
    room, street, forest, water = (scenes.place == place for place in range(4))
    pattern[room] = ((x[room] >> 3) & 1) * 24  # broad panels
    pattern[street] = ((y[street] >> 2) & 1) * 20  # kerbs
    pattern[forest] = (((x[forest] * 5) ^ (y[forest] * 3)) & 15) * 3  # leaves
    pattern[water] = ((y[water] + ((x[water] >> 2) & 3)) & 3) * 9  # ripples
    tint = np.array(_PLACES, np.int64)[scenes.place]
    tint = tint + np.stack([scenes.draw(f"tint-{c}", 41) - 20 for c in range(3)], 1) - 12
    return tint.astype(np.int16)[:, :, None, None] + pattern[:, None]


def _grain(scenes: Scenes, n: int) -> NDArray[np.int16]:
    """Return pixel noise of a strength of the scene's own, (n, 32, 32, 3) int16."""
    words = SIDE * SIDE * 3 // 8
    counter = np.arange(words, dtype=np.uint64)[None, :]
    noise = bits(key_of("grain"), scenes.identity[:, None] + counter)
    # One byte order, so that all machines see the same bytes.
    noise8 = noise.astype("<u8").view(np.int8).reshape(n, SIDE, SIDE, 3).astype(np.int16)
    strength = (2 + scenes.draw("grain-strength", 12)).astype(np.int16)
    return (noise8 * strength[:, None, None, None]) >> 6


@cache
def _glyphs() -> NDArray[np.uint8]:
    """Return shape and markings of every kind and size, (50, 8, 2, 18, 18), 0 to 64, centred."""
    shapes = fields()
    sizes = range(_SIZES[0][0], _SIZES[-1][1])
    out = np.zeros((N_CLASSES, len(sizes), 2, _GLYPH, _GLYPH), np.uint8)
    for place, side in enumerate(sizes):
        # Four samples along each axis of a pixel.
        fine = ((2 * np.arange(4 * side) + 1) * FINE) // (8 * side)
        inside = shapes[:, :, fine][:, :, :, fine].reshape(N_CLASSES, 2, side, 4, side, 4)
        top = (_GLYPH - side) // 2
        cover = inside.sum(axis=(3, 5)) * 4  # of 16 samples, as 0 to 64
        out[:, place, :, top : top + side, top : top + side] = cover
    return out


@cache
def fields() -> NDArray[np.bool_]:
    """Return the 50 shapes and their grey markings on a fine grid, (50, 2, 60, 60).

    A shape is where a smooth random field, raised in the middle, is above zero; markings
    are where another is. From 400 candidates each next kind is the one farthest from
    those chosen.
    """
    candidates, knots, cell_size = 400, 5, FINE // 4
    counter = np.arange(candidates * 2 * knots * knots, dtype=np.uint64)
    # 16 bits: -32768 to 32767.
    coarse = (bits(key_of("glyph"), counter) >> np.uint64(48)).astype(np.int64) - 32768
    coarse = coarse.reshape(candidates, 2, knots, knots)
    step = np.arange(FINE)
    cell, part = step // cell_size, step % cell_size
    rest = cell_size - part
    rows = coarse[:, :, cell] * rest[:, None] + coarse[:, :, cell + 1] * part[:, None]
    field = rows[..., cell] * rest + rows[..., cell + 1] * part  # bilinear, scaled
    # Doubled, since the centre lies between two cells.
    offset = 2 * step - FINE + 1
    radius = offset[:, None] ** 2 + offset[None, :] ** 2
    hill = 28000 * cell_size**2 * (1700 - radius) // 1700  # above zero in the middle only
    shape = (field[:, 0] + hill > 0) & (radius < FINE**2)
    marked = (field[:, 1] > 0) & shape
    # Counts up to 7200 are exact in float32, and quicker: BLAS multiplies no integers.
    flat = np.stack([shape, marked], 1).reshape(candidates, -1).astype(np.float32)
    area = flat.sum(axis=1)
    # Cells in which two differ: |a| + |b| - 2 |a and b|.
    distance = area[:, None] + area[None, :] - 2 * (flat @ flat.T)
    numbers = [0]
    while len(numbers) < N_CLASSES:
        numbers.append(int(distance[:, numbers].min(axis=1).argmax()))
    return np.stack([shape, marked], 1)[numbers]
