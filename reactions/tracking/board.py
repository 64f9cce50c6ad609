"""What shows the curves of runs: a tracker opens a board for each run, and the board takes points.

A package adds a tracker by an entry point:

    [project.entry-points."molspace.trackers"]
    my_server = "my_package.boards:MyTracker"    # called like ``TrackerFactory``

``--track my_server:ANYTHING`` then uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Fact: TypeAlias = str | int | float


@dataclass(frozen=True, slots=True)
class BoardName:
    """What a board is called.

    Attributes:
        run: of the run, such as ``InternVL_IB-20260131-093000``.
        group: of the runs that one command makes, such as ``table4-20260131-093000``; "" where
            it makes only one. Runs of a group have different names.
    """

    run: str
    group: str = ""


class Board(Protocol):
    """Takes what one run measures, in one thread. What it has taken survives ``kill -9``."""

    def scalar(self, tag: str, value: float, position: int) -> None:
        """Add a point to a curve.

        Args:
            tag: of the curve, parts separated by ``/``: ``score/esc50/accuracy``.
            value: not necessarily finite.
            position: on the curve, such as the number of epochs done. Points of a resumed step
                may come in any order.
        """

    def text(self, tag: str, text: str) -> None:
        """Add a text in Markdown."""

    def close(self, *, complete: bool) -> None:
        """Write what is left; ``complete`` is False where the run failed or was stopped."""


class Tracker(Protocol):
    """Opens boards."""

    def open(self, name: BoardName, facts: Mapping[str, Fact]) -> Board:
        """Open a new board, never one that is there.

        Args:
            name: what to call it; of equal names, the later one is told apart.
            facts: command, lab, seed and such, by which boards are found and compared.
        """


TrackerFactory: TypeAlias = Callable[[str], Tracker]
"""Makes a tracker of what follows ``NAME:`` in ``--track``.

It is called before anything runs, and raises what would keep boards from being written:
``UsageError`` for a place that cannot be meant, ``MissingError`` for a package, ``StoreError``
for a place that cannot be written.
"""
