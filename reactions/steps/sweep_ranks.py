"""Retrieval at the factors of many cells: scores that follow from few products of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from reactions.eval import metrics
from reactions.eval.metrics import TIE, Ranks, Ties
from reactions.eval.protocol import retrieval_score, score
from reactions.eval.score import Score
from reactions.eval.task import Task
from reactions.eval.task_data import RetrievalData
from reactions.products.components import Components
from reactions.products.tree import Adjustment
from reactions.products.weightings import Weighting, weightings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.ops.weighted_ranks import Counts

Pairs: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64]]"


def retrieval_scores(
    task: Task,
    data: RetrievalData,
    left: Components,
    right: Components,
    adjustments: Sequence[Adjustment],
    ties: Ties,
    on_cells: Callable[[int], None] = lambda done: None,
) -> list[Score]:
    """Score retrieval at many factors: what ``protocol.score`` gives for the rows of each.

    Where float32 would decide whether an answer is a hit, the rows themselves are compared, by the
    functions that a single evaluation uses.

    Args:
        task: the protocol.
        data: of the task.
        left: its left items.
        right: its right items.
        adjustments: factors and experts of each cell.
        ties: whether ties count against the model or for it.
        on_cells: called with how many cells are done.
    """
    cells = _Cells(left, right, adjustments)
    scores: dict[tuple[int, int], Score] = {}
    right_side = list(weightings(right, cells.of_right))
    for of_left in weightings(left, cells.of_left):
        for of_right in right_side:
            pairs = cells.within(of_left, of_right)
            if not pairs:
                continue
            # Bounds are of one right answer a query: a class has many.
            if task.hit == "pair" and of_left.is_safe and of_right.is_safe:
                ranker = _Ranker(task, data, of_left, of_right, pairs)
                ranks = ranker.ranks(cells, left, right, ties)
                for pair, (forward, backward) in zip(pairs, ranks, strict=True):
                    scores[pair] = retrieval_score(task, data, forward, backward, ties, {})
            else:
                for i, j in pairs:
                    rows = {
                        "left": left.rows(cells.of_left[i]),
                        "right": right.rows(cells.of_right[j]),
                    }
                    scores[i, j] = score(task, data, rows, ties)
            on_cells(sum(pair in scores for pair in cells.pairs))
    return [scores[pair] for pair in cells.pairs]


class _Cells:
    """Cells as pairs of a setting of the left items and one of the right, each that acts once."""

    def __init__(
        self, left: Components, right: Components, adjustments: Sequence[Adjustment]
    ) -> None:
        lefts = _Distinct(left, adjustments)
        rights = _Distinct(right, adjustments)
        self.pairs = list(zip(lefts.places, rights.places, strict=True))
        self.of_left, self.of_right = lefts.adjustments, rights.adjustments

    def within(self, left: Weighting, right: Weighting) -> list[tuple[int, int]]:
        """Return the pairs whose settings are among those of two weightings."""
        lefts, rights = set(left.settings), set(right.settings)
        return [p for p in dict.fromkeys(self.pairs) if p[0] in lefts and p[1] in rights]


class _Distinct:
    """Adjustments that act differently on one side.

    Attributes:
        adjustments: one for each way to act.
        places: of each adjustment given, its place among them.
    """

    def __init__(self, side: Components, adjustments: Sequence[Adjustment]) -> None:
        place_of: dict[object, int] = {}
        self.adjustments: list[Adjustment] = []
        self.places: list[int] = []
        for adjustment in adjustments:
            place = place_of.setdefault(side.shares(adjustment), len(place_of))
            if place == len(self.adjustments):
                self.adjustments.append(adjustment)
            self.places.append(place)


class _Ranker:
    """Ranks in both directions at the cells of two weightings."""

    def __init__(
        self,
        task: Task,
        data: RetrievalData,
        left: Weighting,
        right: Weighting,
        pairs: Sequence[tuple[int, int]],
    ) -> None:
        self._owner, self._cutoffs = data.owner, task.cutoffs
        self._left, self._right = left, right
        self._pairs = pairs
        of_left = {setting: i for i, setting in enumerate(left.settings)}
        of_right = {setting: i for i, setting in enumerate(right.settings)}
        self._cells = np.array([(of_left[i], of_right[j]) for i, j in pairs])
        dim = left.rows.extremes[0].shape[1]
        # Of a sum of d products, each rounded; products of equal rows stay closer than TIE.
        self._rounding = min(9e-7, 2.5e-7 + 2e-8 * math.sqrt(dim))

    def ranks(
        self, cells: _Cells, left: Components, right: Components, ties: Ties
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Yield, for each cell, the ranks of owners and those of the best right items.

        They are right as far as the cutoffs can tell.
        """
        from reactions.ops.weighted_ranks import count_above

        owner, m = self._owner, len(self._owner)
        by_owner = np.argsort(owner, kind="stable")
        lefts, rights = self._left.rows, self._right.rows
        margin = -TIE if ties == "strict" else TIE
        forward, backward = (
            count_above(*sides, margin=margin, rounding=self._rounding)
            for sides in (
                (rights, lefts, self._cells[:, ::-1], (np.arange(m), owner)),
                (lefts, rights, self._cells, (owner[by_owner], by_owner)),
            )
        )
        for cell, (i, j) in enumerate(self._pairs):
            to_left, to_right = forward.most[cell] + np.int32(1), backward.most[cell] + np.int32(1)
            owners, best = (
                _undecided(counts, cell, self._cutoffs) for counts in (forward, backward)
            )
            if len(owners) or len(best):
                rows = left.rows(cells.of_left[i]), right.rows(cells.of_right[j])
                if len(owners):
                    to_left[owners] = _ranks_of_owner(*rows, owner, owners).by(ties)
                if len(best):
                    to_right[best] = _ranks_of_best(*rows, owner, best).by(ties)
            yield to_left, to_right


def _undecided(counts: Counts, cell: int, cutoffs: Sequence[int]) -> NDArray[np.int64]:
    """Return the queries for which rounding decides whether they are hits at some cutoff."""
    least, most = counts.least[cell], counts.most[cell]
    differ = np.zeros(len(least), np.bool_)
    for k in cutoffs:
        differ |= (least < k) != (most < k)
    return np.flatnonzero(differ)


def _ranks_of_owner(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    owner: NDArray[np.int64],
    queries: NDArray[np.int64],
) -> Ranks:
    return metrics.ranks_of_owner(left, right[queries], owner[queries])


def _ranks_of_best(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    owner: NDArray[np.int64],
    queries: NDArray[np.int64],
) -> Ranks:
    # Right items of other owners stand behind those of the queries.
    places = np.full(len(left), len(queries), np.int64)
    places[queries] = np.arange(len(queries))
    return metrics.ranks_of_best(left[queries], right, places[owner])
