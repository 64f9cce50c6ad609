"""What commands that read inputs report of them besides bad items: notes, and what was left out."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, Final

from molspace_cli.console import say
from reactions.core.printable import printable_cell

if TYPE_CHECKING:
    from reactions.inference.place_contents import PlaceContents


_MOST_REASONS: Final = 20
_OTHER_REASONS: Final = "other reasons"
_QUOTED: Final = r"(?<!\w)'(?:[^']|(?<=\w)'(?=\w))*'(?!\w)|\"(?:[^\"\\]|\\.)*\""
_PATH: Final = r"(?<!\S)\S*/\S*[^\s;,:.]|(?<![\w.-])[\w-]+(?:\.[\w-]+)*\.[A-Za-z]\w{0,4}(?!\w)"
_NUMBER: Final = r"(?<![\w-])\d+(?:[.,]\d+)*"
_VALUE: Final = f"(?:{_QUOTED}|{_PATH}|{_NUMBER})"
_VALUES: Final = re.compile(f"{_VALUE}(?: {_VALUE})*")
"""Names, paths and numbers in what is wrong with an item: items that differ in them alone have one
reason. A number that belongs to a word, as in UTF-8, is not a value, and an apostrophe is not a
quote."""

_MASK: Final = "…"


class _Reason:
    """What is wrong with some items: a sentence, without the values in which they differ.

    Args:
        message: of the first of them.
    """

    def __init__(self, message: str) -> None:
        self.n = 1
        self._between = _VALUES.split(message)
        self._values: list[str] = _VALUES.findall(message)

    def add(self, message: str) -> None:
        """Count another one."""
        self.n += 1
        values = _VALUES.findall(message)
        self._values = [
            before if before == other else _MASK
            for before, other in zip(self._values, values, strict=True)
        ]

    def __str__(self) -> str:
        pairs = zip(self._between, [*self._values, ""], strict=True)
        return printable_cell("".join(text + value for text, value in pairs))


def unread_stdin(inputs: Sequence[str], stdin: IO[bytes] | None) -> str:
    """Return the note that a file was redirected to stdin and is not read; "" if none was.

    Whether something was meant to come through a pipe cannot be known: a job, a shell or a loop may
    have left its own to the command. A file that was given and not read is there for certain.

    Args:
        inputs: the arguments, which are read in its place unless one of them is ``-``.
        stdin: the bytes of stdin; None if it is closed.
    """
    if stdin is None or "-" in inputs:
        return ""
    try:
        status = os.fstat(stdin.fileno())
        is_unread = stat.S_ISREG(status.st_mode) and stdin.tell() < status.st_size
    except (OSError, ValueError):  # no file of the system's, or closed
        return ""
    return "stdin is a file and is not read: there is other input; - reads it" if is_unread else ""


class InputNotes:
    """Notes on inputs: said on stderr at once, and kept for ``--json``.

    Args:
        quiet: only keep them.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._texts: list[str] = []
        self._holdings: list[PlaceContents] = []
        self._reasons: dict[tuple[str, ...], _Reason] = {}  # by what lies between values

    def note(self, text: str) -> None:
        """Report a sentence."""
        text = printable_cell(text)
        self._texts.append(text)
        if not self._quiet:
            say(f"note: {text}")

    def held(self, holding: PlaceContents) -> None:
        """Report what an argument held."""
        self._holdings.append(holding)
        self.note(str(holding))

    def skipped(self, message: str) -> None:
        """Count an item that cannot be embedded, by what is wrong with it."""
        form = tuple(_VALUES.split(message))
        if form not in self._reasons and len(self._reasons) >= _MOST_REASONS:
            form, message = (_OTHER_REASONS,), _OTHER_REASONS
        if form in self._reasons:
            self._reasons[form].add(message)
        else:
            self._reasons[form] = _Reason(message)

    def reasons(self) -> str:
        """Return how many items were skipped for each reason; "" if there is one at most."""
        if len(self._reasons) < 2:
            return ""
        return "; ".join(f"{n:,}: {why}" for why, n in self._counts().most_common())

    def _counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for reason in self._reasons.values():
            counts[str(reason)] += reason.n
        return counts

    def to_json(self) -> dict[str, Any]:
        """Return why items were skipped, files left out, what arguments held, and all notes."""
        return {
            "skipped_why": dict(self._counts().most_common()),
            "left_out": sum(sum(holding.left_out.values()) for holding in self._holdings),
            "inputs": [holding.to_json() for holding in self._holdings],
            "notices": list(self._texts),
        }
