"""Making steps: keys, and what every kind of step needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reactions.core.hashing import digest
from reactions.core.step import Artifact, Context, Cost, Step, StepKindName, Together
from reactions.core.types import Corpus, SpaceSpec

VERSIONS: Mapping[StepKindName, int] = {
    "embed": 1,
    "mean": 1,
    "collect": 2,
    "train": 3,
    "quality": 1,
    "assemble": 1,
    "score": 3,
}
"""Raised whenever a step's code changes its result; the changelog names the change."""


ITEM_BYTES: Mapping[str, int] = {"float16": 2, "float32": 4}
"""Bytes a number, by the ``dtype`` that embeddings and pseudo-pairs are stored in."""


def make_step(
    kind: StepKindName,
    label: str,
    params: Mapping[str, Any],
    inputs: Sequence[tuple[str, Step]],
    run: Callable[[Context, Mapping[str, Artifact], int, int], Artifact],
    *,
    n_rows: int | None = None,
    shard_rows: int = 0,
    cost: Cost | None = None,
    shares: str = "",
    together: Together | None = None,
    space: SpaceSpec | None = None,
    corpus: Corpus | None = None,
) -> Step:
    """Return a step whose key covers all that can change its result.

    Device, worker count, shard size, labels and paths are not part of ``params``: they
    cannot change a result.

    Args:
        kind: the step's family; its version enters the key.
        label: for people.
        params: JSON-able parameters.
        inputs: (name, step) pairs; names and keys enter the key.
        run: see ``Step.run``.
        n_rows: see ``Step.n_rows``.
        shard_rows: see ``Step.shard_rows``.
        cost: estimates.
        shares: see ``Step.shares``.
        together: see ``Step.together``.
        space: see ``Step.space``.
        corpus: see ``Step.corpus``; its digest is a parameter ``corpus``.
    """
    preimage = {
        "kind": kind,
        "version": VERSIONS[kind],
        "params": dict(params),
        "inputs": {name: step.key for name, step in inputs},
    }
    return Step(
        kind=kind,
        label=label,
        key=digest("step", preimage),
        preimage=preimage,
        inputs=tuple(inputs),
        run=run,
        n_rows=n_rows,
        shard_rows=shard_rows,
        cost=cost or Cost(),
        shares=shares,
        together=together,
        space=space,
        corpus=corpus,
    )
