"""What a parquet file says that its columns unpack to, read without Arrow.

Arrow trusts these numbers when it allocates, and its accessors of damaged ones end the process.
Both the footer and the headers of the pages are read: one may say less than the other.

Source: the format's ``parquet.thrift``, in Thrift's compact protocol; numbers of fields are its.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from reactions.data.thrift import Compact, read_struct

_MAGIC = b"PAR1"
_MAX_FOOTER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class DeclaredSizes:
    """What some columns of a file declare.

    Attributes:
        n_rows: of the file.
        values: of the columns, nulls included.
        unpacked_bytes: of their pages, decompressed and still encoded.
    """

    n_rows: int
    values: int
    unpacked_bytes: int


def declared_sizes(path: Path, column: str) -> DeclaredSizes:
    """Return what a file declares of a column and all that lies in it.

    Args:
        path: of the file.
        column: its name at the top of the schema.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as stream:
        footer = _footer(stream, size_bytes)
        values = unpacked_bytes = 0
        for chunk in _chunks(footer, column):
            # 5: num_values, 6: total_uncompressed_size.
            in_pages = _pages(stream, chunk, size_bytes)
            values += max(_number(chunk, 5), in_pages[0])
            unpacked_bytes += max(_number(chunk, 6), in_pages[1])
    return DeclaredSizes(_number(footer, 3), values, unpacked_bytes)


def check_levels(stream: BinaryIO, levels: Sequence[tuple[int, int]]) -> None:
    """Check what Arrow's accessors of a column's metadata abort over.

    Args:
        stream: the file, seekable.
        levels: highest repetition and definition level of each stored column, by the schema.

    Raises:
        ValueError: a row group has other columns, or counts other levels.
    """
    footer = _footer(stream, stream.seek(0, 2))
    for group in _items(footer, 4):
        chunks = _items(group, 1)
        if len(chunks) != len(levels):
            raise ValueError(f"a row group has {len(chunks)} columns, the schema {len(levels)}")
        for chunk, highest in zip(chunks, levels, strict=True):
            # 3: meta_data; in it 16: size_statistics, whose 2 and 3 are histograms of both levels.
            counted = chunk.get(3, {}).get(16, {}) if isinstance(chunk.get(3), dict) else None
            if not isinstance(counted, dict):
                raise ValueError("the metadata of a column are damaged, or encrypted")
            for field, level in zip((2, 3), highest, strict=True):
                histogram = counted.get(field) or []
                if not isinstance(histogram, list) or len(histogram) not in (0, level + 1):
                    raise ValueError("the metadata of a column count levels that it does not have")


def page_sizes(stream: BinaryIO, start: int, size_bytes: int) -> Iterator[int]:
    """Yield what each page of a column's chunk says that it unpacks to, in bytes.

    Readers allocate that before they unpack anything.

    Args:
        stream: of the file.
        start: where the chunk begins.
        size_bytes: of the chunk, packed.

    Raises:
        ValueError: a header cannot be read, or its sizes cannot be.
    """
    place, end = start, start + size_bytes
    while place < end:
        try:
            page, n_bytes = read_struct(stream, place, end)
            # 2: uncompressed_page_size, 3: compressed_page_size.
            unpacked, packed = _number(page, 2), _number(page, 3)
        except ValueError as error:
            raise ValueError(f"the header of the page at byte {place}: {error}") from None
        if packed > end - place - n_bytes:
            raise ValueError(f"the page at byte {place} declares more bytes than its column has")
        yield unpacked
        place += n_bytes + packed


def _footer(stream: BinaryIO, size_bytes: int) -> dict[int, Any]:
    if size_bytes < 12:
        raise ValueError("it is cut short")
    # A file ends with the length of its footer, 4 bytes, and the magic it began with.
    stream.seek(-8, 2)
    n_bytes, magic = struct.unpack("<I4s", stream.read(8))
    if magic != _MAGIC or not 0 < n_bytes <= size_bytes - 12:
        raise ValueError("it has no footer: it is cut short, encrypted, or not parquet")
    if n_bytes > _MAX_FOOTER_BYTES:
        # Read as Python's objects, a byte of it may become seventy.
        raise ValueError(
            f"its footer has {n_bytes:,} bytes, more than the {_MAX_FOOTER_BYTES:,} that are read; "
            "write it in fewer row groups"
        )
    stream.seek(-8 - n_bytes, 2)
    return Compact(stream.read(n_bytes)).struct()


def _chunks(footer: dict[int, Any], column: str) -> Iterator[dict[int, Any]]:
    """Yield the metadata of a column's chunks, a row group after the other."""
    for group in _items(footer, 4):
        for chunk in _items(group, 1):
            metadata = chunk.get(3)
            if not isinstance(metadata, dict):
                raise ValueError("a column has no metadata, or is encrypted")
            names = metadata.get(3)
            if isinstance(names, list) and names[:1] == [column.encode()]:
                yield metadata


def _items(record: Any, field: int) -> list[dict[int, Any]]:
    items = record.get(field) if isinstance(record, dict) else None
    if not isinstance(items, list) or any(not isinstance(item, dict) for item in items):
        raise ValueError(f"field {field} of its footer is damaged")
    return items


def _number(record: dict[int, Any], field: int) -> int:
    value = record.get(field)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"field {field} of its metadata is {value!r}")
    return value


def _pages(stream: BinaryIO, chunk: dict[int, Any], size_bytes: int) -> tuple[int, int]:
    """Return values and bytes that the headers of a chunk's pages declare."""
    # 9: data_page_offset, 11: dictionary_page_offset, 7: total_compressed_size.
    place = min(_number(chunk, 9), chunk[11] if isinstance(chunk.get(11), int) else size_bytes)
    # Some writers give a dictionary page that is not there the offset 0.
    place = place if place >= len(_MAGIC) else _number(chunk, 9)
    stop = min(size_bytes, place + _number(chunk, 7))
    values = unpacked_bytes = 0
    # Arrow stops there, too; what some writers say of where a chunk ends is not to be relied on.
    while place < stop and values < _number(chunk, 5):
        page, n_bytes = read_struct(stream, place, size_bytes)
        unpacked_bytes += _number(page, 2)
        # Data pages of version 1 (5) or 2 (8), with num_values first; dictionaries do not count.
        header = next((page[key] for key in (5, 8) if isinstance(page.get(key), dict)), None)
        values += 0 if header is None else _number(header, 1)
        place += n_bytes + _number(page, 3)
    return values, unpacked_bytes
