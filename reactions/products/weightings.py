"""A side of a product at many factors, as a few rows and their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.products.components import Components, Term
from reactions.products.tree import Adjustment

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from reactions.ops.weighted_ranks import WeightedRows

MOST_TOGETHER = 12
"""Settings of two terms that share extremes. Closer extremes leave fewer answers in doubt, and are
products of their own."""

_LEAST_NORM = 1e-3
"""Rows that cancel each other out leave rounding errors behind."""

_ALIKE = 1e-12
"""Shares that differ by less are equal."""


@dataclass(frozen=True, slots=True)
class Weighting:
    """Settings that mix the same rows.

    Attributes:
        settings: their positions, in the order of ``rows``' weightings.
        rows: what they mix, and how.
    """

    settings: tuple[int, ...]
    rows: WeightedRows

    @property
    def is_safe(self) -> bool:
        """Whether norms can be divided by: all are finite, and none is near 0."""
        return bool((self.rows.norms > _LEAST_NORM).all() and np.isfinite(self.rows.norms).all())


def weightings(side: Components, adjustments: Sequence[Adjustment]) -> Iterator[Weighting]:
    """Yield settings in groups whose rows are weighted sums of the same few rows.

    Factors of the outermost stage change weights alone. What lies deeper changes the rows: settings
    that differ there are in groups of their own.

    Args:
        side: of a task.
        adjustments: that act differently on it.
    """
    terms = [side.terms(adjustment) for adjustment in adjustments]
    # Those with most terms first: where a share is 0, a term is lacking, not another one.
    order = sorted(range(len(terms)), key=lambda i: -len(terms[i]))
    groups: list[tuple[dict[Any, tuple[Term, Adjustment]], list[int]]] = []
    for i in order:
        keys = {term.key: (term, adjustments[i]) for term in terms[i]}
        for group_keys, members in groups:
            if keys.keys() <= group_keys.keys():
                members.append(i)
                break
        else:
            groups.append((keys, [i]))
    for keys, members in groups:
        shares = np.array(
            [[{t.key: t.share for t in terms[i]}.get(key, 0.0) for key in keys] for i in members]
        )
        rows = [side.term_rows(*arguments) for arguments in keys.values()]
        yield from _weighted(members, rows, shares)


def _weighted(
    settings: Sequence[int], rows: list[Tensor], shares: NDArray[np.float64]
) -> Iterator[Weighting]:
    """Choose extremes for settings of the same rows, all of which are between them."""
    rows, shares = _merged(rows, shares)
    if len(rows) != 2:
        yield _weighting(settings, rows, shares)
        return
    order = np.argsort(shares[:, 1], kind="stable")
    for part in np.array_split(order, -(-len(order) // MOST_TOGETHER)):
        ends = shares[part[[0, -1]]]
        width = ends[1, 1] - ends[0, 1]
        if width < _ALIKE:
            extremes, weights = [_sum(ends[0], rows)], np.ones((len(part), 1))
        else:
            extremes = [_sum(end, rows) for end in ends]
            between = (shares[part, 1] - ends[0, 1]) / width
            weights = np.stack([1 - between, between], axis=1)
        yield _weighting([settings[i] for i in part], extremes, weights)


def _merged(
    rows: list[Tensor], shares: NDArray[np.float64]
) -> tuple[list[Tensor], NDArray[np.float64]]:
    """Merge rows whose shares are in the same proportion at all settings: experts of one factor."""
    totals = shares.sum(axis=0)
    groups: list[list[int]] = []
    for k in range(len(rows)):
        for group in groups:
            first = group[0]
            if np.allclose(
                shares[:, k] * totals[first], shares[:, first] * totals[k], rtol=0, atol=_ALIKE
            ):
                group.append(k)
                break
        else:
            groups.append([k])
    merged = [
        rows[group[0]]
        if len(group) == 1
        else _sum(totals[group] / totals[group].sum(), [rows[k] for k in group])
        for group in groups
    ]
    return merged, np.stack([shares[:, group].sum(axis=1) for group in groups], axis=1)


def _weighting(
    settings: Sequence[int], extremes: list[Tensor], weights: NDArray[np.float64]
) -> Weighting:
    from reactions.ops.weighted_ranks import WeightedRows, gram

    weights = np.clip(weights, 0.0, 1.0)
    squared = np.einsum("va,nab,vb->vn", weights, gram(extremes), weights)
    norms = np.sqrt(np.maximum(squared, 0.0))
    return Weighting(tuple(settings), WeightedRows(extremes, weights, norms))


def _sum(weights: NDArray[np.float64], rows: Sequence[Tensor]) -> Tensor:
    total = rows[0] * float(weights[0])
    for weight, part in zip(weights[1:], rows[1:], strict=True):
        total = total + part * float(weight)
    return total
