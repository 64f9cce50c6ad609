"""Holding items back from training, by a hash of their ids, so that a product can be measured.

Whether an item is held back depends on its id, the seed and the share alone: the same id is
held back in every modality, every space and every corpus, whatever else these hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError
from reactions.core.hashing import bytes_digest, digest
from reactions.core.scanned import ScannedCorpus
from reactions.core.types import Corpus, Digest, Item, Modality

MOST_MEASURED = 2000
"""Held-out items of a modality that are measured: those with the lowest hashes."""

LEAST_HELD = 2
"""Where fewer items than this are to be expected, holding them back would show nothing."""

_BLOCK_ROWS = 1 << 14


class SubsetCorpus:
    """Some rows of a corpus, in its order.

    Args:
        corpus: whose rows.
        rows: (n,) row numbers, ascending.
        what: for messages, beside the corpus's name.

    Attributes:
        whole: the corpus.
    """

    def __init__(self, corpus: Corpus, rows: NDArray[np.int64], what: str) -> None:
        self.name = f"{corpus.name}, {what}"
        self.modality: Modality = corpus.modality
        self.whole: Any = corpus
        self._rows = rows

    def __getstate__(self) -> dict[str, Any]:
        # A bit for each row of the whole, not a number for each of its own.
        is_in = np.zeros(len(self.whole), bool)
        is_in[self._rows] = True
        return {**self.__dict__, "_rows": np.packbits(is_in)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        is_in = np.unpackbits(state["_rows"], count=len(self.whole))
        self._rows = np.flatnonzero(is_in)

    @cached_property
    def digest(self) -> Digest:
        """Digest of what the corpus holds in these rows."""
        rows_digest = bytes_digest(self._rows.astype("<i8").tobytes())
        return digest("subset", [self.whole.digest, rows_digest])

    def __len__(self) -> int:
        return len(self._rows)

    def items(self, start: int, stop: int) -> list[Item]:
        """Return the items of rows ``start`` to ``stop`` (exclusive), in order."""
        rows = self._rows[start:stop]
        if not len(rows):
            return []
        items: list[Item] = []
        # Most rows are kept, so they come in long runs, each of which is read in one go.
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            items += self.whole.items(int(run[0]), int(run[-1]) + 1)
        return items

    def ids(self) -> list[str]:
        """Return the ids of all rows, in order."""
        ids = ids_of(self.whole)
        return [ids[row] for row in self._rows.tolist()]


class ScannedSubset(SubsetCorpus):
    """Rows of a corpus that knows ids and contents of its items without opening them.

    What was embedded of the same items in other corpora or subsets is taken over by these.
    """

    def tags(self) -> Iterator[tuple[str, str]]:
        """Yield id and tagged content digest of every item, in order."""
        is_in = np.zeros(len(self.whole), bool)
        is_in[self._rows] = True
        for has_row, tag in zip(is_in.tolist(), self.whole.tags(), strict=True):
            if has_row:
                yield tag


@dataclass(frozen=True, slots=True)
class Split:
    """A corpus, divided.

    Attributes:
        whole: the corpus.
        training: its rows to train on.
        n_held: how many rows are held back.
        measured: the held-out rows to measure with, or None where nothing is held back.
    """

    whole: Corpus
    training: Corpus
    n_held: int = 0
    measured: Corpus | None = None


def split(corpus: Corpus, share: float, seed: int) -> Split:
    """Divide a corpus into rows to train on and rows held back.

    Args:
        corpus: at least one item.
        share: of all possible ids, 0 to 1; the share of a small corpus differs by chance.
        seed: another seed holds other ids back.

    Raises:
        DataError: fewer than two rows are left to train on.
    """
    if share == 0:
        return Split(corpus, corpus)
    hashes = np.array([_hash(id, seed) for id in ids_of(corpus)])
    held_rows = np.flatnonzero(hashes < share)
    if not len(held_rows):
        return Split(corpus, corpus)
    training_rows = np.flatnonzero(hashes >= share)
    if len(training_rows) < 2:
        raise DataError(
            f"holding back {share:.0%} leaves {len(training_rows)} of {len(corpus)} "
            f"{corpus.modality} items",
            why="a projector cannot be trained on fewer than 2",
            fix="more items, or holdout = 0 under [reaction] in the lab file",
            corpus=corpus.name,
        )
    measured_rows = np.sort(held_rows[np.argsort(hashes[held_rows], kind="stable")[:MOST_MEASURED]])
    return Split(
        corpus,
        subset(corpus, training_rows, "without those held back"),
        len(held_rows),
        subset(corpus, measured_rows, "held back"),
    )


def held_ids(ids: Iterable[str], corpora: Sequence[Corpus], share: float, seed: int) -> set[str]:
    """Return which of some ids are held back where corpora are divided.

    Args:
        ids: of items of any corpus: what has the id of a held-out item is held back with it.
        corpora: that are divided.
        share: of all possible ids, 0 to 1.
        seed: see ``split``.
    """
    may_be = {id for id in ids if _hash(id, seed) < share} if share and corpora else set()
    ids_held: set[str] = set()
    for corpus in corpora if may_be else ():
        ids_held |= may_be.intersection(ids_of(corpus))
    return ids_held


def subset(corpus: Corpus, rows: NDArray[np.int64], what: str) -> SubsetCorpus:
    """Return some rows of a corpus, given in ascending order, as a corpus."""
    kind = ScannedSubset if isinstance(corpus, ScannedCorpus) else SubsetCorpus
    return kind(corpus, rows, what)


def in_common(corpora: Sequence[Corpus]) -> Corpus | None:
    """Return the items of the first corpus whose ids all others have; None without any."""
    first, *other_corpora = corpora
    shared = set(ids_of(first))
    for other in other_corpora:
        if other.digest != first.digest:  # equal corpora have equal ids
            shared &= set(ids_of(other))
    if len(shared) == len(first):
        return first
    rows = [row for row, id in enumerate(ids_of(first)) if id in shared]
    return subset(first, np.array(rows, np.int64), "in common") if rows else None


def ids_of(corpus: Corpus) -> list[str]:
    """Return the ids of all items, in order, without opening media where that can be avoided."""
    ids = getattr(corpus, "ids", None)
    if ids is not None:
        all_ids: list[str] = ids()
        return all_ids
    return [
        item.id
        for start in range(0, len(corpus), _BLOCK_ROWS)
        for item in corpus.items(start, min(len(corpus), start + _BLOCK_ROWS))
    ]


def has_own_ids(corpus: Corpus) -> bool:
    """Return whether items have names of their own; a row number means nothing elsewhere."""
    whole = getattr(corpus, "whole", corpus)
    positional: bool | None = getattr(whole, "positional", None)
    if positional is None:
        positional = not whole.items(0, 1)[0].own_id
    return not positional


def _hash(id: str, seed: int) -> float:
    """Return a number in [0, 1), evenly spread over ids."""
    text = f"molspace:holdout\n{seed}\n{id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") / 2**64
