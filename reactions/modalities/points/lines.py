"""Lines of numbers, read within limits: the text forms of point clouds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_LINE_BYTES = 1 << 12
"""Of a line of numbers."""

MAX_COLUMNS = 64
"""Numbers of a line."""


def text_lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a text in ASCII that are neither empty nor comments, without blanks.

    Raises:
        ValueError: one is too long, or not ASCII.
    """
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"one of its lines is longer than {MAX_LINE_BYTES} bytes")
        text = line.decode("ascii").partition("#")[0].strip()
        if text and not text.startswith("//"):
            yield text


def words_of(stream: BinaryIO) -> Iterator[str]:
    """Yield the words of a text, line by line."""
    for line in text_lines(stream):
        yield from line.split()


def table_of(
    lines: Iterator[str], most_rows: int, delimiter: str | None = None
) -> NDArray[np.float64]:
    """Parse lines of numbers; each must hold as many as the first.

    Args:
        lines: of which no more than ``most_rows`` are taken.
        most_rows: at least 1.
        delimiter: None for blanks.

    Returns:
        (n, m), n >= 1.

    Raises:
        ValueError: there are none, or they are not numbers, or of different lengths.
    """
    first = next(lines, None)
    if first is None:
        raise ValueError("it is cut short: no numbers are there")
    if len(first.split(delimiter)) > MAX_COLUMNS:
        raise ValueError(f"its lines hold more than {MAX_COLUMNS} numbers")
    # Not its own ``max_rows``, for as many as which it takes memory at once.
    rows = islice(chain([first], lines), most_rows)
    return np.loadtxt(rows, np.float64, comments=None, delimiter=delimiter, ndmin=2)
