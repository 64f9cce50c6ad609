"""What a plan's encoders left out of items, as the store has it, of this and of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from reactions.core.errors import StoreError
from reactions.core.left_out import LeftOut, report
from reactions.core.step import Step
from reactions.core.types import Digest
from reactions.run.schedule import steps_of
from reactions.store import Store
from reactions.store.maintenance import records

Counts: TypeAlias = Mapping[Digest, LeftOut]
"""Keys of steps that embed corpora to what was left out of the items."""


def counts_of(store: Store, steps: Iterable[Step]) -> Counts:
    """Return the counts of those of the steps that encode a corpus and whose results are there.

    Results of earlier versions, of which nothing was counted, say so (``n_uncounted``).
    """
    unknown = _uncounted(steps)
    return {
        key: entry.left_out or unknown[key] for key, entry in records(store.layout, unknown).items()
    }


def report_counts(store: Store, targets: Sequence[Step]) -> None:
    """Keep the counts of all that targets are made of, to be reported (``core.left_out.take``).

    Of results that are gone, or cannot be read, it is reported that they are not known: what was
    asked for is there all the same.
    """
    steps = list(steps_of(targets))
    counts = _uncounted(steps)
    with suppress(StoreError):
        counts |= counts_of(store, steps)
    for key, part in counts.items():
        report([part], key)


def _uncounted(steps: Iterable[Step]) -> dict[Digest, LeftOut]:
    """Return that of the items of all steps that encode a corpus nothing was counted.

    Of items that are looked up in folders of embeddings nothing is ever left out.
    """
    counts: dict[Digest, LeftOut] = {}
    for step in steps:
        if step.space is None or step.encoded is None or not len(step.encoded):
            continue
        n, is_looked_up = len(step.encoded), step.space.adapter == "precomputed"
        n_counted, n_uncounted = (n, 0) if is_looked_up else (0, n)
        part = LeftOut(step.space.name, step.encoded.modality, n_counted, {}, n_uncounted)
        counts[step.key] = part
    return counts
