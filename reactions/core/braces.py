"""Braces in patterns of files, as shells expand them."""

from __future__ import annotations

import itertools
import re

from reactions.core.errors import DataError

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
_BRACES = re.compile(r"\{([^{}]*)\}")
_MOST_DIGITS = 18
MAX_FILES = 1_000_000
"""What braces may expand to: a slip of the keyboard must not fill the memory."""


def expand(pattern: str) -> list[str]:
    """Expand braces as a shell does: ``{0000..0009}`` keeps its zeros, ``{a,b}`` lists.

    Raises:
        DataError: there would be more than ``MAX_FILES``.
    """
    pieces: list[list[str]] = []
    end = 0
    for match in _BRACES.finditer(pattern):
        inner = match.group(1)
        numbers = _RANGE.fullmatch(inner)
        if numbers is None and "," not in inner:
            continue  # braces that mean themselves
        pieces.append([pattern[end : match.start()]])
        end = match.end()
        if numbers is None:
            pieces.append(inner.split(","))
            continue
        first, last = numbers.groups()
        width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
        if max(len(first), len(last)) > _MOST_DIGITS or abs(int(last) - int(first)) >= MAX_FILES:
            raise _too_many(pattern)
        step = 1 if int(first) <= int(last) else -1
        span = range(int(first), int(last) + step, step)
        pieces.append([f"{number:0{width}d}" for number in span])
    pieces.append([pattern[end:]])
    # Counted first, for the names themselves may not fit in memory.
    n = 1
    for piece in pieces:
        n *= len(piece)
    if n > MAX_FILES:
        raise _too_many(pattern)
    return ["".join(combination) for combination in itertools.product(*pieces)]


def _too_many(pattern: str) -> DataError:
    return DataError(f"'{pattern}' names more than {MAX_FILES:,} files", path=pattern)
