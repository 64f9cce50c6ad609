"""Files of events: N-Caltech101's and N-MNIST's 5 bytes an event, npy, npz, and pictures.

What a file is, its first bytes say; only N-Caltech101's files have none that do, and almost any
bytes can be read as theirs. They are therefore taken of names that end in .bin alone, and have to
look as recordings do: several events, hardly any twice, on the sensor, in times that do not go
back. Times are microseconds where they are whole numbers, and seconds where they are not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reactions.core.npz import npy_array, npz_arrays
from reactions.modalities.encoded import in_memory
from reactions.modalities.events.values import MAX_EVENTS, Events

SENSORS = ((180, 240), (260, 346), (480, 640), (720, 1280))
"""(h, w) of usual sensors. A recording that does not say what its sensor is has the first of these
that holds it: N-Caltech101's; two of other cameras; N-ImageNet's comes third."""

MAX_SIDE = 4096
"""Of a sensor."""

MAX_SECONDS = 3600
"""From the first event of a recording to the last."""

MAX_BACKWARD_SHARE = 0.01
"""Of all steps from event to event, how many may lead back in time. So much disorder comes from
the camera's arbiter, and is put right by sorting; more means that it is no such file."""

MIN_EVENTS = 8
"""Of a file that nothing marks as a recording: fewer are as likely the bytes of something else."""

MIN_DISTINCT_SHARE = 0.5
"""Of all events, how many must differ: a pixel reports a change at a microsecond once. Rounded
times make some alike; arrays that were never filled are far below."""

MIN_DISTINCT_SHARE_UNMARKED = 0.9
"""The same of N-Caltech101's form, whose times are not rounded: less is blank in part."""

MAX_FILE_BYTES = 1 << 29
"""Of a file of events, unpacked: as many as are allowed, of four numbers of 64 bits each."""

_EVENT_BYTES = 5
_SIZE = "size"

_NAMES: Mapping[str, tuple[str, ...]] = {
    "x": ("x", "x_pos", "xs"),
    "y": ("y", "y_pos", "ys"),
    "t": ("t", "ts", "timestamp", "t_us", "time"),
    "p": ("p", "polarity", "pol", "ps"),
}
"""What files call the columns, the usual name first."""

_OVERFLOW_ROW = 240
"""N-Caltech101's sensor has no such row: an event there says that the counter of times wrapped."""

_OVERFLOW_US = 1 << 13
_WRAP_US = 1 << 23
_NPY, _ZIP = b"\x93NUMPY", b"PK"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")


def is_picture(head: bytes) -> bool:
    """Return whether a file that begins so is a picture."""
    return head.startswith(_PICTURES)


def is_marked(head: bytes) -> bool:
    """Return whether a file's first bytes say what it is: those of N-Caltech101's form do not."""
    return is_picture(head) or head.startswith((_NPY, _ZIP))


def decode(stream: BinaryIO) -> Events:
    """Decode an open file of events.

    Raises:
        ValueError: it is damaged, or not of a known kind, or beyond the limits; nothing is ever
            unpickled.
    """
    size_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size_bytes > MAX_FILE_BYTES:
        raise ValueError(f"it has {size_bytes} bytes, more than {MAX_FILE_BYTES >> 20} MiB")
    stream = in_memory(stream, MAX_FILE_BYTES)
    head = stream.read(8)
    stream.seek(0)
    if head.startswith(_NPY):
        return _of_array(npy_array(stream))
    if head.startswith(_ZIP):
        return _of_archive(npz_arrays(stream, most_bytes=MAX_FILE_BYTES))
    return _of_bytes(stream.read())


def _of_bytes(data: bytes) -> Events:
    """Decode N-Caltech101's form: x, y, and polarity and 23 bits of microseconds, big-endian."""
    n, rest = divmod(len(data), _EVENT_BYTES)
    if rest or n == 0:
        raise ValueError(f"it has {len(data)} bytes, not a multiple of {_EVENT_BYTES}")
    _check_count(n)
    rows = np.frombuffer(data, np.uint8).reshape(n, _EVENT_BYTES)
    x, y = rows[:, 0].astype(np.uint16), rows[:, 1].astype(np.uint16)
    high = rows[:, 2].astype(np.int64)
    t_us = (high & 0x7F) << 16 | rows[:, 3].astype(np.int64) << 8 | rows[:, 4]
    is_overflow = y == _OVERFLOW_ROW
    n_events = n - int(is_overflow.sum())
    if n_events == 0:
        raise ValueError("it holds no events")
    if n_events < MIN_EVENTS:
        raise ValueError(
            f"it holds {n_events} events, and nothing in a file of fewer than {MIN_EVENTS} shows "
            "that it is a recording"
        )
    if (n_beyond := int((y > _OVERFLOW_ROW).sum())) > 0:
        raise ValueError(
            f"{n_beyond} of its {n} events lie beyond the {_OVERFLOW_ROW} rows of the sensor"
        )
    t_us += np.cumsum(is_overflow) * _OVERFLOW_US
    t_us += np.cumsum(np.diff(t_us, prepend=t_us[:1]) < -_WRAP_US // 2) * _WRAP_US
    is_event = ~is_overflow
    p = (high[is_event] >> 7).astype(np.uint8)
    return _events(x[is_event], y[is_event], t_us[is_event], p, MIN_DISTINCT_SHARE_UNMARKED)


def _of_archive(arrays: Mapping[str, NDArray[Any]]) -> Events:
    """Find the events in an npz: N-ImageNet's ``event_data``, a single array, or columns.

    Beside them there may be the height and width of the sensor, as ``size``.
    """
    rest = {name: array for name, array in arrays.items() if name != _SIZE}
    if "event_data" in rest:
        events = _of_array(rest["event_data"])
    elif len(rest) == 1:
        events = _of_array(next(iter(rest.values())))
    else:
        events = _of_columns(rest, list(rest))
    return _on_sensor(events, arrays[_SIZE]) if _SIZE in arrays else events


def _on_sensor(events: Events, size: NDArray[Any]) -> Events:
    if size.shape != (2,):
        raise ValueError(f"its {_SIZE} has the shape {size.shape}, not (2,): height, width")
    height, width = (int(side) for side in _whole(size, _SIZE))
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ValueError(f"its {_SIZE} is {height} x {width}, not within 1 to {MAX_SIDE}")
    if int(events.y.max()) >= height or int(events.x.max()) >= width:
        raise ValueError(f"its events lie beyond its {_SIZE} of {height} x {width}")
    return replace(events, size=(height, width))


def _of_array(array: NDArray[Any]) -> Events:
    """Find the events in an array with named columns, or of shape (n, 4): x, y, t, p."""
    if array.dtype.names is not None:
        if array.ndim != 1:
            raise ValueError(f"it has named columns and the shape {array.shape}, not (n,)")
        return _of_columns({name: array[name] for name in array.dtype.names}, array.dtype.names)
    if array.ndim != 2 or array.shape[1] != len(_NAMES):
        raise ValueError(f"it has the shape {array.shape}, not (n, 4): x, y, t, p")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"it is of {array.dtype}, not of numbers")
    x, y, t, p = array.T
    return _of_columns({"x": x, "y": y, "t": t, "p": p}, "xytp")


def _of_columns(columns: Mapping[str, NDArray[Any]], names: Any) -> Events:
    arrays = []
    for what, aliases in _NAMES.items():
        name = next((alias for alias in aliases if alias in columns), None)
        if name is None:
            raise ValueError(f"it has no column {what}, but {', '.join(map(str, names))}")
        arrays.append(columns[name])
    x, y, t, p = arrays
    if any(column.ndim != 1 or len(column) != len(x) for column in arrays):
        raise ValueError("its columns are of different lengths, or of more than one dimension")
    if len(x) == 0:
        raise ValueError("it holds no events")
    _check_count(len(x))
    return _events(_coordinates(x, "x"), _coordinates(y, "y"), _microseconds(t), _polarities(p))


def _check_count(n: int) -> None:
    if n > MAX_EVENTS:
        raise ValueError(f"it has {n} events, more than {MAX_EVENTS}; cut it up")


def _whole(column: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Return a column of numbers as 64-bit integers.

    Raises:
        ValueError: they are not finite, not whole, or beyond 62 bits.
    """
    if column.dtype.kind not in "fiub":
        raise ValueError(f"its column {name} is of {column.dtype}, not of numbers")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise ValueError(f"its column {name} is not finite")
    if float(np.abs(column.astype(np.float64)).max()) >= 2.0**62:
        raise ValueError(f"its column {name} holds numbers that are too large")
    whole = column.astype(np.int64)
    if column.dtype.kind == "f" and (whole != column).any():
        raise ValueError(f"its column {name} holds fractions")
    return whole


def _coordinates(column: NDArray[Any], name: str) -> NDArray[np.uint16]:
    whole = _whole(column, name)
    if whole.min() < 0 or whole.max() >= MAX_SIDE:
        raise ValueError(f"its column {name} is not within 0 to {MAX_SIDE - 1}")
    return whole.astype(np.uint16)


def _microseconds(column: NDArray[Any]) -> NDArray[np.int64]:
    if column.dtype.kind != "f":
        return _whole(column, "t")
    with np.errstate(over="ignore"):  # what is not finite is said below
        return _whole(np.rint(column.astype(np.float64) * 1e6), "t")


def _polarities(column: NDArray[Any]) -> NDArray[np.uint8]:
    whole = _whole(column, "p")
    if not np.isin(whole, (-1, 0, 1)).all() or (0 in whole and -1 in whole):
        raise ValueError("its polarities are neither 0 and 1 nor -1 and 1")
    return (whole > 0).astype(np.uint8)


def _events(
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    t_us: NDArray[np.int64],
    p: NDArray[np.uint8],
    distinct_share: float = MIN_DISTINCT_SHARE,
) -> Events:
    """Return events in the order of time, on a sensor that holds them."""
    n_backward = int((t_us[1:] < t_us[:-1]).sum())
    if n_backward > MAX_BACKWARD_SHARE * len(t_us):
        raise ValueError(f"its times go back {n_backward} times in {len(t_us)} events")
    if n_backward:
        order = np.argsort(t_us, kind="stable")
        x, y, t_us, p = x[order], y[order], t_us[order], p[order]
    seconds = int(t_us[-1] - t_us[0]) / 1e6
    if seconds > MAX_SECONDS:
        units = "whole numbers are microseconds, others seconds"
        raise ValueError(f"it lasts {seconds:.0f} seconds, more than {MAX_SECONDS} ({units})")
    if (n_distinct := _n_distinct(x, y, t_us, p)) < distinct_share * len(t_us):
        raise ValueError(
            f"only {n_distinct} of its {len(t_us)} events differ, so that it is blank in part"
        )
    return Events(x, y, t_us, p, _sensor(int(x.max()), int(y.max())))


def _n_distinct(
    x: NDArray[np.uint16], y: NDArray[np.uint16], t_us: NDArray[np.int64], p: NDArray[np.uint8]
) -> int:
    """Count the events that differ, of a recording that is within the limits."""
    # A number for each: an hour of microseconds has 32 bits, and a side of MAX_SIDE has 12.
    numbers = (t_us - t_us[0]) << 25 | x.astype(np.int64) << 13 | y.astype(np.int64) << 1 | p
    numbers.sort()
    return 1 + int((numbers[1:] != numbers[:-1]).sum())


def _sensor(x: int, y: int) -> tuple[int, int]:
    for height, width in SENSORS:
        if x < width and y < height:
            return height, width
    return max(y + 1, SENSORS[-1][0]), max(x + 1, SENSORS[-1][1])
