"""Similarities between a few embedded items, as one table for each pair of modalities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.errors import UsageError
from reactions.core.types import Item, Modality

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class Similarities:
    """Cosines between the items of two modalities, or within one.

    Attributes:
        left: modality of the rows.
        right: modality of the columns; may be the same.
        rows: the items of the rows.
        columns: the items of the columns.
        cosines: (len(rows), len(columns)) float32.
    """

    left: Modality
    right: Modality
    rows: tuple[Item, ...]
    columns: tuple[Item, ...]
    cosines: NDArray[np.float32]


def compare(
    stream: Iterable[tuple[Sequence[Item], NDArray[np.float32]]], *, max_items: int = MAX_ITEMS
) -> list[Similarities]:
    """Hold a stream's embeddings and compare every pair of modalities in it.

    Args:
        stream: items and their unit-norm rows, as from ``embed_stream``.
        max_items: refuse more.

    Returns:
        A table for each pair, in alphabetical order; for a single modality, the one
        within it; none for no items. Items keep their order.

    Raises:
        UsageError: there are more items than ``max_items``.
    """
    items: list[Item] = []
    blocks: list[NDArray[np.float32]] = []
    for batch, rows in stream:
        items += batch
        blocks.append(rows)
        if len(items) > max_items:
            raise UsageError(
                f"more than {max_items} items to compare",
                why="similarity tables grow with the square of the items",
                fix="give fewer, or write embeddings with --out FILE",
            )
    if not items:
        return []
    embeddings = np.concatenate(blocks)
    places: dict[Modality, list[int]] = {}
    for place, item in enumerate(items):
        places.setdefault(item.modality, []).append(place)
    if len(places) == 1:
        pairs = [(next(iter(places)),) * 2]
    else:
        pairs = list(combinations(sorted(places), 2))
    return [
        Similarities(
            left,
            right,
            tuple(items[i] for i in places[left]),
            tuple(items[i] for i in places[right]),
            embeddings[places[left]] @ embeddings[places[right]].T,
        )
        for left, right in pairs
    ]


def label(item: Item) -> str:
    """Return what to call an item in a table: its id, or, for a bare number, what it holds.

    Lines without an id are called by their numbers, which mean nothing.
    """
    if item.id.isdecimal():
        if isinstance(item.value, str):
            return item.value
        if isinstance(item.value, Path):
            return item.value.name
    return item.id
