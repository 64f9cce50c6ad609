"""Rows of tables whose columns may hold media themselves, as parquet files' do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from reactions.core.addresses import Entry
from reactions.core.storage import open_binary
from reactions.core.types import Modality
from reactions.data.media_columns import column_kind
from reactions.data.parquet_rows import ParquetTable
from reactions.data.scan_cache import TableCache
from reactions.data.sources.caption_tables import column_numbers
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.parquet_media import FoundMedia, scan_media
from reactions.data.sources.row_plan import RowPlan, composed_of
from reactions.data.sources.table_row import TableRow
from reactions.data.sources.table_rows import read_table_rows
from reactions.data.sources.text_values import suffix_of
from reactions.modalities.registry import get


def read_media_rows(
    file: Entry,
    source: Source,
    modalities: Sequence[Modality | None],
    *,
    tables: TableCache | None,
    on_progress: OnProgress = silent,
    remarks: list[str],
) -> Iterator[TableRow]:
    """Yield the rows of a table; in place of media that lie in it stands what was found of them.

    Args:
        file: as ``read_table_rows`` takes it.
        source: columns, at least one; the column of ids, if any; how csv is written; depth.
        modalities: for each of the columns; None where it holds no media.
        tables: remembers what earlier scans found; None looks at no media.
        on_progress: of the progress of scans.
        remarks: gets a sentence for each thing that was guessed.

    Yields:
        Rows whose values are ``FoundMedia`` in columns of ``{bytes, path}`` structs and bytes.

    Raises:
        DataError: the table is damaged, or lacks a column.
        MissingError: pyarrow is not installed.
        UsageError: the source says of a csv what this table does not have.
        TransientError: it could not be read just now.
    """
    plan = RowPlan.of(source)
    media = {
        c: m for c, m in zip(source.columns, modalities, strict=True) if m and not get(m).inline
    }
    rows = _plain_rows(
        file,
        replace(source, columns=plan.plain, where=()),
        [media.get(column) for column in plan.plain],
        tables=tables,
        on_progress=on_progress,
        remarks=remarks,
    )
    yield from rows if plan.is_plain else plan.rows(rows, file, remarks)


def _plain_rows(
    file: Entry,
    source: Source,
    modalities: Sequence[Modality | None],
    *,
    tables: TableCache | None,
    on_progress: OnProgress,
    remarks: list[str],
) -> Iterator[TableRow]:
    names, n_rows = _media_columns_and_rows(file, source, modalities)
    if not any(names):
        yield from read_table_rows(file, source, remarks)
        return
    media_columns: list[Iterator[FoundMedia]] = []
    for name, modality in zip(names, modalities, strict=True):
        if name and modality and tables is not None:
            scan = scan_media(
                file,
                modality,
                column=name,
                tables=tables,
                depth=source.check,
                on_progress=on_progress,
                remarks=remarks,
            )
            media_columns.append(scan.items())
    plain = [c for c, name in zip(source.columns, names, strict=True) if not name]
    rows: Iterator[TableRow]
    if plain or source.id_column != "":
        columns = tuple(plain) or (source.id_column,)
        rows = read_table_rows(file, replace(source, columns=columns), remarks)
    else:
        rows = (TableRow(f"{file.url}:{number}") for number in range(1, n_rows + 1))
    nowhere = FoundMedia("")
    for row in rows:
        media = iter([next(column) for column in media_columns])
        if row.why:
            yield row
            continue
        values = iter(row.values)
        yield row._replace(
            values=[next(media, nowhere) if name else next(values) for name in names]
        )


def media_columns(file: Entry, source: Source, modalities: Sequence[Modality | None]) -> list[str]:
    """Return for each column of a table its name if media lie in it themselves, else "".

    Args:
        file: the table.
        source: columns.
        modalities: for each of the columns; None where it holds no media.

    Raises:
        DataError: the table is damaged, or lacks a column.
        MissingError: pyarrow is not installed.
    """
    return _media_columns_and_rows(file, source, modalities)[0]


def _media_columns_and_rows(
    file: Entry, source: Source, modalities: Sequence[Modality | None]
) -> tuple[list[str], int]:
    """Return the same, and the number of rows if there are such columns."""
    if suffix_of(file) != ".parquet" or all(m is None or get(m).inline for m in modalities):
        return [""] * len(source.columns), 0
    with open_binary(file.url) as stream:
        table = ParquetTable(file, stream, "rows")
    header = table.schema.names
    names = [
        "" if composed_of(column) else header[column_numbers(file, header, (column,))[0]]
        for column in source.columns
    ]
    is_media = [
        modality is not None
        and not get(modality).inline
        and name != ""
        and column_kind(table.schema, name) in ("struct", "bytes")
        for name, modality in zip(names, modalities, strict=True)
    ]
    media_names = [name if is_held else "" for name, is_held in zip(names, is_media, strict=True)]
    return media_names, sum(table.group_rows)
