"""A plan: steps and what a user should know of them, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reactions.core.paired import PairedCorpora
from reactions.core.step import Cost, Step
from reactions.dsl import Checked
from reactions.planning.training import PlannedProjector, RowCount
from reactions.run.events import Curve


@dataclass(frozen=True)
class Plan:
    """A DAG of steps.

    Attributes:
        targets: the steps whose results are wanted.
        notices: what the user should know before it runs.
        corpora: what is embedded: (name, usable items, items found or expected) of each.
        rows: how much of each corpus is trained on, and how much is held back.
        projectors: what each projector is trained with.
        pairs: what encoders are tuned on.
    """

    targets: tuple[Step, ...]
    notices: tuple[str, ...] = ()
    corpora: tuple[tuple[str, int, int], ...] = ()
    rows: tuple[RowCount, ...] = ()
    projectors: tuple[PlannedProjector, ...] = ()
    pairs: tuple[PairedCorpora, ...] = ()

    def steps(self) -> Iterator[Step]:
        """Yield every step once, inputs before what needs them."""
        return ordered(self.targets)

    @property
    def cost(self) -> Cost:
        """Totals over all steps; memory is the largest of any.

        What steps that run together have in common is counted once.
        """
        return total_cost(self.steps())


@dataclass(frozen=True, kw_only=True)
class ReactionPlan(Plan):
    """The training of a reaction, to be shown, confirmed and then run as it is.

    Attributes:
        checked: the reaction; the one target assembles its product.
    """

    checked: Checked

    def losses(self, record: Mapping[str, Any]) -> tuple[Curve, ...]:
        """Return the losses that the bundle's record has, with the steps that they are of."""
        losses = record.get("losses", {})
        return tuple(
            Curve(step.key, step.kind, step.label, "loss", tuple(losses[name]))
            for assembled in self.targets
            for name, step in assembled.inputs
            if name in losses
        )


def joined(plans: Sequence[Plan]) -> Plan:
    """Return one plan for all; what several have in common is in it once."""
    targets = {step.key: step for plan in plans for step in plan.targets}
    return Plan(
        tuple(targets.values()),
        tuple(dict.fromkeys(notice for plan in plans for notice in plan.notices)),
        tuple(dict.fromkeys(corpus for plan in plans for corpus in plan.corpora)),
        tuple(dict.fromkeys(count for plan in plans for count in plan.rows)),
        tuple(dict.fromkeys(projector for plan in plans for projector in plan.projectors)),
        tuple({pairs.digest: pairs for plan in plans for pairs in plan.pairs}.values()),
    )


def total_cost(steps: Iterable[Step]) -> Cost:
    """Return totals over steps; what those that run together have in common counts once."""
    total, counted = Cost(), set[str]()
    for step in steps:
        cost = step.cost
        if step.together:
            if step.together in counted:
                cost = replace(cost, flops=cost.flops - cost.shared_flops)
            counted.add(step.together)
        total = total + cost
    return total


def ordered(targets: Sequence[Step]) -> Iterator[Step]:
    """Yield the steps upstream of ``targets`` and themselves, each once, inputs first."""
    # An explicit stack: plans may be deeper than Python's recursion limit.
    seen: set[str] = set()
    stack: list[tuple[Step, bool]] = [(step, False) for step in reversed(targets)]
    while stack:
        step, expanded = stack.pop()
        if expanded:
            yield step
        elif step.key not in seen:
            seen.add(step.key)
            stack.append((step, True))
            stack.extend((child, False) for _, child in reversed(step.inputs))


def plan_json(plan: Plan) -> list[dict[str, Any]]:
    """Return the steps as JSON objects: kind, label, key, inputs, estimates."""
    return [
        {
            "kind": step.kind,
            "label": step.label,
            "key": step.key,
            "inputs": {name: child.key for name, child in step.inputs},
            "flops": step.cost.flops,
            "size_bytes": step.cost.size_bytes,
            "memory_bytes": step.cost.memory_bytes,
        }
        for step in plan.steps()
    ]
