"""Headers of images that would keep Pillow busy or fill the memory, found before it opens them.

Pillow's parsers are Python, and some take time or memory that grows with the square of a header.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

MAX_PNG_CHUNKS = 1 << 18
"""A hundred million pixels of 16 bits take a third of it, as encoders cut them up."""

MAX_EXIF_BYTES = 1 << 20
"""Of a JPEG, which is meant to have 64 KiB."""

MAX_JPEG_HEADER_BYTES = 1 << 26
"""Of all that precedes a JPEG's pixels: thumbnails, profiles, depths."""

MAX_SEGMENTS = 1 << 16
"""Of a JPEG's header, bytes that pad it among them."""

MAX_PNM_HEADER_BYTES = 1 << 16
"""Three numbers, and comments."""

_PNM = re.compile(rb"P[1-6fF7y0](?:(?:\s|#[^\n]*\n)+[^\s#]+){2}(?:(?:\s|#[^\n]*\n)+[^\s#]+)?")
_PNG = b"\x89PNG\r\n\x1a\n"
# Bytes of a value by TIFF's number of its type; BigTIFF adds 16 to 18.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
# Markers without a length (TEM, RST0-7, SOI), and those that end the header (SOS, EOI).
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_PIXELS = frozenset((0xDA, 0xD9))


class Excess(Exception):
    """A header beyond the limits; the message says how, lower case, no full stop."""


def check_header(stream: BinaryIO) -> None:
    """Look through the header of a PNG, JPEG or TIFF; the stream ends up at its start.

    Raises:
        Excess: it is beyond the limits.
    """
    size_bytes = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(16)
    if head.startswith(_PNG):
        _check_png(stream)
    elif head.startswith(b"\xff\xd8"):
        _check_jpeg(stream, size_bytes)
    elif head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        _check_tags(stream, size_bytes, head)
    elif head[:1] == b"P" and head[1:2] in b"123456fF7y0":
        stream.seek(0)
        data = stream.read(MAX_PNM_HEADER_BYTES)
        if len(data) == MAX_PNM_HEADER_BYTES and _PNM.match(data) is None:
            raise Excess(f"its header has more than {MAX_PNM_HEADER_BYTES} bytes")
    stream.seek(0)


def _check_png(stream: BinaryIO) -> None:
    place = len(_PNG)
    for _ in range(MAX_PNG_CHUNKS):
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        place += 12 + int.from_bytes(head[:4], "big")
    raise Excess(f"it has more than {MAX_PNG_CHUNKS} chunks")


def _check_jpeg(stream: BinaryIO, size_bytes: int) -> None:
    place, exif_bytes = 2, 0
    n = 0
    while place + 4 <= min(size_bytes, MAX_JPEG_HEADER_BYTES):
        if (n := n + 1) > MAX_SEGMENTS:
            raise Excess(f"it has more than {MAX_SEGMENTS} segments")
        stream.seek(place)
        head = stream.read(10)
        marker = head[1]
        if head[0] != 0xFF or marker in _PIXELS:
            return
        if marker == 0xFF or marker in _ALONE:  # padding, or nothing follows
            place += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(head[2:4], "big")
        if marker == 0xE1 and head[4:8] == b"Exif":
            exif_bytes += length
        if exif_bytes > MAX_EXIF_BYTES:
            raise Excess(f"it has more than {MAX_EXIF_BYTES} bytes of EXIF")
        place += 2 + length
    if place > MAX_JPEG_HEADER_BYTES:
        raise Excess(f"its header has more than {MAX_JPEG_HEADER_BYTES} bytes")


def _check_tags(stream: BinaryIO, size_bytes: int, head: bytes) -> None:
    """Refuse tags of a TIFF that together hold more than the file: they overlap."""
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    first = struct.unpack(f"{order}{'Q' if big else 'I'}", head[8:16] if big else head[4:8])[0]
    if first >= size_bytes:
        return
    stream.seek(first)
    counted = stream.read(8 if big else 2)
    if len(counted) < (8 if big else 2):
        return
    # BigTIFF counts its tags with 64 bits: a lie of that size is not believed.
    n = min(struct.unpack(f"{order}{'Q' if big else 'H'}", counted)[0], 1 << 16)
    entry = struct.Struct(f"{order}HH{'Q' if big else 'I'}")
    step = 20 if big else 12
    table = stream.read(step * n)
    total = 0
    for place in range(0, len(table) - step + 1, step):
        _, kind, count = entry.unpack_from(table, place)
        total += _TYPE_BYTES.get(kind, 1) * count if count <= size_bytes else 0
    if total > 2 * size_bytes + (1 << 20):
        raise Excess(f"its tags hold {total} bytes, more than the file")
