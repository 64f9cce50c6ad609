"""The columns of a table on this machine."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.local_files import exists, is_dir
from reactions.core.storage import entry_of, open_binary
from reactions.core.text_lines import MAX_LINE_BYTES, read_lines
from reactions.data.delimited import DELIMITERS, Dialect
from reactions.data.parquet_rows import ParquetTable
from reactions.data.sources.json_records import columns_of, read_json_records
from reactions.data.sources.table_rows import ANNOTATIONS, SUFFIXES
from reactions.data.sources.text_values import TABLES, parse_json
from reactions.data.sources.token_files import COLUMNS, lists_tokens
from reactions.data.unmarked_tables import FIRST_LINES, why_a_table

_FOLDER_FIX: Final = "folders of files are described in a lab file: [tasks.NAME], docs/own-data.md"


def header_of(table: Path) -> list[str]:
    """Return the names of a table's columns; of records, also of nested fields, by dots.

    Raises:
        MissingError: there is no such file, or pyarrow is not installed.
        UsageError: it is not a table.
        DataError: it cannot be read.
    """
    if not exists(table):
        raise MissingError(f"no table at '{table}'", fix="correct the path", path=str(table))
    suffix = table.suffix.lower()
    if is_dir(table) or suffix not in (*SUFFIXES, *ANNOTATIONS):
        raise UsageError(
            f"'{table}' is not a table",
            why=f"it does not end in {', '.join((*SUFFIXES, *ANNOTATIONS))}",
            fix=_FOLDER_FIX,
        )
    if suffix == ".parquet":
        entry = entry_of(table)
        with open_binary(entry.url) as stream:
            return list(ParquetTable(entry, stream, "rows").schema.names)
    if suffix in ANNOTATIONS:
        with open_binary(str(table)) as stream:
            if suffix == ".json":
                return list(read_json_records(entry_of(table), stream).columns)
            if lists_tokens(stream):
                return list(COLUMNS)
    return _names(table, suffix)


def _names(table: Path, suffix: str) -> list[str]:
    try:
        with table.open("rb") as stream:
            lines = (line for _, line in read_lines(stream) if line.strip())
            first = next(lines, b"")
            ahead = [line.decode(errors="replace") for line in islice(lines, FIRST_LINES)]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise _unreadable(table, str(error)) from error
    if not first or len(first) > MAX_LINE_BYTES:
        blank = "it holds no text" if table.stat().st_size else "it is empty"
        raise _unreadable(table, "its first line has no end" if first else blank)
    if suffix not in (*TABLES, *ANNOTATIONS):
        record, why = parse_json(first)
        if why or not isinstance(record, dict):
            raise _unreadable(table, why or "its first line is not a JSON object")
        return list(columns_of([record]))
    try:
        text = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _unreadable(table, "its first line is not UTF-8") from None
    if suffix in ANNOTATIONS and not why_a_table([text, *ahead]):
        raise UsageError(
            f"'{table}' is not a table",
            why=f"its first line does not name columns: '{text[:80]}'",
            fix="give a table whose first line does, such as image,caption",
        )
    delimiter = "\t" if suffix == ".tsv" else max(DELIMITERS, key=text.count)
    try:
        names = Dialect(delimiter, quoted=suffix != ".tsv").fields_of(text)
    except Exception as error:
        raise _unreadable(table, str(error)) from error
    return [name.strip() for name in names]


def _unreadable(table: Path, why: str) -> DataError:
    return DataError(f"cannot read '{table}'", why=why, path=str(table))
