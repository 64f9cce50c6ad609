"""Media corpora that tables list: a column of files' names, each file once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reactions.core.addresses import Entry, is_url
from reactions.core.errors import UsageError
from reactions.core.types import Modality
from reactions.data.column_names import FILE_NAMES, guessed
from reactions.data.scan_cache import TableCache
from reactions.data.sources.captions import prefixes_of
from reactions.data.sources.config import OnProgress, Source
from reactions.data.sources.parts import CorpusPart
from reactions.data.sources.sides import Side, file_name, named_file, set_apart, side_part
from reactions.data.sources.stems import Stems
from reactions.data.sources.table_headers import header_of
from reactions.data.sources.table_rows import read_table_rows

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")


def listed_part(
    name: str,
    files: Sequence[Entry],
    modality: Modality,
    source: Source,
    *,
    tables: TableCache,
    on_progress: OnProgress,
) -> CorpusPart:
    """Scan the files that tables name; those of several rows count once.

    Ids are what the column of ids says, else the files' names in the table; with several tables
    the table's name stands before them. Paths start beside the table.

    Args:
        name: of the part.
        files: the tables, on this machine.
        modality: of the files.
        source: the column of their names, one at most; the column of ids; depth.
        tables: remembers what earlier scans found.
        on_progress: of the progress.

    Raises:
        UsageError: it is not clear which column names the files, or a table lies elsewhere.
        DataError: a table cannot be read.
    """
    side, stems = Side(modality), Stems(modality)
    remarks: list[str] = []
    for file, prefix in zip(files, prefixes_of(files), strict=True):
        column = _column(file, modality, source, remarks)
        options = Source(columns=(column,), id_column=source.id_column)
        names: dict[str, str] = {}
        n_repeated = 0
        for row in read_table_rows(file, options, remarks):
            written, why = ("", row.why) if row.why else file_name(row.values[0])
            if why:
                side.add(f"{prefix}{set_apart(row.id or 'row', row)}", row.place, why=why)
                continue
            id = row.id or written
            if (first := names.get(id)) is not None:
                n_repeated += first == written
                if first != written:
                    why = f"its id is that of '{first}', which is another file"
                    side.add(f"{prefix}{set_apart(id, row)}", row.place, why=why)
                continue
            names[id] = written
            entry, why = named_file(written, file, stems=stems)
            side.add(f"{prefix}{id}", row.place, entry=entry, why=why)
        if n_repeated:
            remarks.append(f"'{file.name}': {n_repeated:,} rows name a file of a row before")
    return side_part(
        name,
        side,
        key=f"listed {modality} {' '.join(file.url for file in files)}",
        size_bytes=sum(file.size_bytes for file in files),
        tables=tables,
        depth=source.check,
        on_progress=on_progress,
        remarks=remarks,
    )


def _column(file: Entry, modality: Modality, source: Source, remarks: list[str]) -> str | int:
    """Return the column that names the files: the given one, or the one that is called so."""
    if is_url(file.url):
        raise UsageError(
            f"'{file.url}' is a table that lies elsewhere",
            why="a table names files of the machine that it lies on",
            fix="download both, and give the table's path; or give shards",
        )
    if len(source.columns) == 1:
        return source.columns[0]
    header = header_of(Path(file.url))
    named = guessed(header).get(modality, [])
    files = [name for name in header if name.casefold() in FILE_NAMES]
    found = named if named else files
    if source.columns or len(found) != 1:
        raise UsageError(
            f"which column of '{file.url}' names the {modality} files?",
            why=f"its columns: {', '.join(header)}",
            fix='name one: column = "..."',
        )
    remarks.append(f"'{file.name}': the files are those of the column '{found[0]}'")
    return found[0]
