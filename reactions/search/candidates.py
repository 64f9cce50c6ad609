"""From an approximation's candidates to the nearest rows: compared exactly, as many as it takes.

An approximation goes by the mean coefficients of all items, and by shortened vectors. An item's own
coefficients are r times the means, r being how much shorter its sum of atoms is than the others';
what shortening does shows on the candidates, as the spread of their cosines around what was said.
Where the last candidate's value, times the largest usual r, plus three times that spread, is above
the k-th best cosine so far, rows beyond the candidates may belong to the hits: more are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from reactions.products.atoms import Coefficients
from reactions.search.approximate import Covered

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_HIT: Final = 20
LEAST: Final = 300
"""Candidates that are asked for at first."""

GROWTH, ROUNDS = 4, 4
"""How many more each time, and how often at most."""

_USUAL: Final = 0.999
"""The share of rows whose r is at most what is taken for the largest."""


@dataclass(frozen=True)
class Spread:
    """How the coefficients of a modality's items differ.

    Attributes:
        weights: (K,) their means.
        largest: how many times the means the coefficients of almost all items are, at most.
    """

    weights: NDArray[np.float32]
    largest: float

    @classmethod
    def of(cls, segments: Sequence[Coefficients], n_atoms: int) -> Self:
        """Summarise the coefficients of some segments."""
        columns = [
            np.concatenate([np.atleast_1d(np.asarray(scaled[k])) for scaled in segments])
            for k in range(n_atoms)
        ]
        weights = np.array([np.nanmean(column) for column in columns], dtype=np.float32)
        ratios = [
            float(np.nanquantile(column, _USUAL) / weight)
            for column, weight in zip(columns, weights, strict=True)
            if weight > 0
        ]
        return cls(weights, max(ratios, default=1.0))


def first_candidates(k: int) -> int:
    """Return how many candidates k hits are chosen from at first."""
    return max(LEAST, PER_HIT * k)


def nearest(
    covered: Covered,
    spread: Spread,
    queries: NDArray[np.float32],
    k: int,
    exactly: Callable[[NDArray[np.int64], int], NDArray[np.float32]],
    is_deleted: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Return rows that have the k nearest among them, and their exact cosines, for each query.

    Args:
        covered: the approximation.
        spread: of the coefficients of its rows.
        queries: (n, d) unit rows.
        k: how many are sought.
        exactly: row numbers, ascending, and a query's position to cosines.
        is_deleted: row numbers to which are no longer there.
    """
    done: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = [
        (np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries
    ]
    waiting = np.arange(len(queries))
    n = min(covered.rows, first_candidates(k))
    for turn in range(ROUNDS):
        values, candidates = covered.candidates(
            queries[waiting], spread.weights, n, widened=2**turn
        )
        unsure = []
        for position, estimates, numbers in zip(waiting.tolist(), values, candidates, strict=True):
            order = np.argsort(numbers)
            order = order[numbers[order] >= 0]
            numbers, estimates = numbers[order], estimates[order]
            cosines = exactly(numbers, position)
            cosines[np.isnan(cosines)] = -1.0
            is_there = ~is_deleted(numbers)
            done[position] = numbers[is_there], cosines[is_there]
            if len(numbers) < n or n == covered.rows:
                continue  # there are no more
            best = cosines[is_there]
            kth = np.partition(best, -k)[-k] if len(best) >= k else -1.0
            margin = 3.0 * float((cosines / spread.largest - estimates).std())
            if (estimates.min() + margin) * spread.largest > kth:
                unsure.append(position)
        waiting = np.array(unsure, dtype=np.int64)
        if not len(waiting):
            break
        n = min(covered.rows, n * GROWTH)
    return done
