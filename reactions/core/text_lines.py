r"""Lines of texts of any origin: any encoding, line break and length.

A line ends at ``\n``, ``\r\n`` or ``\r`` and nowhere else: form feeds, U+0085 and U+2028 are
part of a text. A byte-order mark says how the file is encoded and is not part of it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

MAX_LINE_BYTES = 1 << 20
"""What a line may hold; longer ones are cut, so that a file without line breaks fits in memory."""

NOT_UTF8 = "not UTF-8"
NOT_UNICODE = "it holds half of a character (a lone surrogate, \\ud800 to \\udfff)"
RECODE = "save it as UTF-8, such as by   iconv -f CP1252 -t UTF-8 OLD > NEW"
"""What is wrong with a line in another encoding, and what helps."""

MAX_SKIPPED_BYTES = 1 << 28
"""After this much without a line break there are no lines, as in a device or a disk's image."""

_PIECE_BYTES = 1 << 18
_BOMS = (  # the longer first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class NoLinesError(ValueError):
    """A file without line breaks; the message says so."""


def read_lines(
    stream: IO[bytes], *, keepends: bool = False, max_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of a stream as UTF-8, in constant memory.

    UTF-16 and UTF-32 are recoded where a byte-order mark says so; bytes that are not UTF-8 in
    a file without such a mark are left as they are.

    Args:
        stream: binary; only ``readline(n)`` is called, so that lines of a pipe come at once.
        keepends: leave line breaks where they are.
        max_bytes: of longer lines, only one byte more is kept.

    Yields:
        (number from 1, line); a line of more than ``max_bytes`` is too long.

    Raises:
        NoLinesError: there is no line break in ``MAX_SKIPPED_BYTES``.
        UnicodeDecodeError: the file is not in the encoding that its byte-order mark names.
        OSError: as of the stream.
    """
    number = n_bytes = 0
    line = bytearray()
    started = False
    after_return = False  # whether a line has ended in \r, to which a \n may still belong
    for piece in _pieces(stream):
        if after_return and piece.startswith(b"\n"):
            piece = piece[1:]
        after_return = piece.endswith(b"\r") if piece else False
        for part in piece.splitlines(keepends=True):  # of bytes: \n, \r and \r\n alone
            body = part.rstrip(b"\r\n")
            # One byte beyond the limit is kept, by which callers know a line that was too long.
            line += body[: max_bytes + 1 - len(line)]
            started = True
            n_bytes += len(body)
            if n_bytes > MAX_SKIPPED_BYTES:
                size = f"{MAX_SKIPPED_BYTES >> 20} MiB"
                raise NoLinesError(
                    f"line {number + 1} has no end within {size}; is it text at all?"
                )
            if len(body) < len(part):
                number += 1
                if keepends:
                    line += part[len(body) :]
                yield number, bytes(line)
                line.clear()
                started = False
                n_bytes = 0
    if started:
        yield number + 1, bytes(line)


def decode_text(data: bytes) -> str:
    """Return a whole text, without its byte-order mark.

    Raises:
        UnicodeDecodeError: it is neither UTF-8 nor what its byte-order mark names.
    """
    encoding = _encoding(data)
    if encoding not in ("", "utf-8") and len(data) <= 4 and not data.decode(encoding):
        raise UnicodeDecodeError(encoding, data, 0, len(data), "nothing follows its mark")
    return data.decode("utf-8-sig" if encoding in ("", "utf-8") else encoding)


def _encoding(head: bytes) -> str:
    return next((name for mark, name in _BOMS if head.startswith(mark)), "")


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield a stream piece by piece as UTF-8, the byte-order mark taken off."""
    piece = stream.readline(_PIECE_BYTES)
    encoding = _encoding(piece)
    if encoding in ("", "utf-8"):
        piece = piece.removeprefix(codecs.BOM_UTF8)
        while piece:
            yield piece
            piece = stream.readline(_PIECE_BYTES)
        return
    # Lone surrogates pass, so that the one line they stand in is at fault, not the file.
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    while piece:
        if text := decoder.decode(piece):
            yield text.encode("utf-8", "surrogatepass")
        piece = stream.readline(_PIECE_BYTES)
    if text := decoder.decode(b"", final=True):
        yield text.encode("utf-8", "surrogatepass")
