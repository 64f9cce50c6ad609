"""The best of what a search has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIE: Final = 1e-6
"""Cosines that differ by less are equal: the same contents, embedded in batches of other sizes, or
multiplied in blocks of other sizes, differ in the last bits of a float32."""


class Best:
    """The k best of what was seen so far, for one query.

    Of items that tie, those are kept, and come first, that were added first: by the order of their
    modality, then by number.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._scores = np.empty(0, dtype=np.float32)
        self._places = np.empty((0, 2), dtype=np.int64)

    def add(self, scores: NDArray[np.float32], numbers: NDArray[np.int64], order: int) -> None:
        """Add rows of one modality, by their numbers."""
        rows = np.arange(len(scores))
        if len(scores) > self._k:
            threshold = np.partition(scores, -self._k)[-self._k]
            rows = np.flatnonzero(scores >= threshold - TIE)
        rows = rows[np.isfinite(scores[rows])]
        places = np.stack([np.full(len(rows), order), numbers[rows]], axis=1)
        self._scores = np.concatenate([self._scores, scores[rows]])
        self._places = np.concatenate([self._places, places])
        if len(self._scores) > self._k:
            self._keep()

    def _keep(self) -> None:
        """Drop what cannot be among the k best, with at most k of those that tie with the last."""
        last = np.partition(self._scores, -self._k)[-self._k]
        tied = np.flatnonzero(np.abs(self._scores - last) <= TIE)
        first = tied[np.lexsort((self._places[tied, 1], self._places[tied, 0]))][: self._k]
        best = np.concatenate([np.flatnonzero(self._scores > last + TIE), first])
        self._scores, self._places = self._scores[best], self._places[best]

    def sorted(self) -> list[tuple[float, int, int]]:
        """Return (score, order of the modality, number), best first; ties have one score."""
        by_score = np.argsort(-self._scores, kind="stable")
        scores, places = self._scores[by_score].copy(), self._places[by_score]
        for i in range(1, len(scores)):
            if scores[i - 1] - scores[i] <= TIE:
                scores[i] = scores[i - 1]  # that of the first of those that tie
        ranked = np.lexsort((places[:, 1], places[:, 0], -scores))[: self._k]
        return [(float(scores[i]), int(places[i, 0]), int(places[i, 1])) for i in ranked]
