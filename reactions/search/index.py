"""An index, opened for reading: exact search at any free factors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from reactions.core.errors import DataError, UsageError, suggestion
from reactions.core.types import Modality
from reactions.products.acting import acting_shares
from reactions.products.atoms import Coefficients, Weigher, form_of, mixed_rows
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, fit_adjustment
from reactions.search.approximate import Covered, open_covered
from reactions.search.best import Best
from reactions.search.candidates import Spread, first_candidates, nearest
from reactions.search.files import OpenSegment, open_segment
from reactions.search.hits import Hit, IndexedItem
from reactions.search.made_by import check_made_by
from reactions.search.record import read_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_BYTES: Final = 32 << 20
"""Atoms that are multiplied at once."""

_KEPT_SETTINGS, _KEPT_SPREADS = 4, 256


@dataclass(frozen=True)
class _Rows:
    """The segments of one modality."""

    segments: tuple[OpenSegment, ...]
    deleted: NDArray[np.int64]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Number of each segment's first row, and of the row after the last."""
        return np.cumsum([0, *(opened.segment.n for opened in self.segments)])

    def place(self, number: int) -> tuple[OpenSegment, int]:
        """Return the segment of a row, and where it is in it."""
        i = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.segments[i], number - int(self.starts[i])


class SearchIndex:
    """An index of items, for one product.

    It is a snapshot: what is added later is seen by whoever opens it then. Threads may share it.

    Args:
        directory: where it lies.
        target: the product, or space, that made it.

    Attributes:
        directory: where it lies.
        record: what it says of itself.
        modalities: those that have items, sorted.

    Raises:
        MissingError: there is no index.
        DataError: it is damaged.
        UsageError: another product made it.
    """

    def __init__(self, directory: Path, target: Target) -> None:
        self.directory = directory
        self.record = read_record(directory)
        check_made_by(self.record, target, directory)
        self._space = target.space
        self._weighers = {
            modality: Weigher(form_of(target.space, modality), modality)
            for modality in target.space.modalities
        }
        opened = [open_segment(directory, self.record, s) for s in self.record.segments]
        self._rows = {
            modality: _Rows(
                tuple(part for part in opened if part.segment.modality == modality),
                np.array(self.record.deleted.get(modality, ()), dtype=np.int64),
            )
            for modality in sorted({part.segment.modality for part in opened})
        }
        self.modalities: tuple[Modality, ...] = tuple(
            modality for modality, n in self.counts.items() if n
        )
        self._covered: dict[Modality, Covered] = {}
        self._broken: dict[Modality, DataError] = {}  # reported where it would be searched
        for modality in self._rows:
            try:
                covered = open_covered(directory, self.record, modality)
            except DataError as error:
                self._broken[modality] = error
            else:
                if covered is not None:
                    self._covered[modality] = covered
        self._kept_coefficients: dict[object, list[Coefficients]] = {}
        self._spreads: dict[object, Spread] = {}
        self._lock = Lock()

    @property
    def counts(self) -> Mapping[Modality, int]:
        """How many items each modality has."""
        return {m: int(stored.starts[-1]) - len(stored.deleted) for m, stored in self._rows.items()}

    def __len__(self) -> int:
        return sum(self.counts.values())

    def search(
        self,
        queries: NDArray[np.float32],
        *,
        into: Modality | None = None,
        k: int = 10,
        adjustment: Adjustment = NO_ADJUSTMENT,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """Return the items nearest to each query, nearest first.

        Cosines are those of the product's embeddings at these factors, up to rounding. Every row is
        compared, unless there is an approximation (``kinds``): then its candidates are, and what
        was added since. Ties, which differ by rounding alone (``best.TIE``), go to the item that
        was added first.

        Args:
            queries: (n, dim) float32 unit rows, embedded at the same factors.
            into: the modality that is searched; None searches all of them together.
            k: at most so many; >= 1.
            adjustment: factors and experts.
            exact: whether to compare every row in any case.

        Raises:
            UsageError: there are no items of that modality, or the factors do not fit or are
                fixed.
        """
        if k < 1:
            raise UsageError(f"k is {k}", why="it counts items", fix="1 or more")
        if queries.ndim != 2 or queries.shape[1] != self.record.dim:
            raise UsageError(
                f"queries have shape {queries.shape}", why=f"rows have {self.record.dim} numbers"
            )
        adjustment = fit_adjustment(self._space, adjustment)
        best = [Best(k) for _ in queries]
        for order, modality in enumerate(self.searched(into)):
            if not exact and modality in self._broken:
                raise self._broken[modality]
            covered = None if exact else self._covered.get(modality)
            start = 0
            # Where a good part of all is asked for, comparing everything is no slower.
            if covered is not None and first_candidates(k) * 4 <= covered.rows:
                self._add_candidates(best, order, modality, covered, queries, k, adjustment)
                start = covered.rows
            for first, scores in self._scores(modality, queries, adjustment, start):
                numbers = np.arange(first, first + scores.shape[1])
                for ranked, row in zip(best, scores, strict=True):
                    ranked.add(row, numbers, order)
        modalities = self.searched(into)
        return [
            [
                Hit(rank, score, self.item(modalities[order], number), number)
                for rank, (score, order, number) in enumerate(ranked.sorted(), start=1)
            ]
            for ranked in best
        ]

    @property
    def kinds(self) -> Mapping[Modality, str]:
        """How each modality is searched: ``flat``, or the kind of its approximation."""
        return {m: self._covered[m].kind if m in self._covered else "flat" for m in self.modalities}

    def _add_candidates(
        self,
        best: Sequence[Best],
        order: int,
        modality: Modality,
        covered: Covered,
        queries: NDArray[np.float32],
        k: int,
        adjustment: Adjustment,
    ) -> None:
        """Compare what an approximation finds, exactly."""
        stored = self._rows[modality]
        coefficients = self._coefficients(modality, adjustment)
        key = (modality, acting_shares(self._space, modality, adjustment))
        spread = self._spreads.get(key)
        if spread is None:
            covered_coefficients = [
                c
                for s, c in zip(stored.starts, coefficients, strict=False)
                if int(s) < covered.rows
            ]
            spread = Spread.of(covered_coefficients, covered.n_atoms)
            with self._lock:
                self._spreads[key] = spread
                while len(self._spreads) > _KEPT_SPREADS:
                    self._spreads.pop(next(iter(self._spreads)))
        candidates = nearest(
            *(covered, spread, queries, k),
            exactly=lambda numbers, i: self._exactly(stored, coefficients, numbers, queries[i]),
            is_deleted=lambda numbers: np.isin(numbers, stored.deleted),
        )
        for (numbers, cosines), ranked in zip(candidates, best, strict=True):
            ranked.add(cosines, numbers, order)

    def _exactly(
        self,
        stored: _Rows,
        coefficients: Sequence[Coefficients],
        numbers: NDArray[np.int64],
        query: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Return the cosines of a query and some rows, by their numbers."""
        scores = np.empty(len(numbers), dtype=np.float32)
        places = np.searchsorted(stored.starts, numbers, side="right") - 1
        for i in np.unique(places):
            at = places == i
            rows = numbers[at] - stored.starts[i]
            units = np.asarray(stored.segments[i].units[rows], dtype=np.float32)
            shares = [c[rows] if isinstance(c, np.ndarray) else c for c in coefficients[i]]
            scores[at] = mixed_rows(units, shares) @ query
        return scores

    def searched(self, into: Modality | None) -> tuple[Modality, ...]:
        """Return the modalities that a search goes through: one, or all that have items.

        Raises:
            UsageError: there are no items of that modality.
        """
        if into is None:
            if not self.modalities:
                raise UsageError(f"the index '{self.directory}' has no items", fix="add some")
            return self.modalities
        if into not in self.modalities:
            raise UsageError(
                f"the index '{self.directory}' has no {into}",
                why=f"it has {', '.join(self.modalities) or 'no items'}",
                fix=suggestion(into, self.modalities) if self.modalities else "add some",
            )
        return (into,)

    def rows(
        self,
        modality: Modality,
        numbers: Sequence[int],
        adjustment: Adjustment = NO_ADJUSTMENT,
    ) -> NDArray[np.float32]:
        """Return the embeddings of some items at some factors: (n, dim) float32 unit rows.

        Raises:
            UsageError: a number is not that of an item, or the factors do not fit.
        """
        adjustment = fit_adjustment(self._space, adjustment)
        stored = self._rows.get(modality)
        row_numbers = np.asarray(numbers, dtype=np.int64)
        if stored is None:
            raise self._no_row(modality, int(row_numbers[0]) if len(row_numbers) else 0)
        is_missing = (
            np.isin(row_numbers, stored.deleted)
            | (row_numbers < 0)
            | (row_numbers >= stored.starts[-1])
        )
        if is_missing.any():
            raise self._no_row(modality, int(row_numbers[is_missing][0]))
        out = np.empty((len(row_numbers), self.record.dim), dtype=np.float32)
        places = np.searchsorted(stored.starts, row_numbers, side="right") - 1
        for i in np.unique(places):
            at, opened = places == i, stored.segments[i]
            rows = row_numbers[at] - stored.starts[i]
            scaled = self._weighers[modality].coefficients(
                adjustment, opened.lengths[rows], opened.products[rows]
            )
            out[at] = mixed_rows(np.asarray(opened.units[rows], dtype=np.float32), scaled)
        if np.isnan(out).any():
            first = int(row_numbers[np.isnan(out).any(axis=1)][0])
            raise UsageError(
                f"{modality} '{self.item(modality, first).id}' has no embedding at these factors",
                why="what is mixed cancels out",
                fix="choose other factors",
            )
        return out

    def n_cancelled(
        self, into: Modality | None = None, adjustment: Adjustment = NO_ADJUSTMENT
    ) -> int:
        """Return how many items have no embedding at some factors: no search finds them there."""
        adjustment = fit_adjustment(self._space, adjustment)
        n = 0
        for modality in self.searched(into):
            stored = self._rows[modality]
            for start, scaled in zip(
                stored.starts, self._coefficients(modality, adjustment), strict=False
            ):
                arrays = [c for c in scaled if isinstance(c, np.ndarray)]
                if arrays:
                    rows = int(start) + np.flatnonzero(np.isnan(arrays).any(axis=0))
                    n += int((~np.isin(rows, stored.deleted)).sum())
        return n

    def item(self, modality: Modality, number: int) -> IndexedItem:
        """Return an item by its number.

        Raises:
            UsageError: there is none.
        """
        opened, row = self._place(modality, number)
        return opened.item(row)

    def items(self, modality: Modality) -> Iterator[tuple[int, IndexedItem]]:
        """Yield the items of a modality with their numbers, deleted ones left out."""
        if modality not in self._rows:
            return
        stored = self._rows[modality]
        deleted = set(stored.deleted.tolist())
        for start, opened in zip(stored.starts, stored.segments, strict=False):
            for row, item in enumerate(opened.items()):
                if int(start) + row not in deleted:
                    yield int(start) + row, item

    def _place(self, modality: Modality, number: int) -> tuple[OpenSegment, int]:
        stored = self._rows.get(modality)
        if stored is None or not 0 <= number < stored.starts[-1] or number in stored.deleted:
            raise self._no_row(modality, number)
        return stored.place(number)

    def _no_row(self, modality: Modality, number: int) -> UsageError:
        return UsageError(f"the index has no {modality} number {number}")

    def _scores(
        self,
        modality: Modality,
        queries: NDArray[np.float32],
        adjustment: Adjustment,
        begin: int = 0,
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield blocks: the number of the first row, and (n_queries, n_rows) cosines.

        Args:
            modality: which.
            queries: unit rows.
            adjustment: factors and experts.
            begin: first row, where a segment begins.
        """
        stored = self._rows[modality]
        coefficients = self._coefficients(modality, adjustment)
        for start, opened, scaled in zip(
            stored.starts, stored.segments, coefficients, strict=False
        ):
            if int(start) < begin:
                continue
            n_atoms, dim = opened.units.shape[1:]
            step = max(1, _BLOCK_BYTES // (4 * n_atoms * dim))
            acting = [k for k in range(n_atoms) if np.any(scaled[k] != 0)]
            for first in range(0, opened.segment.n, step):
                last = min(opened.segment.n, first + step)
                scores = np.zeros((len(queries), last - first), dtype=np.float32)
                for k in acting:
                    block = np.asarray(opened.units[first:last, k], dtype=np.float32)
                    share = scaled[k]
                    part = queries @ block.T
                    part *= share[first:last] if isinstance(share, np.ndarray) else share
                    scores += part
                number = int(start) + first
                deleted = stored.deleted[
                    (stored.deleted >= number) & (stored.deleted < number + last - first)
                ]
                scores[:, deleted - number] = -np.inf
                scores[np.isnan(scores)] = -np.inf  # what cancels out: see n_cancelled
                yield number, scores

    def _coefficients(self, modality: Modality, adjustment: Adjustment) -> list[Coefficients]:
        """Return the atoms' coefficients of each segment; those of the last settings are kept."""
        key = (modality, acting_shares(self._space, modality, adjustment))
        with self._lock:
            if key not in self._kept_coefficients:
                weigher = self._weighers[modality]
                self._kept_coefficients[key] = [
                    weigher.coefficients(
                        adjustment, np.asarray(opened.lengths), np.asarray(opened.products)
                    )
                    for opened in self._rows[modality].segments
                ]
                while len(self._kept_coefficients) > _KEPT_SETTINGS * len(self._rows):
                    self._kept_coefficients.pop(next(iter(self._kept_coefficients)))
            return self._kept_coefficients[key]
