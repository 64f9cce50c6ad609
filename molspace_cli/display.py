"""What is shown of a run: what a display knows of it, and its plain lines."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from molspace_cli.amounts import LinesDue, counted, duration, pace_of, rough
from reactions.core.printable import printable
from reactions.run.events import (
    Event,
    PartsFinished,
    PartStarted,
    PlanFinished,
    PlanStarted,
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
from reactions.run.forecast import Forecast, StepPace


class Display(ABC):
    """Follows a run: which steps, how far, how fast. Several may be in progress at once.

    Args:
        stream: where to write.
        clock: seconds from any origin, never going back.
        speed: called once before steps run: the FLOP/s they are expected to reach, from which
            the time of the whole run is estimated; None if that is unknown.
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
        self._paces: dict[str, StepPace] = {}
        self.lines = LinesDue()

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
        pace = self._paces.get(event.key)
        whole_s = None if pace is None else pace.whole_s(self.clock())
        if whole_s is None:
            return text, share, share
        time_left = f"{duration(whole_s * (1 - event.done / event.total))} left"
        brief = f"{share}, {time_left}"
        return f"{text}, {pace_of(event.total / whole_s)}/s, {time_left}", brief, brief

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
            self._paces.clear()
        elif isinstance(event, StepStarted):
            self._paces[event.key] = StepPace(now_s, event.done / event.total if event.total else 0)
            self.head(event)  # takes the next number
        elif isinstance(event, StepProgress) and event.key in self._paces and event.total:
            self._paces[event.key].follow(event.done / event.total, now_s)
        if self._forecast is not None:
            self._forecast.follow(event, now_s)


def _waited(waited_s: float, seconds: float) -> str:
    """Return how long a step waited, if that is worth saying."""
    return f", after waiting {duration(waited_s)}" if waited_s >= max(1.0, seconds / 2) else ""


class Quiet(Display):
    """Warnings only."""

    def show(self, event: Event) -> None:
        """Write a warning."""
        if isinstance(event, StoreWarning):
            self.say(f"warning: {event.message}")


class Plain(Display):
    """One line for a finished step, and one every ten seconds within a long one."""

    def show(self, event: Event) -> None:
        """Write at most one line."""
        if isinstance(event, StepProgress):
            if event.done < event.total and self.lines.are_due(event.key, self.clock()):
                time_left = self.left()
                whole = f"; whole run: {time_left} left" if time_left and self.steps > 1 else ""
                self.say(f"{self.head(event)}: {self.pace(event)}{whole}")
            return
        if isinstance(event, StepStarted):
            self.lines.begin(event.key, self.clock())
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
                time_left = f" ({self.left()} left)" if self.left() else ""
                return f"[{number}/{total}] {label}{time_left}"
            case PlanStarted(is_bundled=True):
                return "nothing to run: the bundle is there"
            case PlanStarted(steps=0):
                return "nothing to run: the cache has the results"
            case PlanStarted(steps, hits):
                time_left = f", {self.left()}" if self.left() else ""
                from_cache = f"{counted(hits, 'result')} from the cache"
                return f"{counted(steps, 'step')} to run, {from_cache}{time_left}"
            case StepStarted(done=done, total=total) if 0 < done < total:
                return f"{self.head(event)}: resumes at row {done} of {total}"
            case StepFinished(seconds=seconds, waited_s=waited_s):
                return (
                    f"{self.head(event)}: done in {duration(seconds)}{_waited(waited_s, seconds)}"
                )
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
        """Count finished steps; hits reported at the start of a plan are none of its steps."""
        if isinstance(event, StepHit) and self._early_hits:
            self._early_hits -= 1
        elif isinstance(event, StepFinished | StepHit):
            self.finished += 1
