"""Data of evaluation sets of one's own: scanned, with what cannot be used left out and counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError
from reactions.core.file_names import nfc
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import OnProgress, silent
from reactions.data.sources.corpus import SourceCorpus
from reactions.data.sources.parts import CorpusPart
from reactions.data.sources.sides import Side, side_part
from reactions.eval.own_items import ItemReader
from reactions.eval.own_set import OwnSet
from reactions.eval.own_shards import ShardReader
from reactions.eval.registry import Folders
from reactions.eval.task_data import (
    BenchmarkData,
    ClassificationData,
    MultilabelData,
    RetrievalData,
)
from reactions.modalities.text import TEXT


def read_own(
    own_set: OwnSet, folders: Folders, *, tables: TableCache, on_progress: OnProgress = silent
) -> BenchmarkData:
    """Return the items of a set that can be used.

    Args:
        own_set: the set.
        folders: where it may lie; beside the lab file comes last.
        tables: remembers scans of its files.
        on_progress: of the progress of scans.

    Raises:
        MissingError: the table or a folder is not there.
        DataError: it is damaged, nothing of it can be used, or too much cannot.
    """
    reader = _reader(own_set, folders, tables, on_progress)
    scan = _Scan(own_set, reader, tables, on_progress)
    return _retrieval(scan) if own_set.task.kind == "retrieval" else _labelled(scan)


def own_captions(own_set: OwnSet, folders: Folders) -> Iterator[tuple[str, str]]:
    """Yield (id, caption), whether the media are there or not; nothing without captions.

    Raises:
        MissingError: the table is not there.
        DataError: it is damaged.
    """
    if own_set.task.has_captions and TEXT.name not in own_set.by_id:
        if shards := own_set.shards(folders):
            captions = ShardReader(own_set, shards, scans=TableCache()).captions()
        else:
            _, captions = ItemReader(own_set, folders, scans=None).pairs()
        for id, text, why in zip(captions.ids, captions.texts, captions.whys, strict=True):
            if not why:
                yield id, text


def _reader(
    own_set: OwnSet, folders: Folders, tables: TableCache, on_progress: OnProgress
) -> ItemReader | ShardReader:
    if shards := own_set.shards(folders):
        return ShardReader(own_set, shards, scans=tables, on_progress=on_progress)
    return ItemReader(own_set, folders, scans=tables, on_progress=on_progress)


class _Scan:
    """What turns rows into corpora.

    Args:
        own: the set.
        reader: of its items.
        tables: remembers scans.
        on_progress: of the progress of scans.
    """

    def __init__(
        self,
        own_set: OwnSet,
        reader: ItemReader | ShardReader,
        tables: TableCache,
        on_progress: OnProgress,
    ) -> None:
        self.own_set = own_set
        self.reader = reader
        self._tables = tables
        self._on_progress = on_progress

    def part(self, side: Side, remarks: Sequence[str] = ()) -> CorpusPart:
        """Scan the files of a side, and add remarks for people; texts are scanned already."""
        if isinstance(self.reader, ShardReader):
            return self.reader.part(side.modality).with_notices(remarks)
        name = f"{self.own_set.task.name} {side.modality}"
        files = self.reader.tables
        return side_part(
            name,
            side,
            key=f"{name} {' '.join(file.url for file in files) or self.own_set.base}",
            size_bytes=sum(file.size_bytes for file in files),
            tables=self._tables,
            depth=self.own_set.source.check,
            on_progress=self._on_progress,
            remarks=remarks,
        )

    def skipped(self, side: Side) -> NDArray[np.bool_]:
        """Return which rows the lab file leaves out."""
        skipped_ids = {nfc(self.reader.id_of(id)): id for id in self.own_set.source.skip}
        ids = [nfc(id) for id in side.ids]
        if unknown := sorted(skipped_ids.keys() - set(ids)):
            raise DataError(
                f"task '{self.own_set.task.name}' has no item '{skipped_ids[unknown[0]]}' to skip",
                fix="ids are what the column of ids says, else the names of files"
                + (", or ids of embeddings" if self.own_set.by_id else ""),
                task=self.own_set.task.name,
            )
        return np.array([id in skipped_ids for id in ids], np.bool_)

    def corpus(self, side: Side, part: CorpusPart, kept: NDArray[np.bool_]) -> SourceCorpus:
        """Return the usable rows of a part among those that are kept."""
        left_out = frozenset(part.ids(np.flatnonzero(~kept)))
        return SourceCorpus(
            f"{self.own_set.task.name} {side.modality}",
            side.modality,
            [(part, replace(self.own_set.source, skip=left_out))],
            tables=self._tables,
            section=f"tasks.{self.own_set.task.name}",
        )


def _retrieval(scan: _Scan) -> RetrievalData:
    left, right = scan.reader.pairs()
    remarks = [*scan.reader.remarks, *shared_files(left)]
    left_part, right_part = scan.part(left, remarks), scan.part(right)
    row_of = {id: row for row, id in enumerate(left.ids)}
    owners = np.array([row_of[owner] for owner in right.owners], np.int64)
    unskipped = ~scan.skipped(left)
    paired_right = right_part.good & (left_part.good & unskipped)[owners]
    paired_left = np.isin(np.arange(len(left.ids)), owners[paired_right])
    if not paired_right.any():
        raise _no_pairs(scan, left_part, right_part)
    # What is damaged stays, to be counted; what lost its partner alone is only left out.
    lefts = scan.corpus(left, left_part, (paired_left | ~left_part.good) & unskipped)
    rights = scan.corpus(right, right_part, (paired_right | ~right_part.good) & unskipped[owners])
    # (n,) where each left item stands among those that are kept.
    new_row = np.cumsum(paired_left) - 1
    return RetrievalData(
        left=lefts, right=rights, owner=new_row[owners[paired_right]], expected=len(left.ids)
    )


def _no_pairs(scan: _Scan, *parts: CorpusPart) -> DataError:
    task = scan.own_set.task
    faults = []
    for part, modality in zip(parts, (task.query, task.other), strict=True):
        bad = np.flatnonzero(~part.good)
        if len(bad):
            why = part.table.strings("why").at(bad[:1])[0]
            place = part.places(bad[:1])[0]
            faults.append(f"{len(bad)} of {len(part)} {modality} items, {place}: {why}")
    return DataError(
        f"no item of task '{task.name}' has both {task.query} and {task.other} that can be used",
        why="; ".join(faults) or "all of them are skipped",
        fix=f"{scan.own_set.fix}{_or_the_files(scan.own_set)}",
        task=task.name,
    )


def _or_the_files(own_set: OwnSet) -> str:
    if len(own_set.by_id) == len(own_set.media) or own_set.table.endswith(".tar"):
        return ""
    elsewhere = "" if own_set.folder else "; if they lie elsewhere: --folder FOLDER, or folder"
    return f", or the files{elsewhere}{own_set.if_ids}"


def _labelled(scan: _Scan) -> ClassificationData | MultilabelData:
    side = scan.reader.labelled()
    classes = tuple(sorted({label for labels in side.labels for label in labels}))
    by_id = TEXT.name in scan.own_set.by_id
    odd = [] if by_id else odd_classes(classes)
    remarks = [*scan.reader.remarks, *odd, *unsplit_classes(scan.own_set, classes)]
    part, unskipped = scan.part(side, remarks), ~scan.skipped(side)
    try:
        queries = scan.corpus(side, part, unskipped)
    except DataError as error:
        error.fix += "" if part.good.any() else scan.own_set.if_ids
        raise
    number = {label: i for i, label in enumerate(classes)}
    rows = [
        [number[label] for label in side.labels[i]] for i in np.flatnonzero(part.good & unskipped)
    ]
    if scan.own_set.task.kind == "classification":
        labels = np.array([first for first, *_ in rows], np.int64)
        return ClassificationData(
            queries, labels, classes, expected=len(side.ids), classes_by_id=by_id
        )
    targets = np.zeros((len(rows), len(classes)), np.bool_)
    for i, row in enumerate(rows):
        targets[i, row] = True
    return MultilabelData(queries, targets, classes, len(side.ids), by_id)


def shared_files(side: Side) -> list[str]:
    """Say that items of several ids are one file: a column of captions' ids makes them so."""
    urls = [entry.url for entry in side.entries if entry is not None]
    n_files = len(set(urls))
    if n_files == len(urls):
        return []
    return [
        f"{len(urls)} items are {n_files} files: what belongs to a file counts as wrong for its "
        "other ids; if they are ids of captions, leave the column of ids out"
    ]


def odd_classes(classes: Sequence[str]) -> list[str]:
    """Say what is probably not meant about classes, which are scored as they are written."""
    remarks = []
    if classes and all(_NUMBER.fullmatch(name) for name in classes):
        shown = ", ".join(f"'{name}'" for name in classes[:3])
        remarks.append(
            f"its classes are numbers ({shown}{', ...' if len(classes) > 3 else ''}), and prompts "
            "call them so: name the column that has their names"
        )
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(" ".join(name.casefold().split()), []).append(name)
    twins = [names for names in alike.values() if len(names) > 1]
    if twins:
        shown = " and ".join(f"'{name}'" for name in twins[0])
        more = f", and so do {len(twins) - 1} more" if len(twins) > 1 else ""
        remarks.append(
            f"the classes {shown} differ in case or blanks alone{more}: scored as different"
        )
    return remarks


def unsplit_classes(own_set: OwnSet, classes: Sequence[str]) -> list[str]:
    """Say that fields of a table look like several classes each, and were read as one.

    A sign is taken to separate classes where most parts of the fields that have it stand in other
    fields, too: 'dog|rain' beside 'dog' and 'rain|wind'. 'tub, vat' beside 'crane, bird' is whole.
    """
    if own_set.separator:
        return []
    for sign in _SEPARATORS:
        joined = [name for name in classes if sign in name]
        fields = Counter(part for name in classes for part in {*map(str.strip, name.split(sign))})
        parts = {part.strip() for name in joined for part in name.split(sign)}
        if 2 * sum(fields[part] > 1 for part in parts) > len(parts):
            return [
                f"{len(joined)} of {len(classes)} classes have '{sign}' in them ('{joined[0]}'), "
                f'and each is scored as one; if it is several: separator = "{sign}" (multilabel)'
            ]
    return []


_SEPARATORS = "|;,"
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")
