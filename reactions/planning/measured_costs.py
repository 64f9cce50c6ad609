"""What steps took where they were made before, and what those like them will take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reactions.core.step import Step
from reactions.core.types import Digest
from reactions.store import Store
from reactions.store.made_by import MadeBy
from reactions.store.maintenance import made_by


def recorded_seconds(store: Store) -> dict[Digest, float]:
    """Return how long the entries of a store took, by key, of those where that is known."""
    return {entry.key: entry.seconds for entry in store.ls() if entry.seconds is not None}


def whole_seconds(
    store: Store, steps: Sequence[Step], recorded: Mapping[Digest, float]
) -> dict[Digest, float]:
    """Return the recorded seconds of steps as if no row had been taken over from another result.

    Args:
        store: where the results are.
        steps: the plan's. The result lacks those without a time, and those of whose rows none were
            made: they took no time, and would again take some.
        recorded: seconds of the entries of the store, by key.
    """
    timed = [step for step in steps if step.key in recorded]
    parts = made_by(store.layout, [step.key for step in timed if step.corpus is not None])
    seconds = {}
    for step in timed:
        took_s, n_rows = recorded[step.key], step.n_rows or 0
        if step.corpus is not None and n_rows:
            if not took_s:
                continue
            n_made = _rows_made(parts.get(step.key, ()))
            took_s *= n_rows / n_made if n_made else 1.0  # earlier versions note no devices
        seconds[step.key] = took_s
    return seconds


def seconds_by_rows(
    store: Store, steps: Sequence[Step], recorded: Mapping[Digest, float]
) -> dict[Digest, float]:
    """Return how long steps take that were made of another corpus, in proportion to the rows.

    Only rows that were really made count: not those taken over from another result.

    Args:
        store: where the others are.
        steps: the plan's. The result lacks those that encode no corpus, and those whose encoder has
            no result of another corpus in the store.
        recorded: seconds of the entries of the store, by key.
    """
    seconds = {}
    for step in steps:
        if step.space is None or step.corpus is None or step.key in recorded:
            continue
        other_keys = [k for k in store.index.keys(step.kind, step.preimage) if k in recorded]
        rows = {key: _rows_made(parts) for key, parts in made_by(store.layout, other_keys).items()}
        if n_made := sum(rows.values()):
            took_s = sum(recorded[key] for key, n in rows.items() if n)
            seconds[step.key] = took_s / n_made * (step.n_rows or 0)
    return seconds


def _rows_made(parts: Iterable[MadeBy]) -> int:
    return sum(part.stop - part.start for part in parts if part.stop is not None)
