"""Ranks at many weightings at once: who scores above the right answer, in which of them.

The rows of a weighting are ``sum_k w_k x_k``, rescaled to unit norm, so a score is bilinear in the
weights of both sides and divided by two norms. Most answers are below the right one at every
weighting: they are recognised by the products of a few extreme weightings alone. The weightings are
gone through only for the pairs that are left, a few in a hundred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reactions.ops.precision import full_float32

_TILE_ELEMENTS = 1 << 20
"""Scores of one product that are held at once: they should stay in the processor's cache."""

_PAIR_ELEMENTS = 1 << 21
"""(weighting, pair) scores that are held at once."""

_SLACK = 2e-5
"""How far below the right answer an answer must be to be left out: above all rounding."""


@dataclass(frozen=True, slots=True)
class WeightedRows:
    """Rows of one side at several weightings.

    Attributes:
        extremes: (n, d) float32 rows each: what the others are weighted sums of.
        weights: (v, extremes) float64, non-negative, each row summing to 1.
        norms: (v, n) float64, the norm of each weighted sum.
    """

    extremes: Sequence[Tensor]
    weights: NDArray[np.float64]
    norms: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.extremes[0])


class Counts(NamedTuple):
    """Wrong answers above the right one by more than a margin, of each weighting and query.

    Attributes:
        least: (c, n) int32, those that are above whatever float32 rounds.
        most: (c, n) int32, those that may be.
    """

    least: NDArray[np.int32]
    most: NDArray[np.int32]


def count_above(
    queries: WeightedRows,
    keys: WeightedRows,
    cells: NDArray[np.int64],
    positives: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    margin: float,
    rounding: float,
) -> Counts:
    """Count, for every query, the wrong answers that score above its best right one.

    Args:
        queries: n rows.
        keys: m rows.
        cells: (c, 2), the weighting of the queries and that of the keys.
        positives: query and key of each right answer, by ascending query; every query has one.
        margin: cosine by which an answer must be above; a negative one counts those a little below.
        rounding: by how much cosines may differ from those of the rows themselves.
    """
    with full_float32():
        return _count(_Scores(queries, keys, cells, positives), margin, rounding)


def _count(scores: _Scores, margin: float, rounding: float) -> Counts:
    most, least = scores.limits(margin - rounding), scores.limits(margin + rounding)
    # (n, c): what belongs to a query lies together, and so do the weightings of a pair.
    counts = [torch.zeros(most.shape, dtype=torch.int32, device=most.device) for _ in range(2)]
    for rows, answers, products in scores.candidates():
        for part in _parts(len(rows), most.shape[1]):
            q = rows[part]
            values = scores.values(answers[part], products[:, part])  # (z, c)
            for count, limits in zip(counts, (least, most), strict=True):
                count.index_add_(0, q, (values > limits[q]).to(torch.int32))
    return Counts(*(np.ascontiguousarray(count.cpu().numpy().T) for count in counts))


def gram(rows: Sequence[Tensor]) -> NDArray[np.float64]:
    """Return (n, k, k), the inner products of k rows of each item, of (n, d) tensors each."""
    n, k = len(rows[0]), len(rows)
    out = np.empty((n, k, k))
    step = max(1, _TILE_ELEMENTS // rows[0].shape[1])
    for start in range(0, n, step):
        tile = torch.stack([tensor[start : start + step].double() for tensor in rows], dim=1)
        out[start : start + step] = (tile @ tile.transpose(1, 2)).cpu().numpy()
    return out


class _Scores:
    """Scores at all weightings: cosines, but for a scale of each weighting and query."""

    def __init__(
        self,
        queries: WeightedRows,
        keys: WeightedRows,
        cells: NDArray[np.int64],
        positives: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        self._queries, self._keys, self._positives = queries, keys, positives
        self._device = queries.extremes[0].device
        of_queries, of_keys = queries.weights[cells[:, 0]], keys.weights[cells[:, 1]]
        # (c, a * b): the weight of each product of an extreme of the queries and one of the keys.
        weights = np.einsum("ca,cb->cab", of_queries, of_keys).reshape(len(cells), -1)
        # Scores are left multiplied by the norms of the queries, and by the mean norm of the keys:
        # that is the same for all answers, and with factors about 1 few pairs are undecided.
        norms = keys.norms[cells[:, 1]]
        mean = norms.mean(axis=1, keepdims=True)
        shrink = mean / norms  # (c, m)
        self._scale = queries.norms[cells[:, 0]] * mean  # (c, n)
        self._most, self._least = shrink.max(axis=0), shrink.min(axis=0)  # (m,)
        self._positive_dots = _dots(queries.extremes, keys.extremes, positives)  # (a * b, p)
        q, k = positives
        positive_scores = (weights @ self._positive_dots) * shrink[:, k]
        starts = np.searchsorted(q, np.arange(queries.n))
        self._best = np.maximum.reduceat(positive_scores, starts, axis=1)  # (c, n)
        self._weights = self._tensor(weights.T)
        self._shrink = self._tensor(shrink.T)

    def limits(self, margin: float) -> Tensor:
        """Return (n, c) what a value must exceed to be above the best right answer by a margin."""
        return self._tensor((self._best + margin * self._scale).T)

    def values(self, answers: Tensor, products: Tensor) -> Tensor:
        """Return (z, c) values of pairs, from the products of the extremes of both sides."""
        return (products.T @ self._weights) * self._shrink[answers]

    def candidates(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield queries, keys and products of wrong pairs that may be above a right answer."""
        queries, keys, m = self._queries, self._keys, self._keys.n
        bounds = self._tensor(self._bounds())  # (a * b, n)
        high = self._tensor(self._most)
        scaled = [rows * high[:, None] for rows in keys.extremes]
        q, k = self._positives
        right = torch.from_numpy(np.sort(q * m + k)).to(self._device)
        step = max(16, _TILE_ELEMENTS // m)
        for start in range(0, queries.n, step):
            tile = slice(start, start + step)
            products = [x[tile] @ y.T for x in queries.extremes for y in scaled]
            above = products[0] > bounds[0, tile, None]
            for product, bound in zip(products[1:], bounds[1:], strict=True):
                above |= product > bound[tile, None]
            places = torch.nonzero(above.flatten())[:, 0]
            pairs = places + start * m
            wrong = right[torch.searchsorted(right, pairs).clamp_max(len(right) - 1)] != pairs
            places, pairs = places[wrong], pairs[wrong]
            answers = pairs % m
            values = torch.stack([product.flatten()[places] for product in products])
            yield pairs // m, answers, values / high[answers]

    def _bounds(self) -> NDArray[np.float64]:
        """Return (a * b, n) what a product, times the key's ``most``, must exceed to matter.

        An answer whose products are all below those of one and the same right answer, at any of the
        scales that it has, is below it at every weighting.
        """
        q, k = self._positives
        dots, most, least = self._positive_dots, self._most, self._least
        low = np.where(dots > 0, dots * least[k], dots * most[k]) - _SLACK  # (a * b, p)
        # Of several right answers the one that is likely to exclude most.
        total = low.sum(axis=0)
        order = np.lexsort((-total, q))
        limits: NDArray[np.float64] = low[
            :, order[np.searchsorted(q[order], np.arange(self._queries.n))]
        ]
        # Negative products are largest at the smallest scale: a lower limit allows for all.
        limits[limits < 0] *= (most / least).max()
        return limits

    def _tensor(self, array: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self._device)


def _dots(
    x: Sequence[Tensor], y: Sequence[Tensor], pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Return (len(x) * len(y), p) inner products of the rows of pairs."""
    rows, answers = (torch.from_numpy(side).to(x[0].device) for side in pairs)
    out = np.empty((len(x) * len(y), len(rows)))
    step = max(1, _TILE_ELEMENTS // x[0].shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        left = [tensor[rows[part]].double() for tensor in x]
        right = [tensor[answers[part]].double() for tensor in y]
        dots = [(a * b).sum(dim=1) for a in left for b in right]
        out[:, part] = torch.stack(dots).cpu().numpy()
    return out


def _parts(n: int, width: int) -> Iterator[slice]:
    step = max(1, _PAIR_ELEMENTS // max(1, width))
    yield from (slice(start, start + step) for start in range(0, n, step))
