"""Which steps have to run, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from reactions.core.step import Artifact, Step
from reactions.core.types import Digest

Needs: TypeAlias = frozenset[tuple[str, str]]
"""What a step wants kept on its device: ("encoder", name), ("shares", name)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a run does.

    Attributes:
        pending: steps to run, every one after its inputs.
        hits: steps whose results the store has: targets, and inputs of ``pending``.
        artifacts: of ``hits``, by key.
    """

    pending: tuple[Step, ...]
    hits: tuple[Step, ...]
    artifacts: dict[Digest, Artifact]


def schedule(targets: Sequence[Step], lookup: Callable[[Digest], Artifact | None]) -> Schedule:
    """Choose the steps that have to run: nothing upstream of a result that is there.

    The order is depth first, so that values are soon used up, and depends on nothing but
    the targets. Steps that encode corpora come first, grouped by encoder: each is then
    loaded once, and their results stay on disk anyway.

    Args:
        targets: steps whose results are wanted.
        lookup: the store's.
    """
    artifacts: dict[Digest, Artifact] = {}
    hits: list[Step] = []
    pending: dict[Digest, Step] = {}
    entered: set[Digest] = set()

    def enter(step: Step) -> Iterator[Step] | None:
        """Return an iterator over the inputs of a step seen for the first time that must run."""
        if step.key in entered:
            return None
        entered.add(step.key)
        if (artifact := lookup(step.key)) is not None:
            artifacts[step.key] = artifact
            hits.append(step)
            return None
        return (source for _, source in step.inputs)

    for target in targets:
        # An explicit stack: plans may be deeper than Python's recursion limit.
        stack: list[tuple[Step, Iterator[Step]]] = []
        if (inputs := enter(target)) is not None:
            stack.append((target, inputs))
        while stack:
            step, inputs = stack[-1]
            for source in inputs:
                if (deeper := enter(source)) is not None:
                    stack.append((source, deeper))
                    break
            else:
                pending[step.key] = step
                stack.pop()

    return Schedule(tuple(_encoders_first(list(pending.values()))), tuple(hits), artifacts)


def keys_of(targets: Iterable[Step]) -> set[Digest]:
    """Return the keys of steps and of all that they are made of."""
    return {step.key for step in steps_of(targets)}


def steps_of(targets: Iterable[Step]) -> Iterator[Step]:
    """Yield steps and all that they are made of, each once."""
    keys: set[Digest] = set()
    pending = list(targets)
    while pending:
        step = pending.pop()
        if step.key not in keys:
            keys.add(step.key)
            yield step
            pending.extend(source for _, source in step.inputs)


def most_at_a_time(plan: Schedule) -> int:
    """Return how many workers a plan can possibly keep busy at a time."""
    return sum(
        math.ceil(step.n_rows / (step.shard_rows or step.n_rows)) if step.n_rows else 1
        for step in plan.pending
    )


def needs_of(step: Step) -> Needs:
    """Return what a step wants to find on its device because an earlier one left it there."""
    pairs = (("encoder", step.encoder), ("shares", step.shares))
    return frozenset((kind, name) for kind, name in pairs if name)


def _encoders_first(steps: list[Step]) -> list[Step]:
    names = ["" if step.inputs else step.encoder for step in steps]
    rank: dict[str, int] = {}
    for name in filter(None, names):
        rank.setdefault(name, len(rank))
    # Sorting is stable, so the rest keep their order, after their inputs: those that come first
    # have none.
    order = sorted(range(len(steps)), key=lambda i: rank.get(names[i], len(rank)))
    return [steps[i] for i in order]
