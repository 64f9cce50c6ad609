"""How peaked each hop of pseudo-pair collection is: planned, and read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reactions.core.step import Artifact, Step
from reactions.steps.centre import CentreRows
from reactions.steps.collect import Collect
from reactions.steps.embed import EmbedLeaf, EmbedProduct
from reactions.steps.embed_aligned import EmbedAligned
from reactions.steps.embed_tuned import EmbedTuned
from reactions.steps.peaks import MeasurePeaks

QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class PlannedHop:
    """A soft retrieval of a reaction, with the step that measures it.

    Attributes:
        space: in which similarities are taken.
        anchor: modality that the pseudo set starts from.
        query: modality of the queries.
        key: modality of the corpus that is searched.
        is_second: whether its queries are themselves what a hop has found.
        step: that measures it.
    """

    space: str
    anchor: str
    query: str
    key: str
    is_second: bool
    step: MeasurePeaks


@dataclass(frozen=True)
class MeasuredHop:
    """A hop with what was measured.

    Attributes:
        hop: which.
        n: queries that were measured.
        of: queries there are.
        keys: rows of the corpus that is searched.
        effective: quartiles of the effective number of items, exp(entropy).
        top: quartiles of the largest weight.
    """

    hop: PlannedHop
    n: int
    of: int
    keys: int
    effective: tuple[float, ...]
    top: tuple[float, ...]


def plan_hops(steps: Iterable[Step]) -> list[PlannedHop]:
    """Return the hops of a plan, each once: columns found by the same weights share one.

    Args:
        steps: of the plan of a reaction.
    """
    hops: dict[tuple[str, str], PlannedHop] = {}
    for step in steps:
        if not isinstance(step, Collect):
            continue
        place = (step.queries.key, step.keys.key)
        if place in hops:
            continue
        space, key = _source(step.keys)
        query = _filled(step.queries)
        first = step.queries
        while isinstance(first, Collect):
            first = first.queries
        anchor = _source(first)[1]
        measure = MeasurePeaks(
            hop=f"{query} to {key} in {space} for {anchor}",
            queries=step.queries,
            keys=step.keys,
            temperature=step.temperature,
        )
        hops[place] = PlannedHop(
            space, anchor, query, key, isinstance(step.queries, Collect), measure
        )
    return list(hops.values())


def measured_hops(
    hops: Sequence[PlannedHop], artifacts: Mapping[str, Artifact]
) -> list[MeasuredHop]:
    """Return what was measured, of those hops whose result is there."""
    measured = []
    for hop in hops:
        artifact = artifacts.get(hop.step.key)
        if artifact is None:
            continue
        entropy = np.asarray(artifact.arrays["entropy"][slice(None)], np.float64)
        top = np.asarray(artifact.arrays["top"][slice(None)], np.float64)
        measured.append(
            MeasuredHop(
                hop=hop,
                n=len(entropy),
                of=int(artifact.meta["queries"]),
                keys=int(artifact.meta["keys"]),
                effective=_quartiles(np.exp(entropy)),
                top=_quartiles(top),
            )
        )
    return measured


def _quartiles(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUARTILES))


def _filled(step: Step) -> str:
    """Return the modality of a column."""
    return _source(step.values if isinstance(step, Collect) else step)[1]


def _source(step: Step) -> tuple[str, str]:
    """Return the space and the modality of an embedded corpus."""
    if isinstance(step, EmbedLeaf):
        return step.space.name, step.corpus.modality
    if isinstance(step, CentreRows):
        return step.name, step.modality
    if isinstance(step, EmbedProduct):
        return step.fusion.label, step.modality
    if isinstance(step, EmbedAligned):
        return step.node.label, step.modality
    if isinstance(step, EmbedTuned):
        return step.node.label, step.node.arguments[0]
    return step.label, "?"  # a kind of step that an executor's package adds
