"""What an executor reports while it works. Only events flow back from a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A step that has to run, and the floating-point operations that it is planned to take."""

    key: str
    kind: str
    flops: float


@dataclass(frozen=True, slots=True)
class PartStarted(Event):
    """One of several runs that belong together begins, such as a space of a table.

    Attributes:
        number: its number, from 1.
        total: how many there are.
        label: of the part.
        left_s: seconds that this part and those after it will about take; None if unknown.
    """

    number: int
    total: int
    label: str
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class PartsFinished(Event):
    """The last of several runs that belong together is over."""


@dataclass(frozen=True, slots=True)
class RowStarted(Event):
    """A row of a table begins: what follows belongs to it; ``label`` is its name."""

    label: str


@dataclass(frozen=True, slots=True)
class ReactionStarted(Event):
    """A reaction is about to be trained, or to be found trained.

    Attributes:
        name: of its product, for files.
        expression: the canonical reaction.
        lab: label of the lab.
        seed: of the lab.
    """

    name: str
    expression: str
    lab: str
    seed: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve as a step's result has it: value i lies at position i + 1.

    Attributes:
        key: of the step.
        kind: of the step.
        label: of the step.
        name: of the curve.
        values: whatever run measured them.
    """

    key: str
    kind: str
    label: str
    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ReactionFinished(Event):
    """A reaction's bundle is there; ``curves`` has the losses of all that was trained for it."""

    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class TaskScored(Event):
    """A task's score is there, computed now or before.

    Attributes:
        name: of the space that was scored, for files.
        record: of the result: at least ``space``, ``lab``, ``seed``, ``task`` and ``metrics``.
    """

    name: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlanStarted(Event):
    """A run begins.

    Attributes:
        steps: steps that have to run.
        hits: results taken from the store.
        expected: what the steps that have to run are planned to cost.
        is_bundled: nothing was looked up, for the bundle that the run would make is there.
    """

    steps: int
    hits: int
    expected: tuple[Expected, ...] = ()
    is_bundled: bool = False


@dataclass(frozen=True, slots=True)
class PlanFinished(Event):
    """A run has ended well; ``executed`` steps really ran, in ``seconds``."""

    executed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """A run is about to end early, once ``workers`` have come to a point where they can stop."""

    workers: int


@dataclass(frozen=True, slots=True)
class PlanStopped(Event):
    """A run has ended early, because a step failed or somebody stopped it."""


@dataclass(frozen=True, slots=True)
class StepEvent(Event):
    """Base of events about one step.

    Attributes:
        key: of the step.
        kind: of the step.
        label: of the step.
    """

    key: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class StepHit(StepEvent):
    """The store has the result, at the start or because another process made it meanwhile."""


@dataclass(frozen=True, slots=True)
class StepStarted(StepEvent):
    """A step begins.

    Attributes:
        done: rows an earlier run has left.
        total: rows of the result; 0 for steps not made by rows.
    """

    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class StepProgress(StepEvent):
    """Part of a step is done.

    Attributes:
        done: units done, those of an earlier run included.
        total: units in all.
        unit: what is counted.
    """

    done: int
    total: int
    unit: str


@dataclass(frozen=True, slots=True)
class StepMeasured(StepEvent):
    """A running step has measured something, such as the loss of an epoch.

    Attributes:
        name: of the curve; unique within the step.
        value: of the point, not necessarily finite.
        position: of the point, such as the number of epochs done.
    """

    name: str
    value: float
    position: int


@dataclass(frozen=True, slots=True)
class StepFinished(StepEvent):
    """A step is done and stored.

    Attributes:
        seconds: that workers of this process took for it.
        waited_s: that it waited in between, for workers and for other processes.
    """

    seconds: float
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepFailed(StepEvent):
    """A step failed; ``error`` is one line."""

    error: str


@dataclass(frozen=True, slots=True)
class Waiting(StepEvent):
    """Another process makes this step; ``pid`` is its process id, if known."""

    pid: int | None


@dataclass(frozen=True, slots=True)
class StoreWarning(Event):
    """Something damaged was put aside; the run goes on."""

    message: str


EventSink: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Drop an event."""
