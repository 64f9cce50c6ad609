"""How well held-out items are found: ranks in score matrices, recall, and what to warn of.

Row i of both sides belongs to the same item. Numbers are in per cent, except intervals'
inputs. Ties count against: what scores as high as the right answer comes before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.eval.bootstrap import Interval, bootstrap_difference
from reactions.eval.metrics import TIE

CUTOFFS = (1, 10)

MARGIN = 1.0
"""Points of R@1 or R@10 that a product must lose to a part to be called worse."""


@dataclass(frozen=True)
class Ranking:
    """Ranks of the right answers, in both directions.

    Attributes:
        there: (n,) from 1, the left rows being the queries.
        back: (n,) the right rows being the queries.
    """

    there: NDArray[np.int64]
    back: NDArray[np.int64]

    @classmethod
    def of(cls, scores: NDArray[np.float32]) -> Ranking:
        """Rank the diagonal of (n, n) scores within its rows and its columns."""
        # The right answer is above itself less TIE, so that counting begins at 1.
        right = np.diagonal(scores) - TIE
        return cls((scores > right[:, None]).sum(axis=1), (scores > right[None]).sum(axis=0))

    def hits(self, k: int) -> NDArray[np.float64]:
        """Return (n,) in 0, 0.5, 1: in how many of its directions an item is among the first k."""
        shares: NDArray[np.float64] = ((self.there <= k) * 1.0 + (self.back <= k)) / 2
        return shares

    def recall(self, k: int) -> float:
        """Return R@k, the mean of both directions."""
        return 100 * float(self.hits(k).mean())

    def merit(self) -> float:
        """Return the mean of R@1 and R@10: what factors and weights are chosen by."""
        return sum(self.recall(k) for k in CUTOFFS) / len(CUTOFFS)

    def to_json(self) -> dict[str, Any]:
        """Return R@1 and R@10: means, and each direction."""
        return {f"R@{k}": self.recall(k) for k in CUTOFFS} | {
            name: {f"R@{k}": 100 * float((ranks <= k).mean()) for k in CUTOFFS}
            for name, ranks in (("there", self.there), ("back", self.back))
        }


@dataclass(frozen=True, slots=True)
class Loss:
    """By how much a product is worse than a part.

    Attributes:
        part: its name.
        metric: ``R@10`` or ``R@1``.
        difference: product less part, in points, with a 95 % interval over items.
    """

    part: str
    metric: str
    difference: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        mean, low, high = self.difference
        return {"part": self.part, "metric": self.metric, "mean": mean, "low": low, "high": high}


def loss(product: Ranking, parts: dict[str, Ranking]) -> Loss | None:
    """Return what a product loses to its best part, if that is more than ``MARGIN`` points.

    Of R@10 and R@1 it is the former, unless only the latter's interval stays below 0.

    Args:
        product: at its default factors.
        parts: by name; none means that nothing can be lost.
    """
    losses = []
    for k in sorted(CUTOFFS, reverse=True) if parts else ():
        best = max(parts, key=lambda name: parts[name].recall(k))
        if parts[best].recall(k) - product.recall(k) > MARGIN:
            difference = bootstrap_difference(100 * product.hits(k), 100 * parts[best].hits(k))
            losses.append(Loss(best, f"R@{k}", difference))
    certain = [candidate for candidate in losses if candidate.difference.high < 0]
    return next(iter(certain or losses), None)


def weightings(n: int) -> Iterator[tuple[float, ...]]:
    """Yield weights of n >= 2 cosines that sum to 1: tenths of two, coarser steps of more."""
    units = {2: 10, 3: 6, 4: 5}.get(n, 0)
    if not units:
        yield (1 / n,) * n
        return
    for cuts in itertools.combinations(range(1, units), n - 1):
        ends = (0, *cuts, units)
        yield tuple((b - a) / units for a, b in itertools.pairwise(ends))


def best_sum(cosines: Sequence[NDArray[np.float32]]) -> tuple[tuple[float, ...], Ranking]:
    """Return the weights of the best weighted sum of cosines, and its ranking.

    Args:
        cosines: at least two (n, n) matrices, one for each part.
    """
    best: tuple[tuple[float, ...], Ranking] | None = None
    for weights in weightings(len(cosines)):
        scores = sum(w * c for w, c in zip(weights, cosines, strict=True))
        ranking = Ranking.of(np.asarray(scores, np.float32))
        if best is None or ranking.merit() > best[1].merit():
            best = weights, ranking
    assert best is not None, "there are always weights"
    return best
