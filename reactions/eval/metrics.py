"""Scores from embeddings, tile by tile: no (n, m) matrix is ever held whole.

By default ties count against the model: a collapsed space, which gives every pair one score,
must not look good. The price is that an item which is there twice counts as a miss at k = 1,
which published evaluations, breaking ties by position, count half the time; ``lenient`` counts
ties for the model. Scores within ``TIE`` are ties, for float32 dot products of equal vectors
differ in the last bits with the position in a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DimensionMismatch
from reactions.core.step import Rows

TIE = 1e-6
"""Cosine difference below which two scores are equal; float32 rounding is about 1e-7."""

TILE_BYTES = 32 << 20


Ties: TypeAlias = Literal["strict", "lenient"]
"""Whether a tie with a wrong answer counts against the model or for it."""


ScoresOf: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Scores some queries against all classes: (t, d) to (t, c)."""


class Ranks(NamedTuple):
    """Where the right answers of some queries stand, from 1.

    Attributes:
        strict: (n,) int32, the right answer after everything that ties with it.
        lenient: (n,) int32, before everything that ties with it.
    """

    strict: NDArray[np.int32]
    lenient: NDArray[np.int32]

    def by(self, ties: Ties) -> NDArray[np.int32]:
        """Return the ranks by one rule."""
        return self.strict if ties == "strict" else self.lenient

    @property
    def n_tied(self) -> int:
        """Queries whose right answer ties with a wrong one."""
        return int((self.strict != self.lenient).sum())


def ranks_of_class(queries: Rows, classes: NDArray[np.float32], labels: NDArray[np.int64]) -> Ranks:
    """Rank, for each query, its class among all classes.

    Args:
        queries: (n, d), unit-norm rows.
        classes: (c, d), unit-norm rows.
        labels: (n,), the class of each query.

    Returns:
        Ranks of n queries; a prediction is right where the rank is 1.
    """
    _same_width(queries, classes)
    return ranks_of_owner(classes, queries, labels)


def average_precision(scores: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """Average precision of one ranking: the sum of (R_k - R_{k-1}) P_k over thresholds.

    Equal scores share a threshold, so the order of ties cannot matter.

    Args:
        scores: (n,).
        targets: (n,), which items are positive.

    Returns:
        In (0, 1], or NaN when nothing is positive.
    """
    n_positive = int(targets.sum())
    if n_positive == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    hits = np.cumsum(targets[order])
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of each threshold
    precision = hits[last] / (last + 1)
    gained = np.diff(hits[last], prepend=0)
    return float((precision * gained).sum() / n_positive)


def class_average_precisions(
    queries: Rows, classes: NDArray[np.float32], targets: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Average precision of each class over all queries, on raw cosines.

    Args:
        queries: (n, d), unit-norm rows.
        classes: (c, d), unit-norm rows.
        targets: (n, c).

    Returns:
        (c,) float64; NaN for a class that no query has.
    """
    _same_width(queries, classes)
    n, c = targets.shape
    precisions = np.empty(c)
    # A ranking needs all scores of its class at once: hold (n, step), as many classes as fit.
    step = max(1, TILE_BYTES // (4 * n))
    for first in range(0, c, step):
        block = classes[first : first + step]
        scores = np.empty((n, len(block)), np.float32)
        rows = _tile_rows(max(len(block), block.shape[1]))
        for start in range(0, n, rows):
            scores[start : start + rows] = _tile(queries, start, rows) @ block.T
        for offset in range(len(block)):
            label = first + offset
            precisions[label] = average_precision(scores[:, offset], targets[:, label])
    return precisions


def ranks_by_scores(
    queries: Rows, scores_of: ScoresOf, n_classes: int, labels: NDArray[np.int64]
) -> Ranks:
    """Rank, for each query, its class among all classes by any score.

    Args:
        queries: (n, d), unit-norm rows.
        scores_of: (t, d) queries to their (t, n_classes) scores.
        n_classes: how many classes there are.
        labels: (n,), the class of each query.
    """
    strict, lenient = (np.empty(len(queries), np.int32) for _ in range(2))
    step = _tile_rows(max(n_classes, queries.shape[1]))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        scores = scores_of(_tile(queries, start, step))  # (t, c)
        label_scores = np.take_along_axis(scores, labels[rows, None], axis=1)
        strict[rows] = (scores > label_scores - TIE).sum(axis=1)
        lenient[rows] = (scores > label_scores + TIE).sum(axis=1) + 1
    return Ranks(strict, lenient)


def average_precisions_by_scores(
    queries: Rows, scores_of: ScoresOf, targets: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Average precision of each class over all queries, by any score.

    Args:
        queries: (n, d), unit-norm rows.
        scores_of: (t, d) queries to their (t, c) scores.
        targets: (n, c).

    Returns:
        (c,) float64; NaN for a class that no query has.
    """
    n, c = targets.shape
    # A ranking needs all scores of its class at once; to score a query takes all classes.
    scores = np.empty((n, c), np.float32)
    step = _tile_rows(max(c, queries.shape[1]))
    for start in range(0, n, step):
        scores[start : start + step] = scores_of(_tile(queries, start, step))
    return np.array([average_precision(scores[:, i], targets[:, i]) for i in range(c)])


def ranks_of_owner(left: Rows, right: Rows, owner: NDArray[np.int64]) -> Ranks:
    """Rank, for each right row as a query, its one owner among all left rows.

    Args:
        left: (n, d), unit-norm rows.
        right: (m, d), unit-norm rows.
        owner: (m,), the left row that each right row belongs to.

    Returns:
        Ranks of m queries.
    """
    _same_width(left, right)
    answers = _whole(left)
    strict, lenient = (np.empty(len(right), np.int32) for _ in range(2))
    step = _tile_rows(max(answers.shape))
    for start in range(0, len(right), step):
        rows = slice(start, start + step)
        scores = _tile(right, start, step) @ answers.T  # (t, n)
        owner_scores = np.take_along_axis(scores, owner[rows, None], axis=1)
        # The owner is within TIE of itself, so it is counted among its ties.
        strict[rows] = (scores > owner_scores - TIE).sum(axis=1)
        lenient[rows] = (scores > owner_scores + TIE).sum(axis=1) + 1
    return Ranks(strict, lenient)


def ranks_of_best(left: Rows, right: Rows, owner: NDArray[np.int64]) -> Ranks:
    """Rank, for each left row as a query, the best of the right rows it owns.

    Args:
        left: (n, d), unit-norm rows.
        right: (m, d), unit-norm rows.
        owner: (m,), the left row that each right row belongs to; every left row owns one.

    Returns:
        Ranks of n queries. A query's other positives are not counted, ties with negatives are.
    """
    _same_width(left, right)
    answers = _whole(right)
    # by_owner: (m,) right rows, grouped by owner; starts: (n + 1,) where each group begins.
    by_owner = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[by_owner], np.arange(len(left) + 1))
    strict, lenient = (np.empty(len(left), np.int32) for _ in range(2))
    step = _tile_rows(max(answers.shape))
    for start in range(0, len(left), step):
        scores = _tile(left, start, step) @ answers.T  # (t, m)
        stop = start + len(scores)
        right_rows = by_owner[starts[start] : starts[stop]]
        rows = owner[right_rows] - start
        positive_scores = scores[rows, right_rows]
        # reduceat gives nonsense for empty groups; here every left row owns a right one.
        best = np.maximum.reduceat(positive_scores, starts[start:stop] - starts[start])  # (t,)
        ahead = (scores > best[:, None] - TIE).sum(axis=1)
        # A query's own positives do not compete with its best one.
        ahead -= np.bincount(rows[positive_scores > best[rows] - TIE], minlength=len(scores))
        strict[start:stop] = ahead + 1
        # None of a query's positives scores above the best of them.
        lenient[start:stop] = (scores > best[:, None] + TIE).sum(axis=1) + 1
    return Ranks(strict, lenient)


def ranks_of_same_class(
    queries: Rows,
    answers: Rows,
    query_labels: NDArray[np.int64],
    answer_labels: NDArray[np.int64],
) -> Ranks:
    """Rank, for each query, the best of the answers of its class among those of other classes.

    Args:
        queries: (n, d), unit-norm rows.
        answers: (m, d), unit-norm rows.
        query_labels: (n,), the class of each query; every one is that of some answer.
        answer_labels: (m,), the class of each answer.

    Returns:
        Ranks of n queries: at most k where one of the first k answers has the query's class.
    """
    _same_width(queries, answers)
    keys = _whole(answers)
    strict, lenient = (np.empty(len(queries), np.int32) for _ in range(2))
    step = _tile_rows(max(keys.shape))
    for start in range(0, len(queries), step):
        scores = _tile(queries, start, step) @ keys.T  # (t, m)
        stop = start + len(scores)
        alike = query_labels[start:stop, None] == answer_labels[None]  # (t, m)
        best = np.where(alike, scores, -np.inf).max(axis=1, keepdims=True)
        strict[start:stop] = ((scores > best - TIE) & ~alike).sum(axis=1) + 1
        lenient[start:stop] = ((scores > best + TIE) & ~alike).sum(axis=1) + 1
    return Ranks(strict, lenient)


def recall_at(ranks: NDArray[np.integer], k: int) -> float:
    """Return the share of queries whose rank is at most ``k``."""
    return float((ranks <= k).mean())


def _same_width(x: Rows, y: Rows | NDArray[np.float32]) -> None:
    if x.shape[1] != y.shape[1]:
        raise DimensionMismatch(
            f"cannot compare embeddings of {x.shape[1]} and {y.shape[1]} dimensions",
            dims=[x.shape[1], y.shape[1]],
        )


def _tile_rows(width: int) -> int:
    return max(1, TILE_BYTES // (4 * max(1, width)))


def _tile(rows: Rows, start: int, step: int) -> NDArray[np.float32]:
    # Rows may be stored as float16; products are taken in float32.
    return np.asarray(rows[start : min(start + step, len(rows))], dtype=np.float32)


def _whole(rows: Rows) -> NDArray[np.float32]:
    return _tile(rows, 0, len(rows))


__all__: Sequence[str] = (
    "TIE",
    "Ranks",
    "ScoresOf",
    "Ties",
    "average_precision",
    "average_precisions_by_scores",
    "class_average_precisions",
    "ranks_by_scores",
    "ranks_of_best",
    "ranks_of_class",
    "ranks_of_owner",
    "ranks_of_same_class",
    "recall_at",
)
