"""Progress of a run on stderr: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from reactions.run.events import (
    Event,
    EventSink,
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

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY_S = 10.0


def scans(*, quiet: bool = False) -> Callable[[str, int, int], None]:
    """Return what is told of scans of corpora: one line a corpus, and one every ten seconds."""
    told: dict[str, float] = {}

    def tell(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if quiet or sys.stderr is None or now - told.get(what, -_LINE_EVERY_S) < _LINE_EVERY_S:
            return
        told[what] = now
        share = f"{done} of {total}" if total else f"{done}"
        print(f"scanning {what}: {share}", file=sys.stderr, flush=True)

    return tell


def progress(*, quiet: bool = False, stream: TextIO | None = None) -> EventSink:
    """Return a sink that shows a run's events to a person.

    Args:
        quiet: show warnings only.
        stream: where to; stderr by default.
    """
    stream = stream or sys.stderr
    if quiet:
        return Quiet(stream)
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Live(stream)
    return Plain(stream)


class Display(ABC):
    """Follows a run: which steps, how far, how fast. Several may be in progress at once.

    Args:
        stream: where to write.
        clock: seconds from any origin, never going back.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
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
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def head(self, event: StepEvent) -> str:
        """Return ``[2/5] label``; steps are numbered as they begin."""
        number = self._numbers.setdefault(event.key, len(self._numbers) + 1)
        return f"[{min(number, self.steps)}/{self.steps}] {event.label}"

    def pace(self, event: StepProgress) -> str:
        """Return ``120 of 4000 items, 60/s, 1 min 5 s left``; rows of earlier runs took no time."""
        text = f"{event.done} of {event.total} {event.unit}"
        began, done = self._began.get(event.key, (self.clock(), 0))
        elapsed_s = self.clock() - began
        made = event.done - done
        if elapsed_s <= 0 or made < max(1, event.total // 100):
            return text  # the time that loading takes says nothing about the rate yet
        rate = made / elapsed_s
        return f"{text}, {pace_of(rate)}/s, {duration((event.total - event.done) / rate)} left"

    def _follow(self, event: Event) -> None:
        if isinstance(event, PlanStarted):
            self.steps, self.finished, self._early_hits = event.steps, 0, event.hits
            self._numbers.clear()
            self._began.clear()
        elif isinstance(event, StepStarted):
            self._began[event.key] = self.clock(), event.done
            self.head(event)  # takes the next number


class Quiet(Display):
    """Warnings only."""

    def show(self, event: Event) -> None:
        """Write a warning."""
        if isinstance(event, StoreWarning):
            self.say(f"warning: {event.message}")


class Plain(Display):
    """One line for a finished step, and one every ten seconds within a long one."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._line_due: dict[str, float] = {}

    def show(self, event: Event) -> None:
        """Write at most one line."""
        if isinstance(event, StepProgress):
            if event.done < event.total and self.clock() >= self._line_due.get(event.key, 0.0):
                self._line_due[event.key] = self.clock() + _LINE_EVERY_S
                self.say(f"{self.head(event)}: {self.pace(event)}")
            return
        if isinstance(event, StepStarted):
            self._line_due[event.key] = self.clock() + _LINE_EVERY_S
        if text := self.line(event):
            self.say(text)
        self.count(event)

    def line(self, event: Event) -> str:
        """Return the line an event deserves, or ""."""
        match event:
            case PlanStarted(steps=0):
                return "nothing to run: the cache has the results"
            case PlanStarted(steps, hits):
                return f"{counted(steps, 'step')} to run, {counted(hits, 'result')} from the cache"
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
    """Bars that vanish at the end: the steps of the plan, and each step in progress."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, clock)
        self._bars: Progress | None = None
        self._plan: TaskID
        self._rows: dict[str, TaskID] = {}

    def show(self, event: Event) -> None:
        """Draw the bars, or write a line above them."""
        if isinstance(event, PlanStarted) and event.steps:
            self._start(event.steps)
        elif isinstance(event, PlanFinished | PlanStopped):
            self._stop()
        bars = self._bars
        if bars is None:
            super().show(event)
            return
        if isinstance(event, StepStarted):
            self._rows[event.key] = bars.add_task(
                event.label, total=event.total or None, completed=event.done, note=""
            )
        elif isinstance(event, StepProgress) and event.key in self._rows:
            note = self.pace(event)
            bars.update(self._rows[event.key], total=event.total, completed=event.done, note=note)
        elif isinstance(event, Waiting | StoreWarning | Stopping):
            bars.console.print(self.line(event), markup=False, highlight=False)
        elif isinstance(event, StepFinished | StepHit | StepFailed) and event.key in self._rows:
            bars.remove_task(self._rows.pop(event.key))
        self.count(event)
        bars.update(self._plan, completed=self.finished, note=f"{self.finished} of {self.steps}")

    def _start(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._stop()
        console = Console(file=self.stream, no_color=bool(os.environ.get("NO_COLOR")) or None)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,  # stdout is data
        )
        self._plan = self._bars.add_task("steps", total=steps, note=f"0 of {steps}")
        self._bars.start()

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = None
        self._rows.clear()


def counted(n: int, noun: str) -> str:
    """Return ``1 step`` or ``2 steps``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def pace_of(rate: float) -> str:
    """Return ``0.042``, ``3.75`` or ``1,840``."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def duration(seconds: float) -> str:
    """Return ``0.4 s``, ``12 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
