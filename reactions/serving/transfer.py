"""Bodies of requests, read within bounds, and media, sent whole or in ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from reactions.core.errors import MolspaceError
from reactions.serving.media import Medium

_BLOCK: Final = 1 << 16


async def read_body(request: Request, most: int, refuse: Callable[[int], MolspaceError]) -> bytes:
    """Read a body, at most so many bytes, whatever its header says.

    Raises:
        MolspaceError: it has more.
    """
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        raise refuse(int(length))
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            raise refuse(len(content))
    return bytes(content)


def sent(request: Request, medium: Medium) -> Response:
    """Send a medium, or the range of it that is asked for."""
    size = medium.size_bytes
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=600"}
    range_header = request.headers.get("range")
    if range_header is None:
        first, last, status = 0, size - 1, 200
    else:
        bounds = read_range(range_header, size)
        if bounds is None:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        (first, last), status = bounds, 206
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(last - first + 1)
    if medium.path is None:
        content = medium.content[first : last + 1]
        return Response(content, status, headers, medium.kind)
    blocks = _blocks(medium.path, first, last)
    return StreamingResponse(blocks, status, headers, medium.kind)


def read_range(text: str, size: int) -> tuple[int, int] | None:
    """Read a Range header of one range: first and last byte; None where it cannot be served.

    Several ranges at once are not served: browsers ask for one.
    """
    unit, _, ranges = text.partition("=")
    start, dash, end = ranges.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or "," in ranges:
        return None
    if not all(part == "" or (part.isascii() and part.isdecimal()) for part in (start, end)):
        return None
    if len(start) > 18 or len(end) > 18 or not (start or end):
        return None
    if not start:
        length = int(end)
        return (max(0, size - length), size - 1) if length and size else None
    first, last = int(start), min(int(end), size - 1) if end else size - 1
    return (first, last) if first <= last else None


def _blocks(path: Path, first: int, last: int) -> Iterator[bytes]:
    """Yield the bytes of a file, from one to another, in pieces."""
    stream: BinaryIO = path.open("rb")
    with stream:
        stream.seek(first)
        bytes_left = last - first + 1
        while bytes_left > 0 and (block := stream.read(min(_BLOCK, bytes_left))):
            bytes_left -= len(block)
            yield block
