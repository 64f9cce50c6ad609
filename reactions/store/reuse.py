"""Rows that earlier runs made of the same items, though for another corpus: not made again.

An item that proves undecodable, is added or is removed makes another corpus, and so another
step. All other rows of such a step are the same: they are taken from the shards and entries
of the earlier one, by the id and the content of their items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.step import Artifact, Step
from reactions.core.types import Corpus, Digest
from reactions.data.holdout import ScannedSubset
from reactions.data.scan_cache import ScanTable, TableCache
from reactions.data.sources.corpus import SourceCorpus
from reactions.store.layout import MANIFEST_JSON, Layout
from reactions.store.maintenance import folders
from reactions.store.manifest import Manifest, ShardFile
from reactions.store.partial import SHARD_JSON, Partial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.store.store import Store

CORPUS = "corpus"
"""The parameter of a step that may differ."""

_FOLDER = "corpora"  # beside the scans: it is pruned like them


@dataclass(frozen=True, eq=False, slots=True)
class _Piece:
    """Consecutive rows made before: what each was made of, and the file of each array."""

    marks: NDArray[np.uint64]
    folder: Path
    files: Mapping[str, ShardFile]
    meta: Mapping[str, Any]


class _Unusable(Exception):
    """A piece is damaged, or gone."""

    def __init__(self, piece: _Piece) -> None:
        super().__init__()
        self.piece = piece


class _Donors:
    """Rows to take from, by the marks of what they were made of.

    Files are hashed before anything of them is used, once each, and open only while they are
    read: no more than one shard is ever held. They are read without a claim on their entry:
    what another process removes meanwhile is just not there.
    """

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._whole: set[int] = set()
        self._rank(pieces)

    def _rank(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = list(pieces)
        self._begins = np.cumsum([0, *(len(piece.marks) for piece in self._pieces)])
        known = np.concatenate([np.empty(0, np.uint64), *(p.marks for p in self._pieces)])
        self._order = np.argsort(known, kind="stable")
        self._ranked = known[self._order]

    def take(self, wanted: NDArray[np.uint64]) -> Artifact | None:
        """Return rows made of these items, in their order; None unless all are there."""
        while len(self._ranked):
            found = np.minimum(np.searchsorted(self._ranked, wanted), len(self._ranked) - 1)
            if not np.array_equal(self._ranked[found], wanted):
                return None
            try:
                return self._gather(self._order[found])
            except _Unusable as error:
                self._rank([piece for piece in self._pieces if piece is not error.piece])
        return None

    def _gather(self, where: NDArray[np.intp]) -> Artifact:
        """Return rows by their places among all rows, one piece after the other."""
        owners = np.searchsorted(self._begins, where, side="right") - 1
        arrays: dict[str, NDArray[Any]] = {}
        for owner in np.unique(owners):
            piece, mine = self._pieces[owner], owners == owner
            for name, rows in self._opened(piece).items():
                if name not in arrays:
                    arrays[name] = np.empty((len(where), *rows.shape[1:]), rows.dtype)
                elif arrays[name].dtype != rows.dtype or arrays[name].shape[1:] != rows.shape[1:]:
                    raise _Unusable(piece)
                arrays[name][mine] = rows[where[mine] - self._begins[owner]]
        if not all(np.isfinite(rows).all() for rows in arrays.values()):
            raise _Unusable(self._pieces[owners[0]])
        return Artifact(arrays, self._pieces[owners[0]].meta)

    def _opened(self, piece: _Piece) -> dict[str, NDArray[Any]]:
        try:
            if id(piece) not in self._whole:
                if any(file.problem(piece.folder, full=True) for file in piece.files.values()):
                    raise _Unusable(piece)
                self._whole.add(id(piece))
            found: dict[str, NDArray[Any]] = {
                name: np.load(piece.folder / file.file, mmap_mode="r", allow_pickle=False)
                for name, file in piece.files.items()
            }
        except (OSError, ValueError, EOFError):
            raise _Unusable(piece) from None
        if any(len(rows) != len(piece.marks) for rows in found.values()):
            raise _Unusable(piece)
        return found


def adopt(store: Store, shards: Partial, step: Step, corpus: Corpus) -> int:
    """Fill missing shards of a step whose rows an equal step of another corpus has all made.

    Also notes what this corpus holds, for later runs.

    Args:
        store: where both are.
        shards: of the step; gains what is adopted.
        step: each row of it depends on one item and the step's parameters, nothing else.
        corpus: row i is made of item i. Only scanned corpora tell their contents cheaply:
            for others nothing is done.

    Returns:
        How many rows were adopted.

    Raises:
        StoreError: the store cannot be read or written.
    """
    if not isinstance(corpus, SourceCorpus | ScannedSubset):
        return 0
    tables = TableCache(store.root / _FOLDER)
    marks = _marks(corpus, tables)
    missing = shards.missing()
    donors = _Donors(list(_pieces(store, step, tables)) if missing else [])
    adopted = 0
    for start, stop in missing:
        if (rows := donors.take(marks[start:stop])) is not None:
            store.add_shard(shards, start, stop, rows)
            adopted += stop - start
    return adopted


def _marks(corpus: SourceCorpus | ScannedSubset, tables: TableCache) -> NDArray[np.uint64]:
    """Return 64 bits of each item's id and content: among millions none are alike by chance."""
    name = _name(corpus.digest)
    if (table := tables.get(name, corpus.digest)) is None:
        found = (
            hashlib.blake2b(f"{id}\0{tag}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
            for id, tag in corpus.tags()
        )
        table = ScanTable({"mark": np.frombuffer(b"".join(found), np.uint64)})
        tables.put(name, corpus.digest, table)
    return table.numbers("mark")


def _name(corpus: Digest) -> str:
    return f"rows-{corpus[:32]}"


def _pieces(store: Store, step: Step, tables: TableCache) -> Iterator[_Piece]:
    """Yield what equal steps of other corpora have made, whole or in part."""
    layout = Layout(store.root)
    for folder in folders(layout):
        yield from _pieces_of(folder, MANIFEST_JSON, 0, step, tables)
    for parent in _children(layout.partial):
        for folder in _children(parent):
            start, _, stop = folder.name.partition("-")
            if start.isdecimal() and stop.isdecimal():
                yield from _pieces_of(folder, SHARD_JSON, int(start), step, tables)


def _pieces_of(
    folder: Path, record: str, start: int, step: Step, tables: TableCache
) -> Iterator[_Piece]:
    try:
        manifest = Manifest.read(folder / record)
    except (OSError, ValueError):  # damaged, or another run has just moved it
        return
    marks = _marks_of(manifest, step, tables)
    if marks is None or not manifest.arrays:
        return
    cuts = [[shard.rows for shard in one.shards] for one in manifest.arrays.values()]
    if any(cut != cuts[0] for cut in cuts):
        return
    for i, rows in enumerate(cuts[0]):
        files = {name: one.shards[i] for name, one in manifest.arrays.items()}
        if len(mine := marks[start : start + rows]) == rows:
            yield _Piece(mine, folder, files, manifest.meta)
        start += rows


def _children(folder: Path) -> list[Path]:
    with suppress(OSError):  # none, or removed meanwhile
        return sorted(folder.iterdir())
    return []


def _marks_of(manifest: Manifest, step: Step, tables: TableCache) -> NDArray[np.uint64] | None:
    """Return what the rows of an equal step of another corpus were made of, if that is known."""
    if manifest.kind != step.kind or manifest.key == step.key:
        return None
    params = manifest.preimage.get("params")
    corpus = params.get(CORPUS) if isinstance(params, Mapping) else None
    if not isinstance(corpus, str) or _rest(manifest.preimage) != _rest(step.preimage):
        return None
    table = tables.get(_name(corpus), corpus)
    return None if table is None else table.numbers("mark")


def _rest(preimage: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a preimage but the corpus."""
    params = {name: value for name, value in preimage["params"].items() if name != CORPUS}
    return {**preimage, "params": params}
