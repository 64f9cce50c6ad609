"""PLY files: the points of their vertices, in ASCII or binary of either byte order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reactions.modalities.points.lines import table_of, text_lines
from reactions.modalities.points.values import MAX_POINTS

MAX_HEADER_BYTES = 1 << 16
MAX_PROPERTIES = 256
"""Of one element, and as many elements."""

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_COLOURS = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)


@dataclass(slots=True)
class _Element:
    """What a header says of one kind of element.

    Attributes:
        name: such as ``"vertex"``.
        n: how many there are.
        properties: name to type; "" for a list.
    """

    name: str
    n: int
    properties: dict[str, str]

    @property
    def has_lists(self) -> bool:
        return "" in self.properties.values()

    def dtype(self, order: str) -> np.dtype[Any]:
        return np.dtype([(name, order + kind) for name, kind in self.properties.items()])


def read(stream: BinaryIO, size_bytes: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read the vertices of a PLY; faces and whatever else it holds are left aside.

    Args:
        stream: at the start of the file.
        size_bytes: of the file.

    Returns:
        (n, 3) coordinates, and (n, 3) colours or None, as they are stored.

    Raises:
        ValueError: it is damaged or cut short, has no vertices, or is beyond the limits.
    """
    order, elements = _header(stream)
    before = []
    for element in elements:
        if element.name == "vertex":
            break
        before.append(element)
    else:
        raise ValueError("it has no vertices")
    if element.has_lists or any(axis not in element.properties for axis in "xyz"):
        raise ValueError("its vertices have no x, y and z, or lists beside them")
    if not 1 <= element.n <= MAX_POINTS:
        raise ValueError(f"it has {element.n} vertices, and needs 1 to {MAX_POINTS}")
    if any(other.has_lists for other in before):
        raise ValueError("its vertices come after faces")
    rest = elements[len(before) + 1 :]
    table: Any  # by column
    if order:
        table = _binary(stream, size_bytes, order, before, element, rest)
    else:
        table = _ascii(stream, sum(other.n for other in before), element, rest)
    xyz = np.stack([table[axis] for axis in "xyz"], axis=1)
    colour_names = next(
        (names for names in _COLOURS if all(n in element.properties for n in names)), None
    )
    return xyz, np.stack([table[name] for name in colour_names], axis=1) if colour_names else None


def _header(stream: BinaryIO) -> tuple[str, list[_Element]]:
    """Return the byte order, "" for ASCII, and the elements; the stream ends up behind it."""
    order = None
    elements: list[_Element] = []
    bytes_left = MAX_HEADER_BYTES
    while True:
        line = stream.readline(bytes_left + 1)
        bytes_left -= len(line)
        if not line.endswith(b"\n") or bytes_left < 0:
            raise ValueError("its header is cut short or longer than 64 KiB")
        words = line.decode("ascii").split()
        match words:
            case ["end_header"]:
                break
            case ["format", form, _] if form in _ORDERS:
                order = _ORDERS[form]
            case ["element", name, n] if n.isdigit() and len(n) < 19:
                elements.append(_Element(name, int(n), {}))
            case ["property", "list", count, kind, name] if elements:
                _add(elements[-1], name, "", is_known=count in _TYPES and kind in _TYPES)
            case ["property", kind, name] if elements:
                _add(elements[-1], name, _TYPES.get(kind, ""), is_known=kind in _TYPES)
            case ["ply"] | ["comment" | "obj_info", *_] | []:
                continue
            case _:
                raise ValueError(f"its header holds {' '.join(words)[:60]!r}")
        if len(elements) > MAX_PROPERTIES:
            raise ValueError("its header names too many elements")
    if order is None:
        raise ValueError("its header names no format")
    return order, elements


def _add(element: _Element, name: str, kind: str, *, is_known: bool) -> None:
    if not is_known:
        raise ValueError(f"its property {name!r} is of an unknown type")
    if name in element.properties or len(element.properties) >= MAX_PROPERTIES:
        raise ValueError(f"its header names property {name!r} twice, or too many")
    element.properties[name] = kind


def _binary(
    stream: BinaryIO,
    size_bytes: int,
    order: str,
    before: list[_Element],
    element: _Element,
    rest: list[_Element],
) -> NDArray[Any]:
    dtype = element.dtype(order)
    skipped = sum(other.n * other.dtype(order).itemsize for other in before)
    # Of a list, one byte at least: that of its length.
    least = sum(
        other.n * sum(np.dtype(kind).itemsize if kind else 1 for kind in other.properties.values())
        for other in rest
    )
    needed = skipped + element.n * dtype.itemsize
    bytes_left = size_bytes - stream.tell()
    if needed + least > bytes_left:
        raise ValueError(
            f"it is cut short: {bytes_left} bytes follow its header, not {needed + least}"
        )
    stream.seek(skipped, os.SEEK_CUR)
    return np.frombuffer(stream.read(element.n * dtype.itemsize), dtype)


def _ascii(
    stream: BinaryIO, n_before: int, element: _Element, rest: list[_Element]
) -> Mapping[str, NDArray[Any]]:
    lines = text_lines(stream)
    for _ in range(n_before):
        if next(lines, None) is None:
            raise ValueError("it is cut short")
    table = table_of(lines, element.n)
    names = list(element.properties)
    if table.shape != (element.n, len(names)):
        raise ValueError(f"it holds {table.shape}, not ({element.n}, {len(names)}) numbers")
    n_rest = sum(other.n for other in rest)
    if sum(1 for _ in lines) < n_rest:
        raise ValueError("it is cut short: faces are missing")
    columns: dict[str, NDArray[Any]] = {}
    for column, (name, kind) in zip(table.T, element.properties.items(), strict=True):
        with np.errstate(invalid="ignore"):
            columns[name] = column if kind.startswith("f") else column.astype(kind)
        if not np.array_equal(columns[name], column, equal_nan=True):
            raise ValueError(f"its property {name!r} holds numbers that its type does not")
    return columns
