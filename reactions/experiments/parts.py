"""What the parts of an experiment are planned to take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from reactions.planning.plan import ReactionPlan
from reactions.run.parts import RunPart
from reactions.run.schedule import schedule
from reactions.session import Session

SCORING_S = 1.5
"""Seconds that scoring one space takes on two cores: what the first estimate begins with."""

PartPlan: TypeAlias = tuple[str, float, Sequence[ReactionPlan]]
"""A part's label, seconds beside training, and what it trains."""


def parts_of(session: Session, planned: Sequence[PartPlan]) -> list[RunPart]:
    """Return what each part is planned to take; what an earlier one trains takes no time again.

    Args:
        session: with the store that may have results, and the devices.
        planned: the parts, in order.
    """
    from reactions.planning.throughput import pace
    from reactions.run.device import resolve_devices

    speed = pace(resolve_devices(session.device), session.lab.settings.precision)
    counted: set[str] = set()
    parts = []
    for label, seconds, plans in planned:
        flops = 0.0
        for plan in plans:
            steps = schedule(plan.targets, session.store.lookup).pending
            flops += sum(step.cost.flops for step in steps if step.key not in counted)
            counted |= {step.key for step in steps}
        parts.append(RunPart(label, seconds + flops / speed))
    return parts
