"""Files of point clouds: npy, npz, ply, off, and lines of numbers.

What a file is, its first bytes say. Its points are kept as they are, in their order; only meshes
in OFF, whose corners say little, give points of their surface.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reactions.core.npz import npy_array, npz_arrays
from reactions.modalities import noticed
from reactions.modalities.encoded import in_memory
from reactions.modalities.points import meshes, ply
from reactions.modalities.points.lines import table_of, text_lines, words_of
from reactions.modalities.points.values import MAX_POINTS, cloud

MAX_FILE_BYTES = 1 << 29
"""Of a file of points."""

_POINTS = ("points", "xyz", "pos", "positions", "vertices", "point_cloud", "pc")
_COLOURS = ("rgb", "colors", "colours", "color", "colour")
_NPY, _ZIP = b"\x93NUMPY", b"PK"
_OFF = re.compile(rb"(?:ST)?C?N?4?n?OFF(?![A-Za-z])")
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*")
_RED_GREEN_BLUE = (("red", "green", "blue"), ("r", "g", "b"))

MORE_COLUMNS = noticed.Kind(
    "{n} point clouds have further numbers beside x, y and z, which were left out; a first line "
    "'x,y,z,red,green,blue' names colours",
    "1 point cloud has further numbers beside x, y and z, which were left out; a first line "
    "'x,y,z,red,green,blue' names colours",
)


def decode(stream: BinaryIO, path: str) -> NDArray[np.float32]:
    """Decode an open file of points.

    Returns:
        (n, 3) float32, or (n, 6) with colours from 0 to 1.

    Raises:
        ValueError: it is damaged, not of a known kind, or beyond the limits; nothing is ever
            unpickled.
    """
    size_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size_bytes > MAX_FILE_BYTES:
        raise ValueError(f"it has {size_bytes} bytes, more than {MAX_FILE_BYTES >> 20} MiB")
    stream = in_memory(stream, MAX_FILE_BYTES)
    head = stream.read(512)
    stream.seek(0)
    if head.startswith(_NPY):
        return _of_array(npy_array(stream))
    if head.startswith(_ZIP):
        return _of_archive(npz_arrays(stream, most_bytes=MAX_FILE_BYTES))
    if head[:4] in (b"ply\n", b"ply\r"):
        return cloud(*ply.read(stream, size_bytes))
    if _OFF.match(head):
        return cloud(meshes.surface_of_off(words_of(stream)))
    if not head or not _TEXT.fullmatch(head):
        raise ValueError("it is neither an npy, npz, ply or off file nor lines of numbers")
    return _of_lines(stream, path)


def _of_array(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.names is not None:
        return _of_named({name: array[name] for name in array.dtype.names})
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim == 2 and array.shape[1] == 6:
        rgb = array[:, 3:]
        if array.dtype.kind == "f" and array.size and not 0 <= rgb.min() <= rgb.max() <= 1:
            raise ValueError(
                "its columns 4 to 6 are not colours from 0 to 1; of points with normals, save "
                "the first three columns"
            )
        return cloud(array[:, :3], rgb)
    return cloud(array)


def _of_archive(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    name = next((name for name in _POINTS if name in arrays), None)
    if name is None and len(arrays) == 1:
        return _of_array(next(iter(arrays.values())))
    if name is None:
        if {"x", "y", "z"} <= arrays.keys():
            return _of_named(arrays)
        raise ValueError(f"it holds no array called {_POINTS[0]}, but {', '.join(arrays)}")
    colours = next((arrays[c] for c in _COLOURS if c in arrays), None)
    return _of_array(arrays[name]) if colours is None else cloud(arrays[name], colours)


def _of_named(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return the points of columns x, y and z, with colours where they are named."""
    missing = [axis for axis in "xyz" if axis not in columns]
    if missing:
        raise ValueError(f"it has no column {missing[0]}, but {', '.join(columns)}")
    if any(columns[axis].ndim != 1 or len(columns[axis]) != len(columns["x"]) for axis in "xyz"):
        raise ValueError("its columns are of different lengths, or of more than one dimension")
    colour_names = next(
        (names for names in _RED_GREEN_BLUE if all(n in columns for n in names)), None
    )
    rgb = np.stack([columns[name] for name in colour_names], axis=1) if colour_names else None
    return cloud(np.stack([columns[axis] for axis in "xyz"], axis=1), rgb)


# --- lines of numbers ----------------------------------------------------------------


def _of_lines(stream: BinaryIO, path: str) -> NDArray[np.float32]:
    """Read lines of numbers set apart by commas or blanks: x, y, z and whatever follows.

    What follows (normals, labels) is left out, and noted, unless a first line names it a colour.
    """
    lines = text_lines(stream)
    first = next(lines, "")
    comma = "," in first
    words = [word.strip().strip('"').lower() for word in first.split("," if comma else None)]
    names: Sequence[str] = ()
    if words and not any(map(_is_number, words)):
        if words[:3] != ["x", "y", "z"]:
            raise ValueError(f"its first line neither holds numbers nor names x, y, z: {first!r}")
        names, first = words, next(lines, "")
    if not first:
        raise ValueError("it holds no points")
    # One more than is allowed, so that too many are refused and not cut off.
    table = table_of(chain([first], lines), MAX_POINTS + 1, "," if comma else None)
    if table.shape[1] < 3:
        raise ValueError(f"its lines hold {table.shape[1]} numbers, and a point needs 3")
    if len(names) > table.shape[1]:
        raise ValueError(f"its first line names {len(names)} columns, its others hold fewer")
    rgb = None
    for trio in _RED_GREEN_BLUE:
        if all(name in names for name in trio):
            rgb = table[:, [names.index(name) for name in trio]]
            rgb = rgb / 255 if rgb.max() > 1 else rgb
    if table.shape[1] > 3 + (0 if rgb is None else 3):
        noticed.note(MORE_COLUMNS, path)
    return cloud(table[:, :3], rgb)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
