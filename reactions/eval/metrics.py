"""Scores from embeddings, tile by tile: no (n, m) matrix is ever held whole.

Ties count against the model: a collapsed space, which gives every pair one score, must
not look good. Scores within ``TIE`` are ties, for float32 dot products of equal vectors
differ in the last bits with the position in a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reactions.errors import DimensionMismatch
from reactions.graph import Rows

TIE = 1e-6
"""Cosine difference below which two scores are equal; float32 rounding is about 1e-7."""

TILE_BYTES = 32 << 20


def predict(queries: Rows, classes: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the nearest class of each query; exact ties go to the lower index.

    Args:
        queries: (n, d), unit-norm rows.
        classes: (c, d), unit-norm rows.

    Returns:
        (n,) int64 in [0, c).
    """
    n = len(queries)
    _same_width(queries, classes)
    found = np.empty(n, np.int64)
    step = _tile_rows(len(classes))
    for start in range(0, n, step):
        found[start : start + step] = (_tile(queries, start, step) @ classes.T).argmax(axis=1)
    return found


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
    found = np.empty(c)
    step = max(1, TILE_BYTES // (4 * n))
    for first in range(0, c, step):
        block = classes[first : first + step]
        scores = np.empty((n, len(block)), np.float32)
        rows = _tile_rows(max(len(block), block.shape[1]))
        for start in range(0, n, rows):
            scores[start : start + rows] = _tile(queries, start, rows) @ block.T
        for offset in range(len(block)):
            label = first + offset
            found[label] = average_precision(scores[:, offset], targets[:, label])
    return found


def ranks_of_owner(left: Rows, right: Rows, owner: NDArray[np.int64]) -> NDArray[np.int32]:
    """Rank, for each right row as a query, its one owner among all left rows.

    Args:
        left: (n, d), unit-norm rows.
        right: (m, d), unit-norm rows.
        owner: (m,), the left row that each right row belongs to.

    Returns:
        (m,) int32 from 1; the owner comes after everything that ties with it.
    """
    _same_width(left, right)
    answers = _whole(left)
    ranks = np.empty(len(right), np.int32)
    step = _tile_rows(len(answers))
    for start in range(0, len(right), step):
        scores = _tile(right, start, step) @ answers.T  # (t, n)
        own = np.take_along_axis(scores, owner[start : start + step, None], axis=1)
        # The owner is within TIE of itself, so it is counted too: ranks start at 1.
        ranks[start : start + step] = (scores > own - TIE).sum(axis=1)
    return ranks


def ranks_of_best(left: Rows, right: Rows, owner: NDArray[np.int64]) -> NDArray[np.int32]:
    """Rank, for each left row as a query, the best of the right rows it owns.

    Args:
        left: (n, d), unit-norm rows.
        right: (m, d), unit-norm rows.
        owner: (m,), the left row that each right row belongs to; every left row owns one.

    Returns:
        (n,) int32 from 1; its other positives are not counted, ties with negatives are.
    """
    _same_width(left, right)
    answers = _whole(right)
    by_owner = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[by_owner], np.arange(len(left) + 1))
    ranks = np.empty(len(left), np.int32)
    step = _tile_rows(len(answers))
    for start in range(0, len(left), step):
        scores = _tile(left, start, step) @ answers.T  # (t, m)
        stop = start + len(scores)
        mine = by_owner[starts[start] : starts[stop]]
        rows = owner[mine] - start
        own = scores[rows, mine]
        best = np.maximum.reduceat(own, starts[start:stop] - starts[start])  # (t,)
        ahead = (scores > best[:, None] - TIE).sum(axis=1)
        ahead -= np.bincount(rows[own > best[rows] - TIE], minlength=len(scores))
        ranks[start:stop] = ahead + 1
    return ranks


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
    return np.asarray(rows[start : min(start + step, len(rows))], dtype=np.float32)


def _whole(rows: Rows) -> NDArray[np.float32]:
    return _tile(rows, 0, len(rows))


__all__: Sequence[str] = (
    "TIE",
    "average_precision",
    "class_average_precisions",
    "predict",
    "ranks_of_best",
    "ranks_of_owner",
    "recall_at",
)
