"""Rows of any table (csv, tsv, jsonl, parquet, annotations) with the values of several columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MolspaceError
from reactions.core.storage import open_binary
from reactions.core.text_lines import MAX_LINE_BYTES, NoLinesError, read_lines
from reactions.core.transient import TransientError, run_again
from reactions.data.delimited import TOO_LONG
from reactions.data.sources.caption_parquet import read_parquet
from reactions.data.sources.caption_tables import column_numbers, read_table
from reactions.data.sources.config import Source
from reactions.data.sources.json_records import LACKING, read_json_records, value_at
from reactions.data.sources.row_plan import RowPlan
from reactions.data.sources.table_row import TableRow
from reactions.data.sources.text_values import TABLES, check_options, parse_json, row_id, suffix_of
from reactions.data.sources.token_files import COLUMNS, lists_tokens, read_tokens

SUFFIXES = (*TABLES, ".jsonl", ".ndjson", ".parquet")
ANNOTATIONS = (".json", ".txt", ".token")
"""Of tables, too, whose name alone does not say so."""


def read_table_rows(file: Entry, source: Source, remarks: list[str]) -> Iterator[TableRow]:
    """Yield the rows of a table; blank lines between them give none.

    Args:
        file: one of ``SUFFIXES`` or ``ANNOTATIONS``.
        source: columns, at least one, plain or composed (``row_plan``); the column of ids, if any;
            which rows are taken; how csv is written.
        remarks: gets a sentence for each thing that was guessed.

    Raises:
        DataError: the table is damaged, or lacks a column.
        MissingError: pyarrow is not installed.
        UsageError: the source says of a csv what this table does not have.
        TransientError: it could not be read just now.
    """
    check_options(file, source)
    plan = RowPlan.of(source)
    source = replace(source, columns=plan.plain)
    with open_binary(file.url) as stream:
        try:
            rows = _read(file, stream, source, remarks)
            yield from rows if plan.is_plain else plan.rows(rows, file, remarks)
        except (UnicodeDecodeError, NoLinesError) as error:
            raise _unusable(file, " ".join(str(error).split())) from error
        except OSError as error:
            raise run_again(file.url, error) from error
        except TransientError:
            raise
        except MolspaceError as error:
            # The readers are those of captions, and say so; here only their reason fits.
            if not error.what.startswith("cannot read captions from"):
                raise
            raise _unusable(file, error.why, error.fix) from error


def _read(file: Entry, stream: BinaryIO, source: Source, remarks: list[str]) -> Iterator[TableRow]:
    suffix = suffix_of(file)
    if suffix == ".json":
        yield from _json_document(file, stream, source, remarks)
    elif suffix in ANNOTATIONS and lists_tokens(stream):
        names = column_numbers(file, COLUMNS, source.columns)
        ids = () if source.id_column == "" else column_numbers(file, COLUMNS, (source.id_column,))
        for number, fields, why in read_tokens(stream):
            chosen = [] if why else [fields[i] for i in names]
            id = fields[ids[0]] if ids and not why else None
            yield _row(f"{file.url}:{number}", source, number, id, chosen, why)
    elif suffix in TABLES or suffix in ANNOTATIONS:
        for number, record in enumerate(read_table(file, stream, source, remarks), start=1):
            place = f"{file.url}:{record.line_number}"
            yield _row(place, source, number, record.id, record.captions, record.why)
    elif suffix == ".parquet":
        for number, (id, values) in enumerate(read_parquet(file, stream, source), start=1):
            yield _row(f"{file.url}:{number}", source, number, id, values)
    else:
        yield from _json_lines(file, stream, source)


def _json_lines(file: Entry, stream: BinaryIO, source: Source) -> Iterator[TableRow]:
    for number, line in read_lines(stream):
        if not line.strip():
            continue
        record, why = parse_json(line) if len(line) <= MAX_LINE_BYTES else (None, TOO_LONG)
        fields: dict[str, Any] = record if isinstance(record, dict) else {}
        if not why and not fields:
            why = "it is not a JSON object with fields"
        yield _record(f"{file.url}:{number}", source, number, fields, why)


def _json_document(
    file: Entry, stream: BinaryIO, source: Source, remarks: list[str]
) -> Iterator[TableRow]:
    document = read_json_records(file, stream)
    remarks.append(f"'{file.name}': {document.layout}")
    remarks += [f"'{file.name}': {remark}" for remark in document.remarks]
    for number, record in enumerate(document.records, start=1):
        why = record if isinstance(record, str) else ""
        fields = {} if isinstance(record, str) else record
        yield _record(f"{file.url}:{number}", source, number, fields, why)


def _record(
    place: str, source: Source, number: int, record: Mapping[str, Any], why: str
) -> TableRow:
    values = [value_at(record, str(name)) for name in source.columns]
    lacking = [name for name, v in zip(source.columns, values, strict=True) if v is LACKING]
    if lacking and not why:
        why = f"it has no '{lacking[0]}'"
    id = value_at(record, str(source.id_column)) if source.id_column != "" else None
    return _row(place, source, number, None if id is LACKING else id, values, why)


def _row(
    place: str, source: Source, number: int, id: Any, values: Sequence[Any], why: str = ""
) -> TableRow:
    name = ""
    if not why and source.id_column != "":
        name, why = row_id({source.id_column: id}, source.id_column, number)
    return TableRow(place, why=why) if why else TableRow(place, name, values)


def _unusable(file: Entry, why: str, fix: str = "copy it again") -> DataError:
    return DataError(f"cannot read the table '{file.url}'", why=why, fix=fix, path=file.url)
