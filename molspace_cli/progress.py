"""Progress of a run on stderr: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from molspace_cli.amounts import counted, duration, pace_of, rough
from reactions.core.printable import printable, printable_cell
from reactions.run.events import (
    Event,
    EventSink,
    PartsFinished,
    PartStarted,
    PlanFinished,
    PlanStarted,
    PlanStopped,
    StepEvent,
    StepFailed,
    StepFinished,
    StepHit,
    StepProgress,
    StepStarted,
    Stopping,
    StoreWarning,
    Waiting,
)
from reactions.run.forecast import Forecast

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY_S = 10.0


def progress(
    *,
    quiet: bool = False,
    stream: TextIO | None = None,
    speed: Callable[[], float | None] = lambda: None,
) -> EventSink:
    """Return a sink that shows a run's events to a person.

    Args:
        quiet: show warnings only.
        stream: where to; stderr by default.
        speed: called once before steps run: the FLOP/s they are expected to reach, from which
            the time of the whole run is estimated; None if that is unknown.
    """
    stream = stream or sys.stderr
    if quiet:
        return Quiet(stream)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Live(stream, speed=speed)
    return Plain(stream, speed=speed)


class Display(ABC):
    """Follows a run: which steps, how far, how fast. Several may be in progress at once.

    Args:
        stream: where to write.
        clock: seconds from any origin, never going back.
        speed: see ``progress``.
    """

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        *,
        speed: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.stream = stream
        self.clock = clock
        self.speed = speed
        self.part: PartStarted | None = None
        self.plan_began_s = self.part_began_s = self.parts_began_s = self.clock()
        self._forecast: Forecast | None = None
        self.steps = 0
        self.finished = 0
        self._early_hits = 0
        self._numbers: dict[str, int] = {}
        self._began: dict[str, tuple[float, int]] = {}  # when, and with how many rows done

    def __call__(self, event: Event) -> None:
        """Show an event. A closed or broken stream must not stop the run."""
        with suppress(OSError, ValueError):
            self._follow(event)
            self.show(event)

    @abstractmethod
    def show(self, event: Event) -> None:
        """Write what the event has to say, if anything."""

    def say(self, text: str) -> None:
        """Write one line."""
        self.stream.write(f"{printable(text)}\n")
        self.stream.flush()

    def head(self, event: StepEvent) -> str:
        """Return ``[2/5] label``; steps are numbered as they begin."""
        number = self._numbers.setdefault(event.key, len(self._numbers) + 1)
        return f"[{min(number, self.steps)}/{self.steps}] {event.label}"

    def left(self) -> str:
        """Return about how long the whole run still takes, in words; "" if it is unknown."""
        now_s = self.clock()
        if self.part is not None:
            if self.part.left_s is None:
                return ""
            left_s: float | None = max(0.0, self.part.left_s - (now_s - self.part_began_s))
        else:
            left_s = None if self._forecast is None else self._forecast.left_s(now_s)
        return "" if left_s is None else rough(left_s)

    def pace(self, event: StepProgress) -> str:
        """Return ``120 of 4000 items, 60/s, 1 min 5 s left``; rows of earlier runs took no time."""
        return self.paces(event)[0]

    def paces(self, event: StepProgress) -> tuple[str, str, str]:
        """Return how far and how fast a step is: in full, as share and time left, as share."""
        text = f"{event.done} of {event.total} {event.unit}"
        share = f"{100 * event.done // event.total} %" if event.total else text
        began, done = self._began.get(event.key, (self.clock(), 0))
        elapsed_s = self.clock() - began
        made = event.done - done
        if elapsed_s <= 0 or made < max(1, event.total // 100):
            return text, share, share  # the time that loading takes says nothing about the rate
        rate = made / elapsed_s
        left = f"{duration((event.total - event.done) / rate)} left"
        return f"{text}, {pace_of(rate)}/s, {left}", f"{share}, {left}", f"{share}, {left}"

    def _follow(self, event: Event) -> None:
        now_s = self.clock()
        if isinstance(event, PartStarted):
            if self.part is None:
                self.parts_began_s = now_s
            self.part, self.part_began_s = event, now_s
        elif isinstance(event, PartsFinished):
            self.part = None
        elif isinstance(event, PlanStarted):
            self.steps, self.finished, self._early_hits = event.steps, 0, event.hits
            self.plan_began_s = now_s
            self._forecast = None
            if event.expected and self.part is None:
                self._forecast = Forecast(event.expected, self.speed())
            self._numbers.clear()
            self._began.clear()
        elif isinstance(event, StepStarted):
            self._began[event.key] = self.clock(), event.done
            self.head(event)  # takes the next number
        if self._forecast is not None:
            self._forecast.follow(event, now_s)


class Quiet(Display):
    """Warnings only."""

    def show(self, event: Event) -> None:
        """Write a warning."""
        if isinstance(event, StoreWarning):
            self.say(f"warning: {event.message}")


class Plain(Display):
    """One line for a finished step, and one every ten seconds within a long one."""

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        *,
        speed: Callable[[], float | None] = lambda: None,
    ) -> None:
        super().__init__(stream, clock, speed=speed)
        self._line_due: dict[str, float] = {}

    def show(self, event: Event) -> None:
        """Write at most one line."""
        if isinstance(event, StepProgress):
            if event.done < event.total and self.clock() >= self._line_due.get(event.key, 0.0):
                self._line_due[event.key] = self.clock() + _LINE_EVERY_S
                left = self.left()
                whole = f"; whole run: {left} left" if left and self.steps > 1 else ""
                self.say(f"{self.head(event)}: {self.pace(event)}{whole}")
            return
        if isinstance(event, StepStarted):
            self._line_due[event.key] = self.clock() + _LINE_EVERY_S
        if text := self.line(event):
            self.say(text)
        self.count(event)

    def line(self, event: Event) -> str:
        """Return the line an event deserves, or ""."""
        if self.part is not None and isinstance(
            event, PlanStarted | PlanFinished | StepStarted | StepFinished | StepHit
        ):
            return ""  # the parts are reported, not all steps of each
        match event:
            case PartStarted(number, total, label):
                left = f" ({self.left()} left)" if self.left() else ""
                return f"[{number}/{total}] {label}{left}"
            case PlanStarted(steps=0):
                return "nothing to run: the cache has the results"
            case PlanStarted(steps, hits):
                left = f", {self.left()}" if self.left() else ""
                known = f"{counted(hits, 'result')} from the cache"
                return f"{counted(steps, 'step')} to run, {known}{left}"
            case StepStarted(done=done, total=total) if done:
                return f"{self.head(event)}: resumes at row {done} of {total}"
            case StepFinished(seconds=seconds):
                return f"{self.head(event)}: done in {duration(seconds)}"
            case StepHit() if not self._early_hits:
                return f"{self.head(event)}: made by another process"
            case StepFailed():
                return f"{self.head(event)}: failed"
            case Waiting(pid=pid):
                who = f"process {pid}" if pid else "another process"
                return f"{self.head(event)}: waiting for {who}, which is making it"
            case StoreWarning(message):
                return f"warning: {message}"
            case Stopping(workers):
                busy = counted(workers, "worker")
                return f"stopping: {busy} still busy; Ctrl-C again leaves at once"
            case PlanFinished(executed, seconds) if executed:
                return f"{counted(executed, 'step')} run in {duration(seconds)}"
        return ""

    def count(self, event: Event) -> None:
        """Count finished steps; hits told at the start of a plan are none of its steps."""
        if isinstance(event, StepHit) and self._early_hits:
            self._early_hits -= 1
        elif isinstance(event, StepFinished | StepHit):
            self.finished += 1


class Live(Plain):
    """Bars that vanish at the end: the whole run, and each step in progress."""

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        *,
        speed: Callable[[], float | None] = lambda: None,
    ) -> None:
        super().__init__(stream, clock, speed=speed)
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
        left = self.left() if has_left else ""
        left = f"{left} left" if left else ""
        full = ", ".join(filter(None, (count, f"{elapsed} so far", left)))
        return full, ", ".join((count, left or elapsed)), ", ".join((count, left or elapsed))

    def _started(self) -> Progress:
        """Return the bars, drawn from now on."""
        if self._bars is not None:
            return self._bars
        from rich.console import Console
        from rich.progress import Progress

        from molspace_cli.bars import Bars

        class Display(Progress):
            """Rows that are laid out as a whole, for the width there is."""

            def get_renderable(self) -> Bars:
                return Bars(self)

        console = Console(file=self.stream, no_color=bool(os.environ.get("NO_COLOR")) or None)
        self._bars = Display(
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
