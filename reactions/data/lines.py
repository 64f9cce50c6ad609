"""Lines of a binary stream whatever ends them, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reactions.errors import DataError

MAX_SKIPPED_BYTES = 256 << 20
"""After so much without a line break there are no lines, as in ``/dev/zero``."""


def split_lines(
    readline: Callable[[int], bytes], max_bytes: int, name: str
) -> Iterator[bytes | None]:
    """Split a stream at LF, CR LF and CR (files of old Macs, and of terminals).

    Args:
        readline: as of a binary stream: up to the next LF, at most so many bytes; empty at
            the end.
        max_bytes: of a line, without what ends it.
        name: what messages call the stream.

    Yields:
        Each line, without what ends it, as soon as it is whole; None for one that is longer.

    Raises:
        DataError: a line has no end within ``MAX_SKIPPED_BYTES``.
    """
    rest = b""  # the beginning of a line whose end was not read yet
    skipped_bytes = 0  # of it, beyond what is kept
    while chunk := readline(max_bytes + 1):
        lines = (rest + chunk).splitlines(keepends=True)
        # A CR at the end may be half of CR LF.
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            content = line.rstrip(b"\r\n")
            yield None if skipped_bytes or len(content) > max_bytes else content
            skipped_bytes = 0
        if len(rest) > max_bytes + 1:
            kept = b"\r" if rest.endswith(b"\r") else b""
            skipped_bytes += len(rest) - len(kept)
            rest = kept
        if skipped_bytes > MAX_SKIPPED_BYTES:
            raise DataError(
                f"cannot read {name}",
                why=f"it has no line break in {MAX_SKIPPED_BYTES >> 20} MiB; is it a text at all?",
                fix="give lines of texts, paths or JSON",
            )
    if rest or skipped_bytes:
        content = rest.rstrip(b"\r")
        yield None if skipped_bytes or len(content) > max_bytes else content
