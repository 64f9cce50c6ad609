"""Adding items to an index, and taking them out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.core.errors import MolspaceError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists
from reactions.core.types import Item, Modality
from reactions.data.manifest import Problem
from reactions.inference.stream import embed_stream
from reactions.modalities.registry import content_digest
from reactions.products.atoms import free_factors, inner_products
from reactions.search import approximate, files
from reactions.search.added import Added
from reactions.search.approximate import AUTO, STALE_SHARE, chosen_kind
from reactions.search.atom_rows import AtomEmbedder
from reactions.search.hits import IndexedItem
from reactions.search.index import SearchIndex
from reactions.search.item_names import named
from reactions.search.known_items import KnownItems
from reactions.search.made_by import space_digest
from reactions.search.record import RECORD, Dtype, IndexRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.products.target import Target

SEGMENT_ROWS: Final = 1 << 14
"""Rows that are published together: what a killed run loses, at most."""

SEGMENT_S: Final = 600.0
"""Seconds after which fewer are published: slow encoders take hours for as many rows."""


def add_items(
    directory: Path,
    target: Target,
    embedder: AtomEmbedder,
    items: Iterable[Item | Problem],
    *,
    digests: DigestCache,
    dtype: Dtype | None = None,
    kind: str = AUTO,
    prefix: str = "",
    on_problem: Callable[[Problem], None] = lambda problem: None,
    on_progress: Callable[[int], None] = lambda n: None,
    segment_rows: int = SEGMENT_ROWS,
    segment_s: float = SEGMENT_S,
) -> Added:
    """Add items to an index, which is made if it is not there.

    What it has already, by modality, id and contents, is not embedded again; what has changed takes
    the place of what was there. Every ``segment_rows`` rows are published, and at least all
    ``segment_s``, so that a run that was killed goes on there.

    Args:
        directory: of the index.
        target: the product.
        embedder: of the target.
        items: from anywhere, of any mix of modalities.
        digests: remembers digests of files.
        dtype: of the atoms; None is that of the index, and float32 for a new one.
        kind: how it is searched: ``flat`` compares every row, ``ivf-pq`` and ``hnsw`` are
            approximate, ``auto`` chooses by size (``approximate.chosen_kind``).
        prefix: stands, with a slash, before the ids that the input gives; "" for nothing.
        on_problem: called for each item that cannot be embedded, which is left out.
        on_progress: called with how many items were embedded so far.
        segment_rows: rows of a segment.
        segment_s: seconds after which what is embedded is published, however few rows.

    Raises:
        UsageError: another product made the index, or two items have one id.
        DataError: the index is damaged.
        StoreError: another process writes it, or the disk is full.
    """
    files.check_directory(directory)
    with files.writing(directory):
        index = None
        if exists(directory / RECORD):
            index = SearchIndex(directory, target)
            record = index.record
            if dtype not in (None, record.dtype):
                raise UsageError(
                    f"the index '{directory}' holds {record.dtype}, not {dtype}",
                    fix="leave --dtype out, or build another index",
                )
            if record.bundle != (bundle := bundle_of(target)):  # it was moved
                record = replace(record, bundle=bundle)
                files.write_record(directory, record)
        else:
            record = new_record(target, dtype or "float32")
            files.write_record(directory, record)
        known_items = KnownItems(index)
        counts: Counter[str] = Counter()
        added: Counter[Modality] = Counter()
        replaced: Counter[Modality] = Counter()

        def problem(entry: Problem) -> None:
            counts["skipped"] += 1
            on_problem(entry)

        waiting: dict[Modality, _Waiting] = {}
        fresh = _fresh(items, prefix, known_items, digests, counts, problem)
        stream = embed_stream(
            embedder, fresh, batch_items=min(256, segment_rows), on_problem=problem, read_ahead=True
        )

        def take(batch: Sequence[Item], rows: NDArray[np.float32]) -> None:
            for item, row in zip(batch, rows, strict=True):
                pending = waiting.setdefault(item.modality, _Waiting())
                pending.items.append(IndexedItem.of(item, content_digest(item, digests)))
                pending.rows.append(row)
                number = known_items.embedded(item)
                if number >= 0:
                    pending.gone.append(number)
                    replaced[item.modality] += 1
                else:
                    added[item.modality] += 1
            on_progress(sum(added.values()) + sum(replaced.values()))

        try:
            for batch, rows in stream:
                take(batch, rows)
                due_s = time.monotonic() - segment_s
                due = [
                    m
                    for m, pending in waiting.items()
                    if len(pending.items) >= segment_rows or pending.began_s <= due_s
                ]
                for modality in due:
                    record = _publish(directory, record, embedder, modality, waiting.pop(modality))
        except BaseException:
            # What is embedded is kept, however the run ends; the reason it ends is what counts.
            with suppress(MolspaceError):
                for modality, pending in waiting.items():
                    record = _publish(directory, record, embedder, modality, pending)
            raise
        for modality, pending in waiting.items():
            record = _publish(directory, record, embedder, modality, pending)
        outdated = known_items.outdated()
        for modality, numbers in outdated.items():
            record = _without(record, modality, numbers)
        if outdated:
            files.write_record(directory, record)
        record = _approximated(directory, record, kind)
        approximate.remove_unlisted(directory, record)
        return Added(
            SearchIndex(directory, target),
            added,
            replaced,
            counts["there"],
            counts["skipped"],
            sum(map(len, outdated.values())),
            counts["unprefixed"],
            known_items.unplaced,
        )


class _Waiting:
    """Embedded items of one modality that are not written yet."""

    def __init__(self) -> None:
        self.items: list[IndexedItem] = []
        self.rows: list[NDArray[np.float32]] = []
        self.gone: list[int] = []
        self.began_s = time.monotonic()


def _fresh(
    items: Iterable[Item | Problem],
    prefix: str,
    known_items: KnownItems,
    digests: DigestCache,
    counts: Counter[str],
    on_problem: Callable[[Problem], None],
) -> Iterator[Item | Problem]:
    """Yield what has to be embedded."""
    for item in items:
        if isinstance(item, Problem):
            yield item
            continue
        counts["unprefixed"] += bool(prefix) and not item.own_id
        item = named(item, prefix)
        try:
            digest = content_digest(item, digests)
        except MolspaceError as error:
            on_problem(Problem(0, item.id, f"{error.what}: {error.why}"))
            continue
        if known_items.state(item, digest) == "there":
            counts["there"] += 1
        else:
            yield item


def _approximated(directory: Path, record: IndexRecord, kind: str) -> IndexRecord:
    """Build, or drop, what each modality's rows are searched by, and publish it."""
    for modality in sorted({segment.modality for segment in record.segments}):
        n = sum(s.n for s in record.segments if s.modality == modality)
        approximation = record.approximations.get(modality)
        if kind == AUTO and approximation is not None and n - approximation.n <= STALE_SHARE * n:
            continue  # whatever it is: what was added since is compared row by row
        new_kind = (
            approximation.kind
            if kind == AUTO and approximation is not None
            else chosen_kind(kind, n)
        )
        if new_kind == "flat":
            other_approximations = {
                m: entry for m, entry in record.approximations.items() if m != modality
            }
            changed = replace(record, approximations=other_approximations)
        elif approximation is not None and approximation.kind == new_kind and approximation.n == n:
            continue
        else:
            changed = approximate.build(directory, record, modality, new_kind)  # type: ignore[arg-type]
        if changed != record:
            record = changed
            files.write_record(directory, record)
    return record


def _publish(
    directory: Path,
    record: IndexRecord,
    embedder: AtomEmbedder,
    modality: Modality,
    pending: _Waiting,
) -> IndexRecord:
    units, lengths = embedder.unpack(modality, np.stack(pending.rows))
    record = files.write_segment(
        directory, record, pending.items, units, lengths, inner_products(units)
    )
    record = _without(record, modality, pending.gone)
    files.write_record(directory, record)
    return record


def remove_items(
    directory: Path, target: Target, numbers: Mapping[Modality, Collection[int]]
) -> SearchIndex:
    """Take items out of an index, by their numbers; their rows stay until it is compacted.

    Raises:
        UsageError: a number is not that of an item, or another product made the index.
        StoreError: another process writes it.
    """
    with files.writing(directory):
        index = SearchIndex(directory, target)
        record = index.record
        for modality, removed in numbers.items():
            for number in removed:
                index.item(modality, number)  # refuses what is not there
            record = _without(record, modality, removed)
        files.write_record(directory, record)
    return SearchIndex(directory, target)


def compact(directory: Path, target: Target) -> int:
    """Write an index anew without what was taken out; return how many rows went.

    Numbers of items change.
    """
    with files.writing(directory):
        index = SearchIndex(directory, target)
        old = index.record
        removed = sum(map(len, old.deleted.values()))
        if not removed:
            return 0
        record = replace(old, segments=(), deleted={}, approximations={})
        for segment in old.segments:
            opened = files.open_segment(directory, old, segment)
            start = sum(
                s.n
                for s in old.segments[: old.segments.index(segment)]
                if s.modality == segment.modality
            )
            deleted_rows = np.array(old.deleted.get(segment.modality, ()), dtype=np.int64) - start
            rows = np.setdiff1d(np.arange(segment.n), deleted_rows)
            if len(rows) == segment.n:
                record = replace(record, segments=(*record.segments, segment))
            elif len(rows):
                items = [opened.item(int(row)) for row in rows]
                record = files.write_segment(
                    directory,
                    record,
                    items,
                    np.asarray(opened.units[rows], dtype=np.float32),
                    np.asarray(opened.lengths[rows]),
                    np.asarray(opened.products[rows]),
                )
        files.write_record(directory, record)
        for modality, entry in old.approximations.items():
            if any(s.modality == modality for s in record.segments):
                record = approximate.build(directory, record, modality, entry.kind)  # type: ignore[arg-type]
                files.write_record(directory, record)
        approximate.remove_unlisted(directory, record)
    with files.writing(directory):  # removes the segments that are no longer listed
        pass
    return removed


def _without(record: IndexRecord, modality: Modality, numbers: Iterable[int]) -> IndexRecord:
    deleted = sorted({*record.deleted.get(modality, ()), *map(int, numbers)})
    return replace(record, deleted={**record.deleted, modality: tuple(deleted)})


def bundle_of(target: Target) -> str:
    """Return where a target's bundle lies; "" for a space."""
    return str(target.bundle.path.absolute()) if target.bundle else ""


def new_record(target: Target, dtype: Dtype) -> IndexRecord:
    """Return what an empty index says of itself."""
    free, fixed = free_factors(target.space)
    return IndexRecord(
        space=space_digest(target),
        bundle=bundle_of(target),
        name=target.name,
        lab=target.lab,
        dim=target.space.dim,
        dtype=dtype,
        free=free,
        fixed=fixed,
    )


def found_again(
    items: Mapping[Modality, Sequence[Any]], index: SearchIndex
) -> Mapping[Modality, list[int]]:
    """Return the numbers of items by id.

    Args:
        items: modality to ids.
        index: where.

    Raises:
        UsageError: one is not there.
    """
    numbers: dict[Modality, list[int]] = {}
    for modality, ids in items.items():
        by_id = {item.id: number for number, item in index.items(modality)}
        for id in ids:
            if id not in by_id:
                raise UsageError(f"the index has no {modality} '{id}'")
            numbers.setdefault(modality, []).append(by_id[id])
    return numbers
