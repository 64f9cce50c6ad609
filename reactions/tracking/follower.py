"""Follows a run's events, and sends what was measured to a board."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from reactions.run.events import (
    Curve,
    Event,
    EventSink,
    PartsFinished,
    PartStarted,
    PlanStarted,
    PlanStopped,
    ReactionFinished,
    ReactionStarted,
    RowStarted,
    StepMeasured,
    StoreWarning,
    TaskScored,
)
from reactions.tracking.board import Board, BoardName, Fact, Tracker


@contextmanager
def tracking(
    tracker: Tracker, events: EventSink, *, command: str, group: str = ""
) -> Iterator[EventSink]:
    """Lend a sink that tracks events and passes them on; what is tracked is whole afterwards.

    Args:
        tracker: from ``open_tracker``.
        events: called with every event first, and with a warning if tracking fails.
        command: see ``Tracking``.
        group: likewise.
    """

    def warn(text: str) -> None:
        events(StoreWarning(text))

    tracks = Tracking(tracker, command=command, group=group, warn=warn)

    def sink(event: Event) -> None:
        events(event)
        tracks(event)

    try:
        yield sink
    finally:
        tracks.close()


class Tracking:
    """An event sink that tracks one command: its losses as they come, and its scores.

    A board is opened when there is something for it: one for the command, or one for each of
    its parts or rows. Losses that the result of an earlier run brings along are written too, and
    named in the text ``cached``. Nothing that a tracker does ends a run: after its first failure
    a warning says so, and nothing more is tracked.

    Args:
        tracker: opens boards.
        command: what is running, such as ``react``; among the facts of every board.
        group: names the boards of a command that makes several; "" for one that makes one.
        warn: called with the warning.
        clock: seconds since the epoch, for names.
    """

    def __init__(
        self,
        tracker: Tracker,
        *,
        command: str,
        group: str = "",
        warn: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tracker = tracker
        self._is_off = False
        self._command = command
        self._time = datetime.fromtimestamp(clock()).strftime("%Y%m%d-%H%M%S")
        self._group = f"{group}-{self._time}" if group else ""
        self._warn = warn
        self._row, self._is_part = "", False
        self._is_complete = True
        self._begin()

    def __call__(self, event: Event) -> None:
        """Send what an event brings."""
        if self._is_off:
            return
        try:
            self._follow(event)
        except Exception as error:  # other people's code, and disks: none of it may end the run
            self._give_up(error)

    def close(self) -> None:
        """Write what is left, however the command ended, and track nothing more."""
        if self._is_off:
            return
        self._is_off = True
        try:
            self._close()
        except Exception as error:
            self._give_up(error)

    def _follow(self, event: Event) -> None:
        match event:
            case PartStarted(label=label):
                self._close()
                self._row, self._is_part = label, True
            case PartsFinished():
                self._close()
                self._row, self._is_part = "", False
            case RowStarted(label=label) if not self._is_part:  # parts are named after rows
                self._close()
                self._row = label
            case PlanStarted():
                self._is_complete = True
            case PlanStopped():
                self._is_complete = False
            case ReactionStarted():
                self._turn_to(event.expression, event.seed)
                self._name = event.name
                self._facts |= {
                    "expression": event.expression,
                    "lab": event.lab,
                    "seed": event.seed,
                }
            case StepMeasured():
                curve = Curve(event.key, event.kind, event.label, event.name, ())
                self._positions_written.setdefault((event.key, event.name), set()).add(
                    event.position
                )
                self._open().scalar(self._tag(curve), event.value, event.position)
            case ReactionFinished(curves):
                self._complete(curves)
            case TaskScored(name, record):
                self._score(name, record)

    def _complete(self, curves: tuple[Curve, ...]) -> None:
        """Write the points of curves that this run did not measure itself."""
        cached = []
        for curve in curves:
            written = self._positions_written.get((curve.key, curve.name), set())
            missing = [
                (position, value)
                for position, value in enumerate(curve.values, 1)
                if position not in written
            ]
            for position, value in missing:
                self._open().scalar(self._tag(curve), value, position)
            if missing:
                cached.append(f"{self._tag(curve)}: {len(missing)} of {len(curve.values)} points")
        if cached:
            lines = ["measured by an earlier run or by another process, read from its result:", ""]
            lines += [f"- {line}" for line in cached]
            self._open().text("cached", "\n".join(lines))

    def _turn_to(self, expression: str, seed: int) -> None:
        """Begin another board where this one is of another space; a row's board stays the row's."""
        current = self._facts.get("expression", expression), self._facts.get("seed", seed)
        if not self._row and current != (expression, seed):
            self._close()

    def _score(self, name: str, record: Mapping[str, Any]) -> None:
        self._turn_to(record["space"], record["seed"])
        self._name = self._name or name
        for fact in ("lab", "seed"):
            self._facts.setdefault(fact, record[fact])
        self._facts.setdefault("expression", record["space"])
        task = f"score/{record['task']}"
        if task in self._scored:  # by another space, or with other factors: a board of its own
            self._close()
            self._score(name, record)
            return
        self._scored.add(task)
        board = self._open()
        for metric, value in record["metrics"].items():
            board.scalar(f"{task}/{metric}", value, 0)
        keys = ("space", "lab", "seed", "n", "main", "ties")
        facts = {key: record[key] for key in keys if key in record}
        if experts := record.get("experts"):
            facts["experts"] = ", ".join(experts)
        for factor, values in record.get("factors", {}).items():
            facts[factor] = ", ".join(f"{m} {value:g}" for m, value in values.items())
        board.text(task, "  \n".join(f"{key}: {value}" for key, value in facts.items()))

    # --- boards ----------------------------------------------------------------------

    def _begin(self) -> None:
        self._board: Board | None = None
        self._name = ""
        self._facts: dict[str, Fact] = {"command": self._command}
        self._positions_written: dict[tuple[str, str], set[int]] = {}
        self._tags: dict[str, tuple[str, str]] = {}
        self._scored: set[str] = set()

    def _open(self) -> Board:
        if self._board is None:
            name = self._row or self._name or self._command
            if self._row:
                self._facts["row"] = self._row
            if not self._group:
                name = f"{name}-{self._time}"
            self._board = self._tracker.open(BoardName(name, self._group), self._facts)
        return self._board

    def _close(self) -> None:
        board = self._board
        self._begin()
        if board is not None:
            board.close(complete=self._is_complete)

    def _tag(self, curve: Curve) -> str:
        """Return ``train/ImageBind + Dr(InternVL)/loss on TVA``; another step's gets a number.

        What tells curves apart comes last: boards cut long tags short in the middle.
        """
        label = curve.label.removeprefix(f"{curve.kind} ").replace("/", "-")
        what, on, subset = label.rpartition(" on ")
        number = 1
        while True:
            count = "" if number == 1 else f" ({number})"
            tag = f"{curve.kind}/{what or subset}/{curve.name}{on}{subset if on else ''}{count}"
            owner = curve.key, curve.name
            if self._tags.setdefault(tag, owner) == owner:
                return tag
            number += 1

    def _give_up(self, error: Exception) -> None:
        self._is_off = True
        why = " ".join(str(error).split()) or type(error).__name__
        self._warn(f"what follows is not tracked: {why}")
