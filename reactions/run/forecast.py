"""How long a run will still take: what its steps cost, and how fast the first ones were."""

from __future__ import annotations

import math
from collections import defaultdict

from reactions.run.events import (
    Event,
    Expected,
    PlanStarted,
    StepFinished,
    StepHit,
    StepProgress,
    StepStarted,
)

STEP_S = 0.05
"""What a step takes beside its arithmetic: reading inputs, storing a result."""

PLANNED_S = 1.0
"""How many seconds of observed steps weigh as much as the plan does."""


LEAST_SHARE = 0.01
"""Of a step; before, loading takes so much of its time that its rate says nothing."""


class StepPace:
    """How fast a step in progress is.

    Its rate is that since it began; or since its first report, if that is more than twice as fast:
    then most of the time before went into waiting for a worker, or loading an encoder.

    Attributes:
        began_s: when.
        start: share that was done then, by earlier runs.
        share: that is done now.
    """

    def __init__(self, began_s: float, start: float) -> None:
        self.began_s = began_s
        self.start = self.share = start
        self._first: tuple[float, float] | None = None  # when, and the share done

    def follow(self, share: float, now_s: float) -> None:
        """Take note of a report."""
        self.share = max(self.share, share)
        if self._first is None and share > self.start:
            self._first = now_s, share

    def whole_s(self, now_s: float) -> float | None:
        """Return the seconds that all of the step takes at its rate; None if it is not known."""
        whole_s = self._at_rate_since(self.began_s, self.start, now_s)
        if self._first is None or whole_s is None:
            return whole_s
        later_s = self._at_rate_since(*self._first, now_s)
        return later_s if later_s is not None and later_s < whole_s / 2 else whole_s

    def _at_rate_since(self, since_s: float, share: float, now_s: float) -> float | None:
        if self.share - share < LEAST_SHARE or now_s <= since_s:
            return None
        return (now_s - since_s) / (self.share - share)


class Forecast:
    """Follows a run and says how long the rest of it takes.

    A step takes what the plan says it costs, at the speed of the device, times how much longer
    the steps of its kind took so far than the plan says. Without a known speed nothing is said
    until something was observed.

    Args:
        expected: the steps to run.
        flops_per_s: what the devices reach together, from ``pace``; None if unknown.
    """

    def __init__(self, expected: tuple[Expected, ...], flops_per_s: float | None = None) -> None:
        self._speed = flops_per_s
        self._waiting = {step.key: step for step in expected}
        self._active: dict[str, tuple[Expected, StepPace]] = {}
        self._took: defaultdict[str, float] = defaultdict(float)
        self._planned: defaultdict[str, float] = defaultdict(float)
        self._began_s: float | None = None

    def follow(self, event: Event, now_s: float) -> None:
        """Take note of an event of the run at a time, in seconds from any origin."""
        if isinstance(event, PlanStarted):
            self._began_s = now_s
        elif isinstance(event, StepStarted):
            if (step := self._waiting.pop(event.key, None)) is not None:
                share = event.done / event.total if event.total else 0.0
                self._active[event.key] = step, StepPace(now_s, share)
        elif isinstance(event, StepProgress):
            if event.key in self._active and event.total:
                self._active[event.key][1].follow(event.done / event.total, now_s)
        elif isinstance(event, StepHit):
            self._waiting.pop(event.key, None)
            self._active.pop(event.key, None)
        elif isinstance(event, StepFinished) and event.key in self._active:
            step, pace = self._active.pop(event.key)
            self._took[step.kind] += event.seconds
            self._planned[step.kind] += self._seconds(step) * (1 - pace.start)

    def left_s(self, now_s: float) -> float | None:
        """Return how many seconds the run still takes; None where nothing is known yet."""
        took, planned = self._observed(now_s)
        if self._speed is None and not any(planned.values()):
            return None
        work_s = sum(
            self._seconds(step) * self._slower(step.kind, took, planned)
            for step in self._waiting.values()
        )
        longest = 0.0
        for step, pace in self._active.values():
            whole_s = pace.whole_s(now_s)
            if whole_s is None:
                whole_s = self._seconds(step) * self._slower(step.kind, took, planned)
            rest_s = whole_s * (1 - pace.share)
            if pace.share == pace.start:  # it says nothing of how far it is
                rest_s = max(0.0, rest_s - (now_s - pace.began_s))
            work_s += rest_s
            longest = max(longest, rest_s)
        return max(longest, work_s / self._side_by_side(now_s))

    def _observed(self, now_s: float) -> tuple[dict[str, float], dict[str, float]]:
        """Return the seconds that steps of each kind took, and those that were planned for it."""
        took, planned = dict(self._took), dict(self._planned)
        for step, pace in self._active.values():
            if (whole_s := pace.whole_s(now_s)) is not None:
                share_made = pace.share - pace.start
                took[step.kind] = took.get(step.kind, 0.0) + whole_s * share_made
                planned[step.kind] = planned.get(step.kind, 0.0) + self._seconds(step) * share_made
        return took, planned

    def _seconds(self, step: Expected) -> float:
        # Where no speed is known, any will do: ``_slower`` then scales by what was observed.
        return STEP_S + step.flops / (self._speed or 1e11)

    def _slower(self, kind: str, took: dict[str, float], planned: dict[str, float]) -> float:
        """Return how many times longer than planned a kind of step takes.

        Of kinds that have not run yet, half of what the others show is believed, in octaves: a busy
        machine slows all of them, a wrong plan only one.
        """
        took_s, planned_s = took.get(kind, 0.0), planned.get(kind, 0.0)
        if self._speed is None:  # the plan's seconds are made up: the other kinds' pace instead
            if planned_s:
                return took_s / planned_s
            return sum(took.values()) / max(sum(planned.values()), 1e-9)
        all_s, all_planned_s = sum(took.values()), sum(planned.values())
        slowdown = math.sqrt((all_s - took_s + PLANNED_S) / (all_planned_s - planned_s + PLANNED_S))
        return (took_s + PLANNED_S * slowdown) / (planned_s + PLANNED_S)

    def _side_by_side(self, now_s: float) -> float:
        """Return how many steps ran at a time so far."""
        elapsed_s = now_s - (self._began_s if self._began_s is not None else now_s)
        if len(self._active) < 2 or elapsed_s <= 0:
            return 1.0
        busy_s = sum(self._took.values())
        busy_s += sum(now_s - pace.began_s for _, pace in self._active.values())
        return max(1.0, min(busy_s / elapsed_s, len(self._active)))
