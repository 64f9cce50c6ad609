"""Rows that earlier runs made of the same items, though for another corpus: not made again.

An item that proves undecodable, is added or is removed makes another corpus, and so another
step. All other rows of such a step are the same: they are taken from the shards and entries
of the earlier one, by the id and the content of their items.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.hashing import file_digest
from reactions.core.scanned import ScannedCorpus
from reactions.core.step import Artifact, Step
from reactions.core.types import Corpus, Digest
from reactions.store.files import disk_errors
from reactions.store.index import CORPUS, without_corpus
from reactions.store.layout import MANIFEST_JSON
from reactions.store.located import LocatedStore
from reactions.store.manifest import EntryManifest, ShardFile
from reactions.store.partial import SHARD_JSON, Partial
from reactions.store.places import StorePlace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.store.store import Store


@dataclass(frozen=True, eq=False, slots=True)
class _Piece:
    """Consecutive rows made before.

    Attributes:
        items: (n,) digests of the items that the rows were made of.
        folder: where the files are.
        files: of each array.
        meta: of the artifact.
    """

    items: NDArray[np.uint64]
    folder: Path
    files: Mapping[str, ShardFile]
    meta: Mapping[str, Any]


class _Unusable(Exception):
    """A piece is damaged, or gone."""

    def __init__(self, piece: _Piece) -> None:
        super().__init__()
        self.piece = piece


class _EarlierRows:
    """Rows to take from, by the digests of the items they were made of.

    Files are hashed before anything of them is used, once each, and open only while they are
    read: no more than one shard is ever held. They are read without a claim on their entry:
    what another process removes meanwhile is just not there.
    """

    def __init__(self, pieces: Sequence[_Piece], place: StorePlace) -> None:
        self._place = place
        self._verified: set[int] = set()
        self._rank(pieces)

    def _rank(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = list(pieces)
        self._begins = np.cumsum([0, *(len(piece.items) for piece in self._pieces)])
        items = np.concatenate([np.empty(0, np.uint64), *(p.items for p in self._pieces)])
        # Stable: of rows made of equal items, ``take`` finds those of the first piece.
        self._order = np.argsort(items, kind="stable")
        self._ranked = items[self._order]

    def take(self, items: NDArray[np.uint64]) -> Artifact | None:
        """Return rows made of these items, in their order; None unless all are there."""
        while len(self._ranked):
            # A digest above all others would rank one past the end; the comparison then rejects it.
            ranks = np.minimum(np.searchsorted(self._ranked, items), len(self._ranked) - 1)
            if not np.array_equal(self._ranked[ranks], items):
                return None
            try:
                return self._gather(self._order[ranks])
            except _Unusable as error:
                self._rank([piece for piece in self._pieces if piece is not error.piece])
        return None

    def _gather(self, places: NDArray[np.intp]) -> Artifact:
        """Return rows by their places among all rows, one piece after the other."""
        owners = np.searchsorted(self._begins, places, side="right") - 1
        arrays: dict[str, NDArray[Any]] = {}
        for owner in np.unique(owners):
            piece, of_piece = self._pieces[owner], owners == owner
            for name, rows in self._opened(piece).items():
                if name not in arrays:
                    arrays[name] = np.empty((len(places), *rows.shape[1:]), rows.dtype)
                elif arrays[name].dtype != rows.dtype or arrays[name].shape[1:] != rows.shape[1:]:
                    raise _Unusable(piece)
                arrays[name][of_piece] = rows[places[of_piece] - self._begins[owner]]
        if not all(np.isfinite(rows).all() for rows in arrays.values()):
            raise _Unusable(self._pieces[owners[0]])
        return Artifact(arrays, self._pieces[owners[0]].meta)

    def _opened(self, piece: _Piece) -> dict[str, NDArray[Any]]:
        try:
            paths = {
                name: self._place.local(piece.folder / file.file, file.sha256)
                for name, file in piece.files.items()
            }
            if id(piece) not in self._verified:
                if any(file_digest(paths[n]) != f.sha256 for n, f in piece.files.items()):
                    raise _Unusable(piece)
                self._verified.add(id(piece))
            arrays: dict[str, NDArray[Any]] = {
                name: np.load(path, mmap_mode="r", allow_pickle=False)
                for name, path in paths.items()
            }
        except (OSError, ValueError, EOFError):
            raise _Unusable(piece) from None
        if any(len(rows) != len(piece.items) for rows in arrays.values()):
            raise _Unusable(piece)
        return arrays


class _ItemDigests:
    """What earlier corpora held, on disk: the digest of each item, in order.

    Like the scans of corpora beside them, these are a cache, pruned by their last use.
    """

    def __init__(self, layout: LocatedStore) -> None:
        self._folder = layout.corpora
        self._place = layout.place

    def of(self, corpus: Corpus) -> NDArray[np.uint64] | None:
        """Return 64 bits of each item's id and content: among millions none are alike by chance.

        None for a corpus that would have to open its items.
        """
        if not isinstance(corpus, ScannedCorpus):
            return None
        items = self.known(corpus.digest)
        if items is None or len(items) != len(corpus):
            # Ids may be names of files that are not UTF-8: Python makes lone surrogates of those.
            digests = (
                hashlib.blake2b(
                    f"{id}\0{tag}".encode("utf-8", "surrogatepass"), digest_size=8
                ).digest()
                for id, tag in corpus.tags()
            )
            items = np.frombuffer(b"".join(digests), np.uint64)
            self._keep(corpus.digest, items)
        return items

    def known(self, corpus: Digest) -> NDArray[np.uint64] | None:
        """Return what a corpus held, by its digest; None where that is not known."""
        for path in (self._path(corpus), self._folder / _earlier_name(corpus)):
            with suppress(OSError, ValueError, EOFError):
                path = self._place.local(path)
                items: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
                os.utime(path)
                if items.dtype == np.uint64 and items.ndim == 1:
                    return items
        return None

    def _keep(self, corpus: Digest, items: NDArray[np.uint64]) -> None:
        fresh = self._folder / f"tmp-{os.getpid()}-{uuid.uuid4().hex}.npy"
        with suppress(OSError):  # a full or read-only disk
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                np.save(fresh, items)
                self._place.replace(fresh, self._path(corpus))
            finally:
                fresh.unlink(missing_ok=True)

    def _path(self, corpus: Digest) -> Path:
        return self._folder / f"rows-{corpus[:32]}.npy"


def _earlier_name(corpus: Digest) -> str:
    """Return where earlier versions keep the digests of a corpus's items."""
    return f"rows-{corpus[:32]}-{corpus[:32]}/mark.npy"


def reuse_rows(store: Store, shards: Partial, step: Step, corpus: Corpus) -> int:
    """Fill missing shards of a step whose rows an equal step of another corpus has all made.

    Also notes what this corpus holds, for later runs.

    Args:
        store: where both are.
        shards: of the step; gains what is found.
        step: each row of it depends on one item and the step's parameters, nothing else.
        corpus: row i is made of item i. Only a ``ScannedCorpus`` gives its contents cheaply:
            for others nothing is done.

    Returns:
        How many rows were taken over.

    Raises:
        StoreError: the store cannot be read or written.
    """
    item_digests = _ItemDigests(store.layout)
    if (items := item_digests.of(corpus)) is None:
        return 0
    missing = shards.missing()
    with disk_errors(store.address, "read"):
        other_keys = _other_keys(store, step) if missing else []
        earlier = _EarlierRows(
            list(_pieces(store, step, other_keys, item_digests)), store.layout.place
        )
    n_reused = 0
    for start, stop in missing:
        if (rows := earlier.take(items[start:stop])) is not None:
            store.add_shard(shards, start, stop, rows, seconds=0.0)
            n_reused += stop - start
    return n_reused


def made_rows(store: Store, step: Step, corpus: Corpus) -> NDArray[np.bool_]:
    """Return which rows of a step are there: its own, and those ``reuse_rows`` would find.

    Args:
        store: where they are.
        step: as for ``reuse_rows``.
        corpus: row i is made of item i.

    Returns:
        (len(corpus),) bool; rows that prove damaged when they are taken count as there.

    Raises:
        StoreError: the store cannot be read.
    """
    item_digests = _ItemDigests(store.layout)
    if (items := item_digests.of(corpus)) is None:
        return np.zeros(len(corpus), np.bool_)
    with disk_errors(store.address, "read"):
        keys = store.index.keys(step.kind, step.preimage)
        pieces = list(_pieces(store, step, keys, item_digests))
    is_made: NDArray[np.bool_] = np.isin(
        items, np.concatenate([np.empty(0, np.uint64), *(piece.items for piece in pieces)])
    )
    return is_made


def _pieces(
    store: Store, step: Step, keys: Sequence[Digest], item_digests: _ItemDigests
) -> Iterator[_Piece]:
    """Yield what equal steps, of these keys, have made, whole or in part."""
    layout = store.layout
    for key in keys:
        yield from _pieces_of(layout, layout.entry(key), MANIFEST_JSON, 0, step, item_digests)
    for key in keys:
        for folder in layout.place.folders(layout.partial / key):
            start, _, stop = folder.name.partition("-")
            if start.isdecimal() and stop.isdecimal():
                yield from _pieces_of(layout, folder, SHARD_JSON, int(start), step, item_digests)


def _other_keys(store: Store, step: Step) -> list[Digest]:
    """Return the keys of equal steps of other corpora; they find this one's from now on."""
    keys = store.index.keys(step.kind, step.preimage)
    if step.key in keys:
        keys.remove(step.key)
    else:
        store.index.add(step.key, step.kind, step.preimage)
    return keys


def _pieces_of(
    layout: LocatedStore,
    folder: Path,
    record: str,
    start: int,
    step: Step,
    item_digests: _ItemDigests,
) -> Iterator[_Piece]:
    try:
        manifest = EntryManifest.read(folder / record, layout.place)
    except (OSError, ValueError):  # none, damaged, or another run has just moved it
        return
    shared = without_corpus(manifest.kind, manifest.preimage)
    if shared is None or shared != without_corpus(step.kind, step.preimage):
        return
    items = item_digests.known(manifest.preimage["params"][CORPUS])
    if items is None or not manifest.arrays:
        return
    cuts = [[shard.rows for shard in array.shards] for array in manifest.arrays.values()]
    if any(cut != cuts[0] for cut in cuts):
        return
    for i, rows in enumerate(cuts[0]):
        files = {name: array.shards[i] for name, array in manifest.arrays.items()}
        if len(shard_items := items[start : start + rows]) == rows:
            yield _Piece(shard_items, folder, files, manifest.meta)
        start += rows
