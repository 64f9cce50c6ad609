"""A stream from outside that is read line by line: guarded against none, and rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Final

from reactions.core.errors import DataError
from reactions.core.text_lines import NoLinesError, read_lines
from reactions.data.unmarked_tables import FIRST_LINES, may_be_header, why_a_table

MAX_SKIPPED_BYTES = 256 << 20
"""After this much without a line break there are no lines, as in ``/dev/zero``."""

_AHEAD: Final = 8
"""Lines of a pipe that are waited for behind what is certainly a header. After other lines none is:
the program that writes them may wait for our answer to each."""

AS_TABLE: Final = "read it as one, --columns MODALITY=COLUMN, or "
"""Before other advice on a table; not of commands that read none."""


def no_table(
    lines: Iterable[tuple[int, bytes]], stream: IO[bytes], name: str
) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of a stream, unless they are rows of a table behind its header.

    Args:
        lines: from ``read_lines``.
        stream: that they are read from.
        name: what messages call it.

    Raises:
        DataError: they are.
    """
    numbered = iter(lines)
    first_lines: list[tuple[int, bytes]] = []
    for number, line in numbered:
        first_lines.append((number, line))
        if line.strip():
            break
    head = _text(first_lines[-1][1]) if first_lines else ""
    is_file = stream.seekable()
    if may_be_header(head, usual=not is_file):
        first_lines += islice(numbered, FIRST_LINES if is_file else _AHEAD)
        if why := why_a_table([_text(line) for _, line in first_lines]):
            how = AS_TABLE if name.startswith("'") else ""
            raise DataError(
                f"{name} is a table, not lines of texts",
                why=why,
                fix=f"{how}"
                'give its texts alone, one a line or as {"id": "...", "text": "..."}; if its '
                "lines are texts as they stand, pipe it into --text -",
            )
    yield from chain(first_lines, numbered)


def refuse_table(path: Path) -> None:
    """Refuse a file of lines that is a table; see ``no_table``. What cannot be read passes.

    Raises:
        DataError: it is.
    """
    try:
        with path.open("rb") as stream:
            for _ in islice(no_table(read_lines(stream), stream, f"'{path}'"), 1):
                pass
    except (OSError, UnicodeDecodeError, NoLinesError):  # reported when it is read
        return


def _text(line: bytes) -> str:
    return line.decode(errors="replace")


class GuardedStream:
    """A binary stream whose failures name it, and which must have line breaks.

    Args:
        stream: to read from.
        name: what messages call it.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self._unbroken_bytes = 0

    def readline(self, size_bytes: int) -> bytes:
        """Return what is there up to the next LF, at most ``size_bytes``; empty at the end.

        Raises:
            DataError: the stream cannot be read, or has no line break in
                ``MAX_SKIPPED_BYTES``.
        """
        try:
            piece = self._stream.readline(size_bytes)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise DataError(f"cannot read {self._name}", why=why) from error
        broken = piece.endswith(b"\n") or b"\r" in piece
        self._unbroken_bytes = 0 if broken else self._unbroken_bytes + len(piece)
        if self._unbroken_bytes > MAX_SKIPPED_BYTES:
            raise DataError(
                f"cannot read {self._name}",
                why=f"it has no line break in {MAX_SKIPPED_BYTES >> 20} MiB; is it text at all?",
                fix="give lines of texts, paths or JSON",
            )
        return piece
