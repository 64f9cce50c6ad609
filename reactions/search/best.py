"""The best of what a search has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Best:
    """The k best of what was seen so far, for one query."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._scores = np.empty(0, dtype=np.float32)
        self._places = np.empty((0, 2), dtype=np.int64)

    def add(self, scores: NDArray[np.float32], numbers: NDArray[np.int64], order: int) -> None:
        """Add rows of one modality, by their numbers, ascending."""
        if len(scores) > self._k:
            threshold = np.partition(scores, -self._k)[-self._k]
            chosen = np.flatnonzero(scores >= threshold)
        else:
            chosen = np.arange(len(scores))
        chosen = chosen[np.isfinite(scores[chosen])]
        places = np.stack([np.full(len(chosen), order), numbers[chosen]], axis=1)
        self._scores = np.concatenate([self._scores, scores[chosen]])
        self._places = np.concatenate([self._places, places])
        # Stable: of equal scores the first to come is kept.
        kept = np.argsort(-self._scores, kind="stable")[: self._k]
        self._scores, self._places = self._scores[kept], self._places[kept]

    def sorted(self) -> list[tuple[float, int, int]]:
        """Return (score, order of the modality, number), best first."""
        return [
            (float(score), int(order), int(number))
            for score, (order, number) in zip(self._scores, self._places, strict=True)
        ]
