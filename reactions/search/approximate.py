"""Approximate neighbours by FAISS, over all atoms of an item at once.

A similarity is linear in the atoms u_k of an item, sum_k c_k <q, u_k>: it is the inner product of
the item's atoms one after another with the query as often, each copy times its c_k. So one
structure over the atoms serves all factors: a query is weighted, not the index. The c_k of an item
also hold its norm, which differs a little from item to item; the structure goes by their means,
and what it finds is compared again, exactly, with each item's own (``candidates``).

``ivf-pq``: lists around sqrt(n) centres, 4 numbers a byte. ``hnsw``: a graph; faster queries, but
it takes more memory than the atoms, and many times longer to build.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.extras import install_extra
from reactions.core.types import Modality
from reactions.search import files
from reactions.search.record import Approximation, IndexRecord, damaged

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["flat", "ivf-pq", "hnsw"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
AUTO: Final = "auto"

LEAST_ROWS: Final = 50_000
"""Fewer rows are compared one and all in some milliseconds."""

LEAST_CODED: Final = 16 * 39
"""Rows that FAISS wants for the 16 centres of codes of 4 bits."""

STALE_SHARE: Final = 0.2
"""Rows that were added since, which are compared one and all, before it is built again."""

_PROBED_SHARE: Final = 1 / 8
"""Of the lists: neighbours at some factors lie further apart at the mean of all atoms."""
_LEAST_PROBES: Final = 32
_EF_SEARCH: Final = 256
_HNSW_LINKS, _EF_CONSTRUCTION = 24, 100
_BLOCK_ROWS: Final = 1 << 14
_FOLDER: Final = "approximate"


def check_kind(name: str) -> None:
    """Refuse a kind that is unknown, or needs FAISS where it is not installed.

    Raises:
        UsageError: it is unknown.
        MissingError: faiss is not installed.
    """
    if name not in (AUTO, *KINDS):
        raise UsageError(f"--kind: '{name}' is not a kind", fix=suggestion(name, (AUTO, *KINDS)))
    if name not in (AUTO, "flat"):
        _faiss(f"an index of the kind {name}")


def chosen_kind(name: str, n: int) -> Kind:
    """Return the kind for so many rows: ``auto`` is flat up to ``LEAST_ROWS``, then ivf-pq.

    Codes of ivf-pq are learnt from rows: with fewer than ``LEAST_CODED``, it is flat, too.
    """
    if name == AUTO:
        return "ivf-pq" if n >= LEAST_ROWS and is_installed() else "flat"
    if name == "ivf-pq" and n < LEAST_CODED:
        return "flat"
    assert name in KINDS
    return name


def is_installed() -> bool:
    """Return whether FAISS is installed."""
    from importlib.util import find_spec

    return find_spec("faiss") is not None


def _faiss(what: str) -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingError(
            f"{what} needs FAISS", why="faiss is not installed", fix=install_extra("search")
        ) from None
    return faiss


@dataclass(frozen=True)
class Covered:
    """What an approximation of some rows takes and gives.

    Attributes:
        rows: how many of a modality's rows it knows, from the first.
        structure: FAISS's.
        n_atoms: of a row.
        kind: of the structure.
    """

    rows: int
    structure: Any
    n_atoms: int
    kind: str

    def candidates(
        self,
        queries: NDArray[np.float32],
        weights: NDArray[np.float32],
        n: int,
        *,
        widened: int = 1,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return rows that are probably near, and what the structure takes for their cosines.

        Args:
            queries: (n_queries, d) unit rows.
            weights: (K,) mean coefficients of the atoms.
            n: how many for each query.
            widened: how many times as many lists, or links, are looked at as usual.

        Returns:
            (n_queries, n) values, and row numbers, -1 where there are no more.
        """
        faiss = _faiss("this index")
        weighted = (weights[None, :, None] * queries[:, None]).reshape(len(queries), -1)
        if self.kind == "hnsw":
            params = faiss.SearchParametersHNSW(efSearch=max(_EF_SEARCH * widened, n))
        else:
            lists = self.structure.nlist
            probes = max(_LEAST_PROBES, round(lists * _PROBED_SHARE)) * widened
            params = faiss.SearchParametersIVF(nprobe=min(lists, probes))
        query = np.ascontiguousarray(weighted, np.float32)
        values, numbers = self.structure.search(query, n, params=params)
        return values, numbers


def build(directory: Path, record: IndexRecord, modality: Modality, kind: Kind) -> IndexRecord:
    """Build an approximation of all rows of a modality; the caller is ``files.writing``.

    Returns:
        The record with it, to be published.

    Raises:
        MissingError: faiss is not installed.
        StoreError: the disk is full.
    """
    faiss = _faiss(f"an index of the kind {kind}")
    segments = [
        files.open_segment(directory, record, segment)
        for segment in record.segments
        if segment.modality == modality
    ]
    n = sum(opened.segment.n for opened in segments)
    n_atoms = segments[0].segment.n_atoms
    width = n_atoms * record.dim
    if kind == "hnsw":
        structure = faiss.IndexHNSWFlat(width, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        structure.hnsw.efConstruction = _EF_CONSTRUCTION
    else:
        lists = max(1, min(round(4 * math.sqrt(n)), n // 39))
        part = next(size for size in (4, 3, 2, 5, 1) if width % size == 0)
        # Codes of 8 bits are learnt from 256 centres, each of which wants 39 rows.
        bits = 8 if n >= 39 * 256 else 4
        quantiser = faiss.IndexFlatIP(width)
        structure = faiss.IndexIVFPQ(
            quantiser, width, lists, width // part, bits, faiss.METRIC_INNER_PRODUCT
        )
        structure.train(_sample(segments, min(n, max(64 * lists, 1 << 16)), n))
    for block in _blocks(segments):
        structure.add(block)
    folder = directory / _FOLDER
    # Never the name of what a record lists already: a kill before the next one leaves that whole.
    name = f"{modality}-{kind}-{uuid.uuid4().hex[:12]}.faiss"
    try:
        folder.mkdir(exist_ok=True)
        faiss.write_index(structure, str(folder / name))
        with (folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
        size, digest = files.file_facts(folder / name)
    except (OSError, RuntimeError) as error:  # FAISS says so of a full disk
        with suppress(OSError):
            (folder / name).unlink()
        raise files.unwritable(directory, error) from error
    entry = Approximation(kind, n, n_atoms, name, size, digest)
    return replace(record, approximations={**record.approximations, modality: entry})


def open_covered(directory: Path, record: IndexRecord, modality: Modality) -> Covered | None:
    """Open the approximation of a modality; None without one, or without FAISS.

    Raises:
        DataError: its file is missing, or has another size.
    """
    entry = record.approximations.get(modality)
    if entry is None or not is_installed():
        return None
    faiss = _faiss("this index")
    path = directory / _FOLDER / entry.name
    why = ""
    try:
        if path.stat().st_size != entry.size_bytes:
            why = f"{path.name} has another size"
        else:
            structure = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
            if structure.ntotal != entry.n or structure.d != entry.n_atoms * record.dim:
                why = f"{path.name} is of other rows"
    except (OSError, RuntimeError) as error:
        why = f"{path.name}: {str(error).splitlines()[0]}"
    if why:
        raise DataError(
            f"what {modality} is searched by in '{directory}' is damaged",
            why=why,
            fix=f"the rows are whole: search --exact, or build it again: molspace index BUNDLE "
            f"INPUT --out {directory} --kind {entry.kind}",
            path=str(path),
        )
    return Covered(entry.n, structure, entry.n_atoms, entry.kind)


def remove_unlisted(directory: Path, record: IndexRecord) -> None:
    """Remove files of approximations that the record does not list; the caller is ``writing``."""
    folder = directory / _FOLDER
    if not folder.is_dir():
        return
    listed = {entry.name for entry in record.approximations.values()}
    for path in folder.iterdir():
        if path.name not in listed:
            path.unlink(missing_ok=True)


def verify(directory: Path, record: IndexRecord) -> int:
    """Compare the files with their digests; return how many bytes were read.

    Raises:
        DataError: one differs, or is missing.
    """
    read_bytes = 0
    for entry in record.approximations.values():
        path = directory / _FOLDER / entry.name
        try:
            size, digest = files.file_facts(path)
        except OSError as error:
            raise damaged(directory, f"{entry.name}: {error}") from error
        if digest != entry.digest:
            raise damaged(directory, f"{entry.name} was changed")
        read_bytes += size
    return read_bytes


def _sample(segments: Sequence[files.OpenSegment], n: int, total: int) -> NDArray[np.float32]:
    """Return every so many-th row: (about n, K d)."""
    step = max(1, total // n)
    sampled = []
    start = 0
    for opened in segments:
        rows = np.arange(-start % step, opened.segment.n, step)
        sampled.append(np.asarray(opened.units[rows], dtype=np.float32).reshape(len(rows), -1))
        start += opened.segment.n
    return np.concatenate(sampled)


def _blocks(segments: Sequence[files.OpenSegment]) -> Iterator[NDArray[np.float32]]:
    for opened in segments:
        for first in range(0, opened.segment.n, _BLOCK_ROWS):
            rows = np.asarray(opened.units[first : first + _BLOCK_ROWS], dtype=np.float32)
            yield rows.reshape(len(rows), -1)
