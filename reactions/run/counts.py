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
    """Return the counts of those of the steps that embed a corpus and whose results are there.

    Results of earlier versions, of which nothing was counted, say so (``n_uncounted``).
    """
    embedding = {}
    for step in steps:
        corpus = getattr(step, "corpus", None)
        if step.space is not None and corpus is not None and step.n_rows:
            embedding[step.key] = LeftOut(step.space.name, corpus.modality, 0, {}, step.n_rows)
    return {
        key: entry.left_out or embedding[key]
        for key, entry in records(store.layout, embedding).items()
    }


def report_counts(store: Store, targets: Sequence[Step]) -> None:
    """Keep the counts of all that targets are made of, to be reported (``core.left_out.take``).

    Where the store cannot be read there are none: what was asked for is there all the same.
    """
    with suppress(StoreError):
        for key, counts in counts_of(store, steps_of(targets)).items():
            report([counts], key)
