"""What a run would take, estimated before it begins."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from reactions.core.step import Cost
from reactions.core.types import SpaceSpec
from reactions.planning.plan import Plan, total_cost
from reactions.store import Store

LONG_FLOPS = 1e16
LONG_BYTES = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run would take.

    Attributes:
        steps: steps to run.
        cost: their totals.
        free_bytes: free disk space where results go.
        corpora: what is embedded: (name, usable items, items found or expected) of each.
        uncounted: spaces whose encoders' operations are unknown, and not in ``cost``.
        spaces: those whose encoders have to be loaded.
    """

    steps: int
    cost: Cost
    free_bytes: int
    corpora: tuple[tuple[str, int, int], ...] = ()
    uncounted: tuple[str, ...] = ()
    spaces: tuple[SpaceSpec, ...] = ()

    @property
    def is_long(self) -> bool:
        """Whether a person should be asked first: minutes on a GPU, or gigabytes on disk."""
        return self.cost.flops > LONG_FLOPS or self.cost.size_bytes > LONG_BYTES

    @property
    def fits(self) -> bool:
        """Whether the disk has room for the results."""
        return self.cost.size_bytes <= self.free_bytes


def estimate(plan: Plan, store: Store) -> Estimate:
    """Return what running a plan would take, apart from what the store has."""
    from reactions.run.schedule import schedule

    pending = schedule(plan.targets, store.lookup).pending
    folder = store.root
    # The store's folder appears with the first result; disk_usage wants one that is there.
    while not folder.exists():
        folder = folder.parent
    # Folders of embeddings take no operations; other spaces without any do not say how many.
    unknown = {
        step.space.name: None
        for step in pending
        if step.kind == "embed"
        and step.space is not None
        and step.space.adapter != "precomputed"
        and not step.cost.flops
    }
    return Estimate(
        len(pending),
        total_cost(pending),
        shutil.disk_usage(folder).free,
        plan.corpora,
        tuple(unknown),
        tuple(dict.fromkeys(step.space for step in pending if step.space is not None)),
    )


def seconds(expected: Estimate, device: str, precision: str) -> float:
    """Estimate how long a run takes, from how fast its devices multiply.

    Decoding of media is not counted, nor are encoders that keep a device less busy.

    Args:
        expected: what is to be done.
        device: as a session takes it.
        precision: ``fast`` or ``exact``.
    """
    from reactions.planning.throughput import pace
    from reactions.run.device import resolve_devices

    return expected.cost.flops / pace(resolve_devices(device), precision)
