"""Sizes that the pages of a parquet file declare: the footer may say less than they do.

Every page begins with a ``PageHeader`` in Thrift's compact protocol, whose fields 2 and 3 are
its sizes unpacked and packed. Readers allocate the first before they unpack anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_UNPACKED, _PACKED = 2, 3
_HEAD_BYTES = 1 << 12
_MOST_HEAD_BYTES = 1 << 22
"""Headers hold a few numbers, and the least and greatest value, which may be long."""

_MOST_DEPTH = 8
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)


def page_sizes(stream: BinaryIO, start: int, size_bytes: int) -> Iterator[int]:
    """Yield what each page of a column's chunk says that it unpacks to, in bytes.

    Args:
        stream: of the file.
        start: where the chunk begins.
        size_bytes: of the chunk, packed.

    Raises:
        ValueError: a header cannot be read, or its sizes cannot be.
    """
    place, end = start, start + size_bytes
    while place < end:
        fields, n_bytes = _header(stream, place, end)
        unpacked, packed = fields.get(_UNPACKED, -1), fields.get(_PACKED, -1)
        if unpacked < 0 or not 0 <= packed <= end - place - n_bytes:
            raise ValueError(f"the page at byte {place} declares impossible sizes")
        yield unpacked
        place += n_bytes + packed


def _header(stream: BinaryIO, place: int, end: int) -> tuple[dict[int, int], int]:
    """Return the whole numbers of the header at a place, by field, and its length."""
    size_bytes = _HEAD_BYTES
    while True:
        stream.seek(place)
        data = stream.read(min(size_bytes, end - place))
        try:
            reader = _Compact(data)
            return reader.struct(), reader.place
        except IndexError:
            if size_bytes >= min(_MOST_HEAD_BYTES, end - place):
                raise ValueError(f"the page at byte {place} has no header") from None
            size_bytes *= 16


class _Compact:
    """Thrift's compact protocol, as far as page headers go; IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def struct(self, depth: int = 0) -> dict[int, int]:
        """Read a structure; return its whole numbers."""
        found: dict[int, int] = {}
        field = 0
        while (head := self._byte()) != 0:
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            if kind in _INTEGERS:
                found[field] = self._zigzag()
            elif kind not in (_TRUE, _FALSE):
                self._skip(kind, depth)
        return found

    def _skip(self, kind: int, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise ValueError("a page's header is too deep")
        if kind in (_TRUE, _FALSE, _BYTE):  # of a list: a field has them in its head
            self._advance(1)
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _DOUBLE:
            self._advance(8)
        elif kind == _BINARY:
            self._advance(self._varint())
        elif kind in (_LIST, _SET):
            head = self._byte()
            n = head >> 4 if head >> 4 < 15 else self._varint()
            for _ in range(n):
                self._skip(head & 15, depth + 1)
        elif kind == _STRUCT:
            self.struct(depth + 1)
        else:  # a map, which no page's header has
            raise ValueError(f"a page's header holds a value of kind {kind}")

    def _byte(self) -> int:
        value = self._data[self.place]
        self.place += 1
        return value

    def _advance(self, n_bytes: int) -> None:
        if n_bytes < 0 or self.place + n_bytes > len(self._data):
            raise IndexError
        self.place += n_bytes

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a page's header holds a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
