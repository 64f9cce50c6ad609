"""Rows that earlier runs made of the same items, though for another corpus: not made again.

An item that proves undecodable, is added or is removed makes another corpus, and so another
step. All other rows of such a step are the same: they are taken from the shards and entries
of the earlier one, by the id and the content of their items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.data.sources.corpus import SourceCorpus
from reactions.data.tables import Table, TableCache
from reactions.graph import Artifact, Rows, Step
from reactions.kinds import Corpus, Digest
from reactions.store.layout import Layout
from reactions.store.manifest import Manifest
from reactions.store.partial import SHARD_JSON, Partial
from reactions.store.upkeep import manifests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.store.store import Store

CORPUS = "corpus"
"""The parameter of a step that may differ."""

_FOLDER = "corpora"  # beside the scans: it is pruned like them


@dataclass(frozen=True, slots=True)
class _Donor:
    """Consecutive rows made before: what each was made of, and where it is."""

    marks: NDArray[np.uint64]
    arrays: Mapping[str, Rows]
    meta: Mapping[str, Any]


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
    if not isinstance(corpus, SourceCorpus):
        return 0
    tables = TableCache(store.root / _FOLDER)
    marks = _marks(corpus, tables)
    missing = shards.missing()
    donors = list(_donors(store, step, tables)) if missing else []
    if not donors:
        return 0
    known = np.concatenate([donor.marks for donor in donors])
    order = np.argsort(known)
    ranked = known[order]
    adopted = 0
    for start, stop in missing:
        wanted = marks[start:stop]
        found = np.minimum(np.searchsorted(ranked, wanted), len(ranked) - 1)
        if np.array_equal(ranked[found], wanted):
            store.add_shard(shards, start, stop, _gather(donors, order[found]))
            adopted += stop - start
    return adopted


def _marks(corpus: SourceCorpus, tables: TableCache) -> NDArray[np.uint64]:
    """Return 64 bits of each item's id and content: among millions none are alike by chance."""
    name = _name(corpus.digest)
    if (table := tables.get(name, corpus.digest)) is None:
        found = (
            hashlib.blake2b(f"{id}\0{tag}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
            for id, tag in corpus.tags()
        )
        table = Table({"mark": np.frombuffer(b"".join(found), np.uint64)})
        tables.put(name, corpus.digest, table)
    return table.numbers("mark")


def _name(corpus: Digest) -> str:
    return f"rows-{corpus[:32]}"


def _donors(store: Store, step: Step, tables: TableCache) -> Iterator[_Donor]:
    """Yield what equal steps of other corpora have made."""
    layout = Layout(store.root)
    for manifest, _ in manifests(layout):
        if (marks := _marks_of(manifest, step, tables)) is None:
            continue
        artifact = store.lookup(manifest.key)
        if artifact and all(len(rows) == len(marks) for rows in artifact.arrays.values()):
            yield _Donor(marks, artifact.arrays, artifact.meta)
    for path in sorted(layout.partial.glob("*/*-*")):
        try:
            manifest = Manifest.read(path / SHARD_JSON)
            if (marks := _marks_of(manifest, step, tables)) is None:
                continue
            start, stop = map(int, path.name.split("-"))
            if manifest.problems(path, full=True):
                continue
            arrays = _arrays(path, manifest)
        except (OSError, ValueError):  # damaged, or another run has just completed the entry
            continue
        if all(len(rows) == stop - start == len(marks[start:stop]) for rows in arrays.values()):
            yield _Donor(marks[start:stop], arrays, manifest.meta)


def _arrays(folder: Path, manifest: Manifest) -> dict[str, NDArray[Any]]:
    files = {name: record.shards[0].file for name, record in manifest.arrays.items()}
    return {name: np.load(folder / file, mmap_mode="r") for name, file in files.items()}


def _marks_of(manifest: Manifest, step: Step, tables: TableCache) -> NDArray[np.uint64] | None:
    """Return what the rows of an equal step of another corpus were made of, if that is known."""
    if manifest.kind != step.kind or manifest.key == step.key:
        return None
    corpus = manifest.preimage.get("params", {}).get(CORPUS)
    if not isinstance(corpus, str) or _rest(manifest.preimage) != _rest(step.preimage):
        return None
    table = tables.get(_name(corpus), corpus)
    return None if table is None else table.numbers("mark")


def _rest(preimage: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a preimage but the corpus."""
    params = {name: value for name, value in preimage["params"].items() if name != CORPUS}
    return {**preimage, "params": params}


def _gather(donors: list[_Donor], where: NDArray[np.intp]) -> Artifact:
    """Return rows by their places among all rows of the donors, one after the other."""
    begins = np.cumsum([0, *(len(donor.marks) for donor in donors)])
    owners = np.searchsorted(begins, where, side="right") - 1
    breaks = (np.diff(where) != 1) | (np.diff(owners) != 0)
    pieces = []
    for run in np.split(np.arange(len(where)), np.flatnonzero(breaks) + 1):
        owner = int(owners[run[0]])
        first = int(where[run[0]] - begins[owner])
        pieces.append((donors[owner].arrays, slice(first, first + len(run))))
    return Artifact(
        {
            name: np.concatenate([arrays[name][rows] for arrays, rows in pieces])
            for name in donors[0].arrays
        },
        donors[0].meta,
    )
