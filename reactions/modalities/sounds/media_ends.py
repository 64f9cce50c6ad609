"""Containers that libsndfile does not read: which one a file is, and whether it is whole.

FFmpeg reads what was cut short to where it ends, without a word. Containers say how long their
parts are, and here that is held against the file; none is decoded. What says nothing of its length
(AAC streams, transport streams, what browsers record) shows a cut within a packet, not one between
two: so it is with MP3, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from reactions.modalities.sounds import mpeg_frames, ogg_pages
from reactions.modalities.sounds.containers import Damage

_MAX_PARTS = 1 << 22
"""Packets of twenty milliseconds fill an hour with a twentieth of it."""

_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_OGG_OF_SNDFILE = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")
_ADTS_HEAD_BYTES = 7
_TS_PACKETS = {0: 188, 4: 192}
"""Where the first packet's mark is, and how long packets then are: Blu-rays put a time before."""


def kind_of(stream: BinaryIO) -> str:
    """Return the kind of an open file by its contents; "" for what is left to libsndfile.

    Args:
        stream: of the file; moved to its start.
    """
    head = _read(stream, 0, 1 << 10)
    stream.seek(0)
    if head[4:8] in _BOXES:
        return "mov"
    if head.startswith(_EBML):
        return "matroska"
    if head.startswith(_ASF):
        return "asf"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(b"FLV\1"):
        return "flv"
    if head.startswith(b"OggS") and len(head) > 27:
        first = head[27 + head[26] :]
        return "" if first.startswith(_OGG_OF_SNDFILE) else "ogg"
    if any(_marks(head, place, step) for place, step in _TS_PACKETS.items()):
        return "mpegts"
    start = mpeg_frames.skip_tags(head, 0)
    size_bytes = _adts_bytes(_read(stream, start, _ADTS_HEAD_BYTES))
    follows = _read(stream, start + size_bytes, _ADTS_HEAD_BYTES) if size_bytes else b""
    stream.seek(0)
    return "aac" if size_bytes and (not follows or _adts_bytes(follows)) else ""


def check_end(stream: BinaryIO, kind: str) -> None:
    """Refuse a file that ends before its parts do.

    Args:
        stream: of the file; moved to its start.
        kind: from ``kind_of``.

    Raises:
        Damage: it does, or its parts cannot be followed to its end.
    """
    size_bytes = stream.seek(0, os.SEEK_END)
    _CHECKS[kind](stream, size_bytes)
    stream.seek(0)


def _read(stream: BinaryIO, place: int, size_bytes: int) -> bytes:
    stream.seek(place)
    return stream.read(size_bytes)


def _marks(head: bytes, place: int, step: int) -> bool:
    return head[place::step][:3] == b"GGG"


def _cut(place: int, size_bytes: int) -> Damage:
    return Damage(f"it is cut short: its last part lacks {place - size_bytes} bytes")


# --- MP4, QuickTime: boxes -------------------------------------------------------------


def _check_boxes(stream: BinaryIO, size_bytes: int) -> None:
    place = 0
    box_names: set[bytes] = set()
    for _ in range(_MAX_PARTS):
        head = _read(stream, place, 16)
        name = head[4:8]
        if len(head) < 8 or not (name.isascii() and name.decode().isprintable()):
            # What some programs put behind a whole file is not a box.
            if {b"moov", b"mdat"} <= box_names or not head.strip(b"\0"):
                break
            raise Damage(f"it is damaged: no part begins at byte {place}")
        box_names.add(name)
        size = int.from_bytes(head[:4], "big")
        if size == 0:  # to the end of the file
            break
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8:
            raise Damage(f"it is damaged: its part at byte {place} has no length")
        place += size
        if place > size_bytes:
            raise _cut(place, size_bytes)
        if place == size_bytes:
            break
    missing = [name.decode() for name in (b"moov", b"mdat") if name not in box_names]
    if missing:
        why = "it is cut short, or was never finished"
        raise Damage(f"{why}: its part '{missing[0]}' is missing")


# --- Matroska, WebM: elements ----------------------------------------------------------


def _check_elements(stream: BinaryIO, size_bytes: int) -> None:
    """Follow elements; of what was recorded live, whose length was not known, those within."""
    place = 0
    for _ in range(_MAX_PARTS):
        if place == size_bytes:
            return
        head = _read(stream, place, 12)
        name, size, start = _element(head)
        if start == 0 or start > len(head):
            raise Damage(f"it is damaged or cut short: no element begins at byte {place}")
        if size is None:
            if name not in (_SEGMENT, _CLUSTER):
                raise Damage(f"it is damaged: its element at byte {place} has no length")
            place += start
            continue
        place += start + size
        if place > size_bytes:
            raise _cut(place, size_bytes)
        if name == _SEGMENT:  # what follows the last one is not of the file
            return
    raise Damage(f"it has more than {_MAX_PARTS} elements")


def _element(head: bytes) -> tuple[int, int | None, int]:
    """Return an element's name, its length (None for one not known), and that of its head."""
    name_bytes = _var_bytes(head[:1], 4)
    size_bytes = _var_bytes(head[name_bytes : name_bytes + 1], 8)
    if not name_bytes or not size_bytes:
        return 0, 0, 0
    start = name_bytes + size_bytes
    mask = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(head[name_bytes:start], "big") & mask
    return int.from_bytes(head[:name_bytes], "big"), None if size == mask else size, start


def _var_bytes(first: bytes, most: int) -> int:
    """Return how long a number is, by the zeros before its first bit; 0 for none."""
    length = 9 - first[0].bit_length() if first else 0
    return length if length <= most else 0


# --- the others ------------------------------------------------------------------------


def _check_asf(stream: BinaryIO, size_bytes: int) -> None:
    place = 0
    has_data = False
    while place + 24 <= size_bytes:
        head = _read(stream, place, 24)
        size = int.from_bytes(head[16:], "little")
        has_data = has_data or head[:16] == _ASF_DATA
        if size < 24:
            raise Damage(f"it is damaged: its object at byte {place} has no length")
        place += size
    if place > size_bytes:
        raise _cut(place, size_bytes)
    if not has_data:
        raise Damage("it is cut short: its data are missing")


def _check_avi(stream: BinaryIO, size_bytes: int) -> None:
    place = 0
    while place + 8 <= size_bytes:
        head = _read(stream, place, 8)
        if head[:4] != b"RIFF":  # what follows is not of the file
            return
        size = int.from_bytes(head[4:], "little")
        if size == 0:
            raise Damage("it was never finished: its header does not say how long it is")
        place += 8 + size
        if place > size_bytes + 1:  # a pad byte is counted by some, and not written
            raise _cut(place, size_bytes)
        place += size % 2


def _check_flv(stream: BinaryIO, size_bytes: int) -> None:
    place = int.from_bytes(_read(stream, 5, 4), "big") + 4
    for _ in range(_MAX_PARTS):
        if place >= size_bytes:
            break
        # Kind, length, time; behind each tag its length again.
        place += 11 + int.from_bytes(_read(stream, place, 4)[1:], "big") + 4
    if place > size_bytes:
        raise _cut(place, size_bytes)


def _check_ogg(stream: BinaryIO, size_bytes: int) -> None:
    try:
        links = ogg_pages.read_links(stream, size_bytes)
    except ogg_pages.OggDamage as error:
        raise Damage(str(error)) from error
    if len(links) > 1:
        raise Damage(f"several sounds were joined: another one begins at byte {links[1][0]}")


def _check_transport(stream: BinaryIO, size_bytes: int) -> None:
    head = _read(stream, 0, 1 << 10)
    step = next(step for place, step in _TS_PACKETS.items() if _marks(head, place, step))
    if rest := size_bytes % step:
        raise Damage(f"it is cut short: its last packet lacks {step - rest} bytes")


def _check_adts(stream: BinaryIO, size_bytes: int) -> None:
    place = mpeg_frames.skip_tags(_read(stream, 0, 1 << 10), 0)
    for _ in range(_MAX_PARTS):
        if place >= size_bytes:
            break
        head = _read(stream, place, 128)
        if not (length := _adts_bytes(head)):
            if head.startswith((b"TAG", b"APETAGEX", b"ID3")) or not head.strip(b"\0"):
                break
            raise Damage(f"it is damaged: no frame begins at byte {place}")
        place += length
    if place > size_bytes:
        raise _cut(place, size_bytes)


def _adts_bytes(head: bytes) -> int:
    """Return the length of the AAC frame that begins here; 0 if none does."""
    if len(head) < _ADTS_HEAD_BYTES or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    if head[2] >> 2 & 15 > 12:  # rates of no meaning
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > _ADTS_HEAD_BYTES else 0


_CHECKS: dict[str, Callable[[BinaryIO, int], None]] = {
    "mov": _check_boxes,
    "matroska": _check_elements,
    "asf": _check_asf,
    "avi": _check_avi,
    "flv": _check_flv,
    "ogg": _check_ogg,
    "mpegts": _check_transport,
    "aac": _check_adts,
}
