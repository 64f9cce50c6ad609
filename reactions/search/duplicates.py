"""Items of an index that are there twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from reactions.core.errors import UsageError
from reactions.core.types import Modality
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.search.hits import IndexedItem
from reactions.search.index import SearchIndex

MOST_COMPARED: Final = 200_000
"""Items of a modality that are compared with one another: the work grows with their square."""

_BLOCK_ROWS: Final = 2048


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Items that are the same, or nearly.

    Attributes:
        modality: of all.
        kept: number and item of the first.
        others: numbers, items and cosines with the first; a cosine of 1 for equal contents.
    """

    modality: Modality
    kept: tuple[int, IndexedItem]
    others: tuple[tuple[int, IndexedItem, float], ...]


def duplicates(
    index: SearchIndex, *, near: float | None = None, adjustment: Adjustment = NO_ADJUSTMENT
) -> Iterator[Duplicates]:
    """Find items with equal contents and, if asked, those that are nearly the same.

    Args:
        index: where.
        near: least cosine of an item with one before it; None looks at contents alone.
        adjustment: factors of the cosines.

    Yields:
        Groups, each around the item that was added first.

    Raises:
        UsageError: ``near`` is not a cosine, or there are too many items to compare.
    """
    if near is not None and not 0 < near <= 1:
        raise UsageError(f"--near is {near:g}", why="it is a cosine", fix="0.99, say")
    for modality in index.modalities:
        items = dict(index.items(modality))
        groups: dict[int, list[tuple[int, float]]] = {}
        first_of: dict[str, int] = {}
        for number, item in items.items():
            first = first_of.setdefault(item.digest, number)
            if first != number and item.digest != "id":  # looked up by id: nothing is known of it
                groups.setdefault(first, []).append((number, 1.0))
        if near is not None:
            again = {number for repeats in groups.values() for number, _ in repeats}
            ungrouped = [number for number in items if number not in again]
            for first, number, cosine in _near(index, modality, ungrouped, near, adjustment):
                groups.setdefault(first, []).append((number, cosine))
        for first, repeats in sorted(groups.items()):
            yield Duplicates(
                modality,
                (first, items[first]),
                tuple((number, items[number], cosine) for number, cosine in repeats),
            )


def _near(
    index: SearchIndex,
    modality: Modality,
    numbers: list[int],
    near: float,
    adjustment: Adjustment,
) -> Iterator[tuple[int, int, float]]:
    """Yield the first of a group, a later member, and their cosine; a member leads no group."""
    if len(numbers) > MOST_COMPARED:
        raise UsageError(
            f"{len(numbers):,} {modality} items are too many to compare with one another",
            why=f"at most {MOST_COMPARED:,}: the work grows with their square",
            fix="leave --near out: equal contents are found in any number",
        )
    rows = np.concatenate(
        [
            index.rows(modality, numbers[i : i + _BLOCK_ROWS], adjustment)
            for i in range(0, len(numbers), _BLOCK_ROWS)
        ]
        or [np.empty((0, index.record.dim), dtype=np.float32)]
    )
    is_member = np.zeros(len(numbers), dtype=bool)
    for start in range(0, len(numbers), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        for offset, cosines in enumerate(block @ rows[start:].T):
            i = start + offset
            if is_member[i]:
                continue
            for j in start + np.flatnonzero(cosines >= near):
                if j > i and not is_member[j]:
                    is_member[j] = True
                    yield numbers[i], numbers[int(j)], float(cosines[j - start])
