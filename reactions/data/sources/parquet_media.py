"""Media in parquet files as parts of a corpus: a digest and a verdict for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MediaError
from reactions.core.hashing import bytes_digest, digest
from reactions.core.storage import open_binary
from reactions.core.transient import TransientError, look_at_all, run_again
from reactions.core.types import Modality
from reactions.data.media_columns import check_media_column, find_media_column
from reactions.data.media_structs import value_of
from reactions.data.parquet_cells import ParquetCell
from reactions.data.parquet_rows import ParquetTable
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.caption_tables import column_numbers
from reactions.data.sources.captions import keep_apart, prefixes_of
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.files import looking
from reactions.data.sources.parts import CorpusPart, no_items, signature_of
from reactions.data.sources.sides import Side, named_file, side_part
from reactions.data.sources.text_values import row_id
from reactions.modalities.base import CheckDepth, at_least
from reactions.modalities.encoded import too_large
from reactions.modalities.registry import check, check_version

_VERSION: Final = 1
_BATCH_ROWS: Final = 256
_BATCH_BYTES: Final = 1 << 26
"""Rows looked at side by side: so many, or so large."""

BESIDE: Final = -1
"""Stands for the size of an item that lies in a file of its own."""


class FoundMedia(NamedTuple):
    """Where an item is: in a field, in a file of its own, or nowhere, with the reason.

    Its ``name`` is what the row says that its file is, or was, called; "" where it says nothing.
    Where the field itself cannot be used, ``held`` tells it from others: by the digest of its
    bytes, or by the reason.
    """

    place: str
    name: str = ""
    cell: ParquetCell | None = None
    entry: Entry | None = None
    why: str = ""
    held: str = ""


@dataclass(frozen=True)
class MediaRows:
    """What a scan found in a column of media, row by row.

    Attributes:
        column: its name.
        table: columns ``id``, ``numbered``, ``name``, ``size``, ``tag`` and ``why``. A row with a
            ``name`` and a size of ``BESIDE`` lies in a file of that name.
        file: which was scanned.
    """

    column: str
    table: ScanTable
    file: Entry

    def items(self) -> Iterator[FoundMedia]:
        """Yield where each row's item is; files that rows name are looked for."""
        columns = ("name", "tag", "why")
        rows = zip(
            *map(self.table.strings, columns), self.table.numbers("size").tolist(), strict=True
        )
        for row, (name, tag, why, size) in enumerate(rows):
            place = f"{self.file.url}:{row + 1}"
            if why:
                yield FoundMedia(place, name, why=why, held="" if size == BESIDE else tag or why)
            elif size == BESIDE:
                entry, why = named_file(name, self.file, stays_beside=True)
                yield FoundMedia(
                    place, name, entry=entry, why=why and f"it has no bytes, and {why}"
                )
            else:
                cell = ParquetCell(
                    self.file.url, size_bytes=size, tag=tag, row=row, column=self.column
                )
                yield FoundMedia(place, name, cell=cell)


def scan_media(
    file: Entry,
    modality: Modality,
    *,
    column: str | int | None = None,
    id_column: str | int = "",
    tables: TableCache,
    depth: CheckDepth = "header",
    on_progress: OnProgress = silent,
    remarks: list[str],
) -> MediaRows:
    """Look at every row of a column of media, or find it looked at.

    Args:
        file: a parquet file.
        modality: of the items.
        column: of ``{bytes, path}`` structs, bytes or names of files; None looks for it.
        id_column: of the rows' ids; "" numbers them from 1.
        tables: remembers what earlier runs found.
        depth: how hard to look for damage; a harder look is not forgotten.
        on_progress: of the progress.
        remarks: gets a sentence where the column was guessed.

    Raises:
        DataError: the file is damaged, or lacks a column.
        MissingError: pyarrow is not installed.
        TransientError: it could not be read just now.
    """
    signature = signature_of([file.stamp])
    for check_depth in at_least(depth):
        by = [file.url, modality, column, id_column, check_depth, check_version(modality), _VERSION]
        cached = "parquet-" + digest("scan", by)[:32]
        if (table := tables.get(cached, signature)) is not None:
            break
    else:
        try:
            scan = _Scan(file, modality, depth, on_progress)
            table = scan.table(column, id_column)
        except (OSError, MemoryError) as error:
            raise run_again(file.url, error) from error
        table = tables.put(cached, signature, table)
    remarks += table.facts["remarks"]
    return MediaRows(str(table.facts["column"]), table, file)


class _Look(NamedTuple):
    """What is looked at: an item's bytes, or the reason there are none."""

    data: bytes
    why: str


class _Scan:
    """What reads a file once, in order."""

    def __init__(
        self, file: Entry, modality: Modality, depth: CheckDepth, on_progress: OnProgress
    ) -> None:
        self._file = file
        self._modality = modality
        self._depth = depth
        self._on_progress = on_progress
        self._ids: list[str] = []
        self._numbered: list[bool] = []
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._tags: list[str] = []
        self._whys: list[str] = []

    def table(self, column: str | int | None, id_column: str | int) -> ScanTable:
        remarks: list[str] = []
        with open_binary(self._file.url) as stream:
            table = ParquetTable(self._file, stream, f"{self._modality} items")
            header = table.schema.names
            if column is None:
                name = find_media_column(self._file, table.schema, self._modality, remarks)
            else:
                name = header[column_numbers(self._file, header, (column,))[0]]
            kind = check_media_column(self._file, table.schema, name)
            ids = () if id_column == "" else column_numbers(self._file, header, (id_column,))
            names = [name, *(header[i] for i in ids)]
            n_rows = sum(table.group_rows)
            with looking() as pool:
                for batch in self._batches(table.rows(names), names, id_column, kind == "string"):
                    self._on_progress(self._file.name, len(self._ids) - len(batch), n_rows)
                    for tag, why in look_at_all(pool, self._look, batch):
                        self._tags.append(tag)
                        self._whys.append(why)
        self._on_progress(self._file.name, n_rows, n_rows)
        columns: dict[str, Any] = {
            "id": Strings.pack(self._ids),
            "numbered": np.array(self._numbered, np.bool_),
            "name": Strings.pack(self._names),
            "size": np.array(self._sizes, np.int64),
            "tag": Strings.pack(self._tags),
            "why": Strings.pack(self._whys),
        }
        return ScanTable(columns, {"column": name, "remarks": remarks})

    def _batches(
        self, rows: Iterator[dict[str, Any]], names: Sequence[str], id_column: str | int, text: bool
    ) -> Iterator[list[_Look]]:
        batch: list[_Look] = []
        held_bytes = 0
        for number, values in enumerate(rows, start=1):
            id, fault = row_id({id_column: values[names[-1]]}, id_column, number)
            data, name, why = self._value(values[names[0]], text)
            beside = not data and not why
            self._ids.append(id)
            self._numbered.append(bool(fault) or id_column == "")
            self._names.append(name)
            self._sizes.append(BESIDE if beside else len(data))
            batch.append(_Look(data, why or fault))
            held_bytes += len(data)
            if len(batch) >= _BATCH_ROWS or held_bytes >= _BATCH_BYTES:
                yield batch
                batch, held_bytes = [], 0
        yield batch

    def _value(self, value: Any, text: bool) -> tuple[bytes, str, str]:
        """Return a field's bytes, its name of a file, and why it has neither."""
        if isinstance(value, bytes):
            value = {"bytes": value}
        elif text and isinstance(value, str):
            value = {"path": value}
        if not isinstance(value, dict):
            return b"", "", f"the row has no {self._modality}"
        name = value.get("path")
        name = name if isinstance(name, str) else ""
        try:
            content = value_of(value, self._modality)
        except MediaError as error:
            return b"", name, error.what
        return (content, name, "") if isinstance(content, bytes) else (b"", name, "")

    def _look(self, look: _Look) -> tuple[str, str]:
        """Return an item's tagged digest, and why it cannot be used."""
        if look.why or not look.data:
            return "", look.why
        try:
            why = too_large(len(look.data)) or check(self._modality, look.data, self._depth)
        except TransientError as error:
            raise run_again(self._file.url, error) from error
        return f"file:{bytes_digest(look.data)}", why


# --- a corpus ----------------------------------------------------------------------------


def parquet_part(
    name: str,
    files: Sequence[Entry],
    modality: Modality,
    source: Source,
    *,
    tables: TableCache,
    on_progress: OnProgress = silent,
) -> CorpusPart:
    """Return the rows of parquet files that hold media.

    Ids are what the id column says, else row numbers from 1; with several files the file's name
    stands before them, as it does before those of captions.

    Args:
        name: of the part.
        files: the files, in order.
        modality: not text.
        source: columns and depth.
        tables: remembers what earlier runs found.
        on_progress: of the progress.

    Raises:
        DataError: a file is damaged, lacks a column or has no rows, or an id is repeated.
        MissingError: pyarrow is not installed.
        TransientError: one could not be read just now.
    """
    column = source.columns[0] if source.columns else None
    if len(source.columns) > 1:
        raise DataError(
            f"{len(source.columns)} columns are named for {modality}",
            why="an item lies in one",
            fix=f'column = "{source.columns[0]}"',
        )
    side = Side(modality)
    remarks: list[str] = []
    numbered: list[bool] = []
    for file, prefix in zip(files, prefixes_of(files), strict=True):
        scan = scan_media(
            file,
            modality,
            column=column,
            id_column=source.id_column,
            tables=tables,
            depth=source.check,
            on_progress=on_progress,
            remarks=remarks,
        )
        # What was found in the first file is what is read from all of them.
        column = scan.column
        for id, media in zip(scan.table.strings("id"), scan.items(), strict=True):
            side.add(prefix + id, media.place, entry=media.entry, cell=media.cell, why=media.why)
        numbered += scan.table.numbers("numbered").tolist()
    if not side.ids:
        raise no_items(modality, name, "it has no rows", "remove it from the corpus")
    if source.id_column != "":
        keep_apart(side.ids, [row for row, is_number in enumerate(numbered) if is_number])
    return side_part(
        name,
        side,
        key=f"parquet {column} {' '.join(file.url for file in files)}",
        tables=tables,
        depth=source.check,
        on_progress=on_progress,
        remarks=remarks,
        own_ids=not any(numbered) or (not all(numbered) and ~np.array(numbered, np.bool_)),
    )
