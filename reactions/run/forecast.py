"""How long a run will still take: what its steps cost, and how fast the first ones were."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

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


@dataclass(slots=True)
class _Running:
    """A step in progress: when it began, and which share was done then and is done now."""

    began_s: float
    start: float
    share: float


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
        self._active: dict[str, tuple[Expected, _Running]] = {}
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
                self._active[event.key] = step, _Running(now_s, share, share)
        elif isinstance(event, StepProgress):
            if event.key in self._active and event.total:
                self._active[event.key][1].share = event.done / event.total
        elif isinstance(event, StepHit):
            self._waiting.pop(event.key, None)
            self._active.pop(event.key, None)
        elif isinstance(event, StepFinished) and event.key in self._active:
            step, running = self._active.pop(event.key)
            self._took[step.kind] += now_s - running.began_s
            self._planned[step.kind] += self._seconds(step) * (1 - running.start)

    def left_s(self, now_s: float) -> float | None:
        """Return how many seconds the run still takes; None where nothing is known yet."""
        took, planned = self._observed(now_s)
        if self._speed is None and not any(planned.values()):
            return None
        left = sum(
            self._seconds(step) * self._slower(step.kind, took, planned)
            for step in self._waiting.values()
        )
        for step, running in self._active.values():
            whole = self._seconds(step) * self._slower(step.kind, took, planned)
            rest = whole * (1 - running.share)
            if running.share == running.start:  # it says nothing of how far it is
                rest = max(0.0, rest - (now_s - running.began_s))
            left += rest
        return left / self._side_by_side(now_s)

    def _observed(self, now_s: float) -> tuple[dict[str, float], dict[str, float]]:
        """Return the seconds that steps of each kind took, and those that were planned for it."""
        took, planned = dict(self._took), dict(self._planned)
        for step, running in self._active.values():
            # The time that loading takes says nothing about the rate yet.
            if (made := running.share - running.start) >= 0.01:
                elapsed_s = now_s - running.began_s
                took[step.kind] = took.get(step.kind, 0.0) + elapsed_s
                planned[step.kind] = planned.get(step.kind, 0.0) + self._seconds(step) * made
        return took, planned

    def _seconds(self, step: Expected) -> float:
        # Where no speed is known, any will do: ``_slower`` then scales by what was observed.
        return STEP_S + step.flops / (self._speed or 1e11)

    def _slower(self, kind: str, took: dict[str, float], planned: dict[str, float]) -> float:
        """Return how many times longer than planned a kind of step takes."""
        weight = PLANNED_S
        if self._speed is None:  # the plan's seconds are made up: the other kinds' pace instead
            if not planned.get(kind):
                return sum(took.values()) / max(sum(planned.values()), 1e-9)
            weight = 0.0
        return (took.get(kind, 0.0) + weight) / (planned.get(kind, 0.0) + weight)

    def _side_by_side(self, now_s: float) -> float:
        """Return how many steps ran at a time so far."""
        elapsed_s = now_s - (self._began_s if self._began_s is not None else now_s)
        if len(self._active) < 2 or elapsed_s <= 0:
            return 1.0
        busy_s = sum(self._took.values())
        busy_s += sum(now_s - running.began_s for _, running in self._active.values())
        return max(1.0, min(busy_s / elapsed_s, len(self._active)))
