"""Scenes before an event camera: what changes as it moves over a picture, in integer arithmetic.

As N-Caltech101 was recorded: a still picture, three quick movements of the camera along a
triangle. A pixel reports whenever its brightness has risen (1) or fallen (0) by a certain share.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from reactions.labs.mini import pixels
from reactions.labs.mini.world import Scenes, below, bits, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = pixels.SIDE
_CHUNK = 256
_STEP_US = 33_333
_FINE = 3
_MOVES = ((1, 1),) * 3 + ((1, -1),) * 3 + ((-2, 0),) * 3
"""Thirds of a pixel that the camera moves in each step, right and down: three saccades of 0.1 s."""

_START = (-3, -1)
_REACH = 2  # pixels that the camera may look beyond the picture's edge
_MOST = 3  # events of a pixel in a step


def recordings(scenes: Scenes, *, poor: bool = False) -> list[NDArray[np.int32]]:
    """Record scenes.

    Args:
        scenes: what the camera sees.
        poor: a less sensitive sensor with more events out of nothing.

    Returns:
        For each scene (events, 4) int32 in order of time: x, y (0 to 31), microseconds from the
        start, polarity (0 or 1).
    """
    out: list[NDArray[np.int32]] = []
    for start in range(0, len(scenes), _CHUNK):
        out += _recorded(scenes[start : start + _CHUNK], poor)
    return out


def _recorded(scenes: Scenes, poor: bool) -> list[NDArray[np.int32]]:
    changes = _changes(scenes, threshold=110 if poor else 60)
    at = np.flatnonzero(changes)
    step_size = SIDE * SIDE
    times = np.abs(changes.ravel()[at]).astype(np.int64)
    first = np.repeat(np.cumsum(times) - times, times)
    at, n_here = np.repeat(at, times), np.repeat(times, times)
    nth = np.arange(len(at)) - first  # which of a pixel's events in this step
    owner, rest = at // (len(_MOVES) * step_size), at % (len(_MOVES) * step_size)
    step, pixel = rest // step_size, rest % step_size
    jitter = below(
        bits(key_of("event-time"), scenes.identity[owner] + _counter(rest, nth)), 1 << 16
    )
    # A pixel's events of one step share out its time.
    t_us = step * _STEP_US + (nth * _STEP_US + (jitter * _STEP_US >> 16)) // n_here
    polarity = changes.ravel()[at] > 0
    columns = np.stack([pixel % SIDE, pixel // SIDE, t_us, polarity], 1)
    still = np.bincount(owner, minlength=len(scenes)) == 0
    noise_owner, noise = _noise(scenes, 120 if poor else 24, still)
    owner = np.concatenate([owner, noise_owner])
    events = np.concatenate([columns, noise])
    order = np.argsort(owner * (1 << 20) + events[:, 2], kind="stable")
    counts = np.bincount(owner, minlength=len(scenes))
    return np.split(events[order].astype(np.int32), np.cumsum(counts)[:-1])


def _counter(rest: NDArray[np.int64], nth: NDArray[np.int64]) -> NDArray[np.uint64]:
    return (rest * (_MOST + 1) + nth).astype(np.uint64)


def _changes(scenes: Scenes, threshold: int) -> NDArray[np.int8]:
    """Return how many events of which sign each pixel reports: (n, 9, 32, 32), -3 to 3."""
    red, green, blue = np.moveaxis(pixels.images(scenes), 3, 0).astype(np.int32)
    light = _logarithms()[(77 * red + 150 * green + 29 * blue) >> 8]
    light = np.pad(light, ((0, 0), (_REACH + 1,) * 2, (_REACH + 1,) * 2), mode="edge")
    # The lens blurs by a pixel, which keeps the grain of the picture from being seen.
    light = (light[:, :-2] + 2 * light[:, 1:-1] + light[:, 2:]) >> 2
    light = (light[:, :, :-2] + 2 * light[:, :, 1:-1] + light[:, :, 2:]) >> 2
    x, y = _START

    def seen() -> NDArray[np.int16]:
        # Between pixels, brightness is bilinear; 9 times the highest logarithm fits int16.
        column, right = divmod(x + _REACH * _FINE, _FINE)
        row, down = divmod(y + _REACH * _FINE, _FINE)
        near = light[:, row : row + SIDE + 1, column : column + SIDE + 1]
        rows = near[:, :-1] * (_FINE - down) + near[:, 1:] * down
        brightness: NDArray[np.int16] = rows[:, :, :-1] * (_FINE - right) + rows[:, :, 1:] * right
        return brightness // _FINE**2

    reported = seen().copy()
    out = np.empty((len(scenes), len(_MOVES), SIDE, SIDE), np.int8)
    for step, (right, down) in enumerate(_MOVES):
        x, y = x + right, y + down
        difference = seen() - reported
        n_events = np.minimum(np.abs(difference) // threshold, _MOST) * np.sign(difference)
        reported += n_events * threshold
        out[:, step] = n_events
    return out


def _noise(
    scenes: Scenes, most: int, still: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return events out of nothing, up to ``most`` a scene: whose, and (events, 4).

    Where nothing else was seen (``still``) there is one at least: a recording is never empty.
    """
    n_events = np.maximum(scenes.draw("event-noise", most + 1), still)
    owner = np.repeat(np.arange(len(scenes)), n_events)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(n_events) - n_events, n_events)
    random = bits(key_of("event-noise-at"), scenes.identity[owner] + nth.astype(np.uint64))
    place, sign = (
        (random & np.uint64(1023)).astype(np.int64),
        (random >> np.uint64(10)) & np.uint64(1),
    )
    t_us = below(random, len(_MOVES) * _STEP_US)
    return owner, np.stack([place % SIDE, place // SIDE, t_us, sign.astype(np.int64)], 1)


@cache
def _logarithms() -> NDArray[np.int16]:
    """Return log2(1 + i / 16) in 256ths for i < 256."""
    return np.array([round(256 * math.log2(1 + i / 16)) for i in range(256)], np.int16)
