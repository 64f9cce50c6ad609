"""What each step of a product was planned to take, and what the store knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reactions.core.step import Step
from reactions.core.types import Digest
from reactions.planning.plan import Plan
from reactions.store import Store
from reactions.store.maintenance import EntryInfo


@dataclass(frozen=True, slots=True)
class StepCost:
    """One step.

    Attributes:
        kind: which family it belongs to.
        label: for people.
        flops: planned floating-point operations; what it shares with an earlier step is left out.
        size_bytes: of its result: on disk where it is there, else planned.
        is_stored: whether the store has its result.
        created: when that was finished, in UTC, to the minute; "" if it is not there.
        seconds: that it took; None where that was not recorded.
    """

    kind: str
    label: str
    flops: float
    size_bytes: int
    is_stored: bool
    created: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class KindCost:
    """All steps of one kind.

    Attributes:
        kind: which.
        steps: how many.
        flops: in all.
        size_bytes: in all.
        seconds: of those whose time is known; None if of none.
        timed: how many of them have a time.
    """

    kind: str
    steps: int
    flops: float
    size_bytes: int
    seconds: float | None
    timed: int


def step_costs(plan: Plan, store: Store) -> list[StepCost]:
    """Return the costs of a plan's steps, inputs first."""
    entries = {entry.key: entry for entry in store.ls()}
    return _costs(list(plan.steps()), entries)


def _costs(steps: Sequence[Step], entries: Mapping[Digest, EntryInfo]) -> list[StepCost]:
    costs = []
    counted: set[str] = set()
    for step in steps:
        entry, cost = entries.get(step.key), step.cost
        flops = cost.flops
        if step.together:
            flops -= cost.shared_flops if step.together in counted else 0.0
            counted.add(step.together)
        costs.append(
            StepCost(
                kind=step.kind,
                label=step.label,
                flops=flops,
                size_bytes=cost.size_bytes if entry is None else entry.size_bytes,
                is_stored=entry is not None,
                created="" if entry is None else f"{entry.created:%Y-%m-%d %H:%M}",
                seconds=None if entry is None else entry.seconds,
            )
        )
    return costs


def by_kind(costs: Sequence[StepCost]) -> list[KindCost]:
    """Return totals a kind, in the order in which kinds first appear."""
    totals = []
    for kind in dict.fromkeys(cost.kind for cost in costs):
        kind_costs = [cost for cost in costs if cost.kind == kind]
        times = [cost.seconds for cost in kind_costs if cost.seconds is not None]
        totals.append(
            KindCost(
                kind,
                len(kind_costs),
                sum(cost.flops for cost in kind_costs),
                sum(cost.size_bytes for cost in kind_costs),
                sum(times) if times else None,
                len(times),
            )
        )
    return totals
