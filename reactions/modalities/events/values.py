"""The events of an event camera: where and when a pixel became brighter or darker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.hashing import bytes_digest, canonical
from reactions.modalities.values import array_digest, other_array, value_digest, value_size_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_EVENTS = 1 << 24
"""Of one recording: N-Caltech101 has about 100,000, N-ImageNet some hundred thousand."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """A recording of an event camera, in the order of time.

    Attributes:
        x: (n,) uint16 columns.
        y: (n,) uint16 rows, from the top.
        t_us: (n,) int64 microseconds, not decreasing.
        p: (n,) uint8: 1 where the pixel became brighter, 0 where darker.
        size: (h, w) of the sensor.
    """

    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    t_us: NDArray[np.int64]
    p: NDArray[np.uint8]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.t_us)

    def part(self, start: int, stop: int) -> Events:
        """Return the events ``start`` to ``stop`` (exclusive), on the same sensor."""
        rows = slice(start, stop)
        return Events(self.x[rows], self.y[rows], self.t_us[rows], self.p[rows], self.size)


_COLUMNS = {"x": np.uint16, "y": np.uint16, "t_us": np.int64, "p": np.uint8}


def why_unusable(value: Any) -> str:
    """Return why a value is neither a recording nor a picture of one; "" if it is."""
    if isinstance(value, Events):
        return _why_unusable(value)
    if (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint8
        and value.ndim == 3
        and value.shape[2] == 3
        and min(value.shape) > 0
    ):
        return ""
    return "it needs Events, or the (h, w, 3) uint8 picture of some" + other_array(value)


def _why_unusable(events: Events) -> str:
    n = len(events.t_us)
    for name, dtype in _COLUMNS.items():
        column = getattr(events, name)
        if not isinstance(column, np.ndarray) or column.dtype != dtype or column.shape != (n,):
            return f"it needs {name} as (n,) {np.dtype(dtype)}" + other_array(column)
    if not 1 <= n <= MAX_EVENTS:
        return f"it has {n} events, and needs 1 to {MAX_EVENTS}"
    height, width = events.size
    if int(events.x.max()) >= width or int(events.y.max()) >= height:
        return f"its events lie beyond a sensor of {width} x {height}"
    if int(events.p.max()) > 1:
        return "its polarities are not 0 and 1"
    if (events.t_us[1:] < events.t_us[:-1]).any():
        return "its times decrease"
    return ""


def digest(value: Any) -> str:
    """Return the tagged digest of a recording, or of a picture; "" for anything else."""
    if not isinstance(value, Events):
        return value_digest(value) if isinstance(value, np.ndarray) else ""
    columns = [array_digest(getattr(value, name)) for name in _COLUMNS]
    return f"event:{bytes_digest(canonical([*columns, list(value.size)]).encode())}"


def size_bytes(value: Any) -> int:
    """Return what a recording or a picture takes in memory."""
    if not isinstance(value, Events):
        return value_size_bytes(value)
    return sum(int(getattr(value, name).nbytes) for name in _COLUMNS)
