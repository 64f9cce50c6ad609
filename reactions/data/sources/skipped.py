"""What a corpus leaves out, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LONG = 60  # characters from which on a reason is not repeated for each item


@dataclass(frozen=True, slots=True)
class BadItem:
    """An item that cannot be used.

    Attributes:
        id: its id.
        place: the file, and the line or member.
        why: the reason.
    """

    id: str
    place: str
    why: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """What a corpus leaves out.

    Attributes:
        n_bad: items that cannot be used.
        n_skipped: items that the lab file leaves out.
        n_rows: all items, good and bad.
        first: some of the bad ones.
        listed: a file that lists all of them, if there is one.
    """

    n_bad: int = 0
    n_skipped: int = 0
    n_rows: int = 0
    first: tuple[BadItem, ...] = ()
    listed: Path | None = None

    def sentence(self, rows_are: str) -> str:
        """Return a sentence on what cannot be used; "" if all can.

        Args:
            rows_are: what the rows are called, in the plural.
        """
        if not self.n_bad:
            return ""
        first = "; ".join(reasons(self.first[:2]))
        more = f"; all: {self.listed}" if self.listed else ""
        return (
            f"{self.n_bad} of {self.n_rows} {rows_are} are left out, "
            f"for they cannot be used: {first}{more}"
        )


def reasons(bad: Sequence[BadItem]) -> list[str]:
    """Return where and why items cannot be used; long reasons that they share only once."""
    before = ["", *(item.why for item in bad)]
    return [
        f"{item.place}: {item.why}"
        for item, why in zip(bad, before, strict=False)
        if item.why != why or len(why) < _LONG
    ]
