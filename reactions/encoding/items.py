"""Streams of items on their way through an encoder: where they come from, what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from reactions.core.left_out import Note
from reactions.core.types import Corpus, Item, Modality
from reactions.modalities import registry
from reactions.modalities.values import value_size_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_ITEMS: Final = 128
"""Rows of a corpus a thread takes at once: corpora that generate theirs do so many at a time."""

PIECE_ITEMS: Final = 16
"""Items of any other stream a thread takes at once: a window of 256 keeps several threads busy."""

Piece: TypeAlias = "tuple[range, Callable[[], Sequence[Item]]]"
"""Places of some items, and what loads these items in whatever thread prepares them."""


@dataclass(frozen=True)
class CorpusRange:
    """Rows ``start`` to ``stop`` of a corpus, as a stream of items.

    The threads that prepare items take them, one thread at a time: a corpus may read or render
    them only then. The place of an item is its row.
    """

    corpus: Corpus
    start: int
    stop: int

    def __iter__(self) -> Iterator[Item]:
        for _, load in self.pieces(CHUNK_ITEMS):
            yield from load()

    def pieces(self, n_items: int) -> Iterator[Piece]:
        """Yield the range in pieces, each with what loads it."""
        lock = Lock()

        def load(rows: range) -> list[Item]:
            with lock:
                return self.corpus.items(rows.start, rows.stop)

        for first in range(self.start, self.stop, n_items):
            rows = range(first, min(self.stop, first + n_items))
            yield rows, partial(load, rows)


class PreparedItem(NamedTuple):
    """A prepared item.

    Attributes:
        place: of the item in the stream.
        item: as it was given.
        value: what the encoder takes of it.
        notes: what was left out of it.
    """

    place: int
    item: Item
    value: Any
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Some embedded items of one modality.

    Attributes:
        modality: of all.
        places: in the stream, in any order.
        ids: of the same items.
        rows: (n, dim), whatever the encoder gave for them.
    """

    modality: Modality
    places: list[int]
    ids: list[str]
    rows: NDArray[np.float32]


def pieces_of(items: Iterable[Item], n_items: int) -> Iterator[Piece]:
    """Yield a stream in pieces, each with what loads it, numbering the items from 0."""
    if isinstance(items, CorpusRange):
        yield from items.pieces(n_items)
        return
    items, first = iter(items), 0
    while piece := list(islice(items, n_items)):
        yield range(first, first + len(piece)), partial(list, piece)
        first += len(piece)


def windows(
    prepared: Iterable[Sequence[PreparedItem]], *, most_items: int, most_bytes: int
) -> Iterator[list[PreparedItem]]:
    """Gather prepared items, in order, into windows of bounded size.

    Args:
        prepared: from ``Stream.prepared``.
        most_items: a window has no more.
        most_bytes: a window closes with the item that reaches this.
    """
    window: list[PreparedItem] = []
    n_bytes = 0
    for entries in prepared:
        for entry in entries:
            window.append(entry)
            text = entry.item.value
            # Adding up a text's arrays of tokens would take longer than all else here.
            n_bytes += len(text) if isinstance(text, str) else size_bytes(entry.value)
            if len(window) >= most_items or n_bytes >= most_bytes:
                yield window
                window, n_bytes = [], 0
    if window:
        yield window


def size_bytes(value: Any) -> int:
    """Return how much memory an item's value takes, prepared or not."""
    if isinstance(value, np.ndarray):  # first: most are, and each item is asked for its size
        return value.nbytes
    if isinstance(value, tuple):
        return sum([size_bytes(part) for part in value])
    if isinstance(value, Item):
        return registry.get(value.modality).size_bytes(value.value)
    return value_size_bytes(value)


def n_tokens(entry: PreparedItem) -> int:
    """Return how many token ids a prepared text has; 0 for whatever else it is."""
    value = entry.value
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        value = value[0]  # of a product: as its first encoder has it, which says enough
    n = 0
    for array in value if isinstance(value, tuple) else (value,):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "iu":
            return 0
        n += len(array)
    return n
