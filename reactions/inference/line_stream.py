"""A stream from outside that is read line by line: guarded against having no lines."""

from __future__ import annotations

from typing import IO

from reactions.core.errors import DataError

MAX_SKIPPED_BYTES = 256 << 20
"""After this much without a line break there are no lines, as in ``/dev/zero``."""


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
