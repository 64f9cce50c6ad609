"""assemble: trained heads and a record, ready to be written as a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from reactions.graph import Artifact, Context, Cost, Step
from reactions.steps.step import make_step


def assemble(record: Mapping[str, Any], mixtures: Sequence[Sequence[tuple[str, Step]]]) -> Step:
    """Return the step that gathers all heads of a product.

    Its artifact has the tensors ``<mixture>.<subset>.<tensor>`` and the bundle's record as
    ``meta``: what ``bundle.write_bundle`` takes.

    Args:
        record: from ``bundle.describe``.
        mixtures: (subset, train step) pairs of each mixture, in the record's order.
    """
    inputs = [
        (f"{index}.{subset}", step)
        for index, heads in enumerate(mixtures)
        for subset, step in heads
    ]
    size_bytes = sum(step.cost.size_bytes for _, step in inputs)
    return make_step(
        "assemble",
        "assemble the bundle",
        {"record": record},
        inputs,
        partial(_run, record),
        cost=Cost(size_bytes=size_bytes, memory_bytes=size_bytes),
    )


def _run(
    record: Mapping[str, Any],
    context: Context,
    inputs: Mapping[str, Artifact],
    start: int,
    stop: int,
) -> Artifact:
    arrays = {
        f"{head}.{name}": rows
        for head, artifact in inputs.items()
        for name, rows in artifact.arrays.items()
    }
    losses = {head: artifact.meta["loss"] for head, artifact in inputs.items()}
    return Artifact(arrays, {**record, "losses": losses})
