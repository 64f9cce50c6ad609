"""Ogg by its pages: what was chained is taken apart, and what was cut short is found."""

from __future__ import annotations

from typing import BinaryIO

MAX_PAGES = 1 << 20
"""An hour has a fifth of it, with a page for every packet."""

_MAGIC = b"OggS"
_HEADER_BYTES = 27
_FIRST, _LAST = 2, 4  # flags of a page that begins or ends a stream
_SEARCH_BYTES = 1 << 16


class OggDamage(Exception):
    """Pages are missing; the message says how that shows, lower case, no full stop."""


def read_links(stream: BinaryIO, size_bytes: int) -> list[tuple[int, int]]:
    """Find the streams that were chained, such as those of a radio's songs.

    Args:
        stream: of an Ogg file; moved.
        size_bytes: of the file.

    Returns:
        (start, stop) of each, in order.

    Raises:
        OggDamage: the file ends in the middle of a page, or before a stream's last page.
    """
    links: list[tuple[int, int]] = []
    start = place = 0
    began = False  # whether the pages that begin a link's streams are over
    running: set[bytes] = set()
    n_pages = 0
    while place < size_bytes:
        if (n_pages := n_pages + 1) > MAX_PAGES:
            raise OggDamage(f"it has more than {MAX_PAGES} pages")
        stream.seek(place)
        head = stream.read(_HEADER_BYTES)
        if not head.startswith(_MAGIC):
            after = _search(stream, place + 1, size_bytes)
            if after < 0:  # what follows the last page is not sound
                break
            place = after
            continue
        if len(head) < _HEADER_BYTES:
            raise OggDamage("it is cut short: its last page is")
        flags, serial, n = head[5], head[14:18], head[26]
        # Streams played together all begin before any goes on, so this one belongs to a new link.
        if flags & _FIRST and began:
            links.append((start, place))
            _check_ended(running)
            start, began, running = place, False, set()
        began = began or not flags & _FIRST
        if flags & _LAST:
            running.discard(serial)
        elif flags & _FIRST:
            running.add(serial)
        lengths = stream.read(n)
        stop = place + _HEADER_BYTES + n + sum(lengths)
        if len(lengths) < n or stop > size_bytes:
            raise OggDamage(f"it is cut short: its last page lacks {stop - size_bytes} bytes")
        place = stop
    _check_ended(running)
    return [*links, (start, place)]


def _check_ended(running: set[bytes]) -> None:
    if running:
        raise OggDamage("it is cut short: the page that ends its stream is missing")


def _search(stream: BinaryIO, place: int, size_bytes: int) -> int:
    """Return where the next page begins; -1 if none does."""
    while place < size_bytes:
        stream.seek(place)
        # Blocks overlap, so that a magic across their border is found.
        offset = stream.read(_SEARCH_BYTES + len(_MAGIC) - 1).find(_MAGIC)
        if offset >= 0:
            return place + offset
        place += _SEARCH_BYTES
    return -1
