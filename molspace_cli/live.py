"""What is shown of a run on a terminal: bars."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from molspace_cli.amounts import duration
from molspace_cli.display import Plain
from reactions.core.printable import printable, printable_cell
from reactions.run.events import (
    Event,
    PartsFinished,
    PartStarted,
    PlanFinished,
    PlanStarted,
    PlanStopped,
    StepFailed,
    StepFinished,
    StepHit,
    StepProgress,
    StepStarted,
    Stopping,
    StoreWarning,
    Waiting,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Live(Plain):
    """Bars that vanish at the end: the whole run, and each step in progress."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bars: Progress | None = None
        self._parts: TaskID | None = None
        self._plan: TaskID | None = None
        self._rows: dict[str, TaskID] = {}

    def show(self, event: Event) -> None:
        """Draw the bars, or write a line above them."""
        if isinstance(event, PartStarted):
            self._begin_part(event)
        elif isinstance(event, PlanStarted) and event.steps:
            self._begin_plan(event.steps)
        elif isinstance(event, PlanFinished) and self._parts is not None:
            self._end_plan()
        elif isinstance(event, PlanFinished | PlanStopped | PartsFinished):
            self._stop()
        bars = self._bars
        if bars is None:
            super().show(event)
            return
        if isinstance(event, StepStarted):
            self._rows[event.key] = bars.add_task(
                printable_cell(event.label),
                total=event.total or None,
                completed=event.done,
                note="",
                notes=("",),
            )
        elif isinstance(event, StepProgress) and event.key in self._rows:
            notes = self.paces(event)
            row = self._rows[event.key]
            bars.update(row, total=event.total, completed=event.done, note=notes[0], notes=notes)
        elif isinstance(event, Waiting | StoreWarning | Stopping):
            bars.console.print(printable(self.line(event)), markup=False, highlight=False)
        elif isinstance(event, StepFinished | StepHit | StepFailed) and event.key in self._rows:
            bars.remove_task(self._rows.pop(event.key))
        self.count(event)
        if self._plan is not None:
            bars.update(self._plan, completed=self.finished)

    def _begin_part(self, event: PartStarted) -> None:
        bars = self._started()
        if self._parts is None:
            self._parts = bars.add_task("", total=event.total, notes=_Notes(self._parts_notes))
        bars.update(
            self._parts, description=printable_cell(event.label), completed=event.number - 1
        )

    def _begin_plan(self, steps: int) -> None:
        if self._parts is None:
            self._stop()
        bars = self._started()
        self._end_plan()
        self._plan = bars.add_task("steps", total=steps, notes=_Notes(self._plan_notes))

    def _end_plan(self) -> None:
        if self._bars is not None:
            for row in (*self._rows.values(), *([] if self._plan is None else [self._plan])):
                self._bars.remove_task(row)
        self._plan = None
        self._rows.clear()

    def _plan_notes(self) -> tuple[str, str, str]:
        """Return how far the plan is, for how long it has run, and how long it still takes."""
        now = duration(self.clock() - self.plan_began_s)
        return self._whole(f"{self.finished} of {self.steps}", now, self.part is None)

    def _parts_notes(self) -> tuple[str, str, str]:
        part, now = self.part, duration(self.clock() - self.parts_began_s)
        return self._whole(f"{part.number} of {part.total}" if part else "", now, True)

    def _whole(self, count: str, elapsed: str, has_left: bool) -> tuple[str, str, str]:
        rest = self.left() if has_left else ""
        rest = f"{rest} left" if rest else ""
        full = ", ".join(filter(None, (count, f"{elapsed} so far", rest)))
        return full, ", ".join((count, rest or elapsed)), ", ".join((count, rest or elapsed))

    def _started(self) -> Progress:
        """Return the bars, drawn from now on."""
        if self._bars is not None:
            return self._bars
        from rich.console import Console
        from rich.progress import Progress

        from molspace_cli.bars import Bars

        class BarsProgress(Progress):
            """Rows that are laid out as a whole, for the width there is."""

            def get_renderable(self) -> Bars:
                return Bars(self)

        console = Console(file=self.stream, no_color=bool(os.environ.get("NO_COLOR")) or None)
        self._bars = BarsProgress(
            console=console,
            transient=True,
            redirect_stdout=False,  # stdout is data
        )
        self._bars.start()
        return self._bars

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._parts = self._plan = None
        self._rows.clear()


class _Notes(Sequence[str]):
    """What stands beside a bar, made anew whenever it is drawn: times go on by themselves."""

    def __init__(self, make: Callable[[], tuple[str, str, str]]) -> None:
        self._make = make

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        return self._make()[index]
