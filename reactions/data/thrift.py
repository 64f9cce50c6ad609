"""Structs in Thrift's compact protocol, which parquet's metadata is in; their origin is unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

MAX_DEPTH = 24
"""Of structs and lists within each other."""

_FIRST_BYTES = 1 << 12
_MOST_BYTES = 1 << 22
"""Headers hold a few numbers, and the least and greatest value, which may be long."""


class CutShort(ValueError):
    """The data end before the struct does."""


def read_struct(stream: BinaryIO, place: int, end: int) -> tuple[dict[int, Any], int]:
    """Read a small struct at a place of a stream.

    Args:
        stream: seekable; moved.
        place: where the struct begins.
        end: where it ends at the latest.

    Returns:
        Number of a field to its value; and how many bytes the struct takes.

    Raises:
        ValueError: it is damaged, or longer than headers are.
    """
    size_bytes = _FIRST_BYTES
    while True:
        stream.seek(place)
        reader = Compact(stream.read(min(size_bytes, end - place)))
        try:
            return reader.struct(), reader.place
        except CutShort:
            if size_bytes >= min(_MOST_BYTES, end - place):
                raise
            size_bytes *= 16


class Compact:
    """Thrift's compact protocol, as far as structs and what lies in them.

    Whatever the data say, reading takes time and memory in proportion to their length.

    Args:
        data: begins with a struct.

    Attributes:
        place: of the next byte.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0
        self._readers: dict[int, Callable[[int], Any]] = {
            # By type: true, false, i8, i16, i32, i64, double, binary, list, set, map, struct.
            1: lambda depth: True,
            2: lambda depth: False,
            3: lambda depth: self._byte(),
            4: lambda depth: self._zigzag(),
            5: lambda depth: self._zigzag(),
            6: lambda depth: self._zigzag(),
            7: lambda depth: self._take(8),
            8: lambda depth: self._take(self._varint()),
            9: self._list,
            10: self._list,
            11: self._map,
            12: self.struct,
        }

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Read a struct: number of a field to its value.

        Raises:
            CutShort: the data end within it.
            ValueError: it is damaged, or nested too deeply.
        """
        values: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            delta = head >> 4
            # Ids are written as differences of 1 to 15; any other id follows as a number.
            field = field + delta if delta else self._zigzag()
            values[field] = self._value(head & 15, depth)
        return values

    def _value(self, kind: int, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            raise ValueError("its metadata is nested too deeply")
        if kind not in self._readers:
            raise ValueError(f"its metadata holds a value of type {kind}")
        return self._readers[kind](depth + 1)

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        n = head >> 4 if head >> 4 < 15 else self._varint()
        self._check_count(n)
        return [self._element(head & 15, depth) for _ in range(n)]

    def _map(self, depth: int) -> list[tuple[Any, Any]]:
        n = self._varint()
        self._check_count(n)
        kinds = self._byte() if n else 0
        return [
            (self._element(kinds >> 4, depth), self._element(kinds & 15, depth)) for _ in range(n)
        ]

    def _element(self, kind: int, depth: int) -> Any:
        # A truth value takes a byte here; as a field its type says it.
        return self._byte() == 1 if kind in (1, 2) else self._value(kind, depth)

    def _check_count(self, n: int) -> None:
        # An entry takes a byte at least: a count beyond that would only fill the memory.
        if n > len(self._data) - self.place:
            raise CutShort(f"its metadata declares {n} entries in {len(self._data)} bytes")

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, n: int) -> bytes:
        part = self._data[self.place : self.place + n]
        if len(part) < n:
            raise CutShort("its metadata is cut short")
        self.place += n
        return part

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number in its metadata is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
