"""Rows of any table (csv, tsv, jsonl, parquet) with the values of several columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MolspaceError
from reactions.core.storage import open_binary
from reactions.core.text_lines import MAX_LINE_BYTES, NoLinesError, read_lines
from reactions.core.transient import TransientError, run_again
from reactions.data.delimited import TOO_LONG
from reactions.data.sources.caption_parquet import read_parquet
from reactions.data.sources.caption_tables import read_table
from reactions.data.sources.captions import TABLES, check_options, parse_json, row_id, suffix_of
from reactions.data.sources.config import Source

SUFFIXES = (*TABLES, ".jsonl", ".ndjson", ".parquet")


class TableRow(NamedTuple):
    """A row, as far as it can be read.

    Attributes:
        place: file and line, or number of the row.
        id: what the column of ids says; "" without one, or if ``why`` is set.
        values: of the columns, in order; () if ``why`` is set.
        why: what is wrong with it, lower case, no full stop.
    """

    place: str
    id: str = ""
    values: Sequence[Any] = ()
    why: str = ""


def read_table_rows(file: Entry, source: Source, remarks: list[str]) -> Iterator[TableRow]:
    """Yield the rows of a table; blank lines between them give none.

    Args:
        file: one of ``SUFFIXES``.
        source: columns, at least one; the column of ids, if any; how csv is written.
        remarks: gets a sentence for each thing that was guessed.

    Raises:
        DataError: the table is damaged, or lacks a column.
        MissingError: pyarrow is not installed.
        UsageError: the source says of a csv what this table does not have.
        TransientError: it could not be read just now.
    """
    check_options(file, source)
    with open_binary(file.url) as stream:
        try:
            yield from _read(file, stream, source, remarks)
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
    if suffix in TABLES:
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
        fields: dict[str | int, Any] = record if isinstance(record, dict) else {}
        if not why and not fields:
            why = "it is not a JSON object with fields"
        lacking = [str(name) for name in source.columns if name not in fields]
        if lacking and not why:
            why = f"it has no '{lacking[0]}'"
        values = [fields.get(name) for name in source.columns]
        place = f"{file.url}:{number}"
        yield _row(place, source, number, fields.get(source.id_column), values, why)


def _row(
    place: str, source: Source, number: int, id: Any, values: Sequence[Any], why: str = ""
) -> TableRow:
    name = ""
    if not why and source.id_column != "":
        name, why = row_id({source.id_column: id}, source.id_column, number)
    return TableRow(place, why=why) if why else TableRow(place, name, values)


def _unusable(file: Entry, why: str, fix: str = "copy it again") -> DataError:
    return DataError(f"cannot read the table '{file.url}'", why=why, fix=fix, path=file.url)
