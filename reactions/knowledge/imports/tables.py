"""Tables of descriptions: csv, tsv, jsonl and parquet with the paper's four columns.

Source: UniBind, supplement A.3: ID, Category, Description, Source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MissingError, UsageError, guarded, suggestion
from reactions.core.extras import install_extra
from reactions.core.local_files import check_regular, exists
from reactions.core.storage import entry_of, open_binary
from reactions.core.text_lines import MAX_LINE_BYTES, read_lines
from reactions.core.types import Modality
from reactions.data.delimited import TOO_LONG
from reactions.data.path_like import file_reason
from reactions.data.sources.config import Source
from reactions.data.sources.table_rows import SUFFIXES, read_table_rows
from reactions.data.sources.text_values import parse_json
from reactions.knowledge.base import COLUMNS, LLM, MLLM, PROVENANCES, Description
from reactions.knowledge.files import MAX_SEED, MAX_TEXT_CHARACTERS
from reactions.knowledge.imports.imported import (
    EntriesRead,
    ImportedRows,
    file_list,
    refuse_other_categories,
)

_LEAST = ("category", "description")
"""Columns that a table needs: rows get ids, and ``Defaults`` says the source."""

_SEED = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is true of all rows where a table does not say it.

    Attributes:
        source: one of ``PROVENANCES``; what the table's own column says is then the model.
        modality: of the items that are described.
        model: that wrote the descriptions.
        prompt: that it was asked with.
    """

    source: str = ""
    modality: Modality = ""
    model: str = ""
    prompt: str = ""


def read_tables(files: Sequence[Path], defaults: Defaults) -> ImportedRows:
    """Read tables as rows of a knowledge base.

    Args:
        files: csv, tsv, jsonl or parquet, whose columns are those of a knowledge base in any
            case: category and description, and any of the others.
        defaults: what they do not say.

    Returns:
        The rows; rows without an id are numbered within their category.

    Raises:
        MissingError: a file is not there, or pyarrow is not installed.
        UsageError: it is not a table.
        DataError: it cannot be read or lacks a column, many rows cannot be used, or an item has
            several categories.
    """
    if defaults.source and defaults.source not in PROVENANCES:
        what = f"--source: '{defaults.source}' is not a source"
        raise UsageError(what, fix=suggestion(defaults.source, PROVENANCES))
    counts, remarks = EntriesRead(), list[str]()
    rows: list[Description] = []
    numbered: dict[str, int] = {}
    for path in files:
        ignored: dict[str, None] = {}
        for record in _records(path, ignored, remarks):
            counts.n += 1
            try:
                read = _row(record, defaults, numbered)
            except DataError as error:
                counts.bad(record.place, error.what, error.fix)
                continue
            if read.description.strip():
                rows.append(read)
            else:
                counts.dropped["blank"] += 1
        if ignored:
            remarks.append(f"'{path.name}': not read: {', '.join(ignored)}")
    what = file_list(files)
    counts.check(what)
    if not rows:
        raise DataError(f"there is nothing to import in {what}", why="no row has a description")
    refuse_other_categories(rows, what)
    if numbered:
        n = sum(numbered.values())
        remarks.append(f"rows without an id, numbered within their category: {n:,}")
    remarks += counts.remarks(what)
    return ImportedRows(tuple(rows), dict(counts.dropped), tuple(remarks))


class _TableRecord(NamedTuple):
    """A row as a table has it.

    Attributes:
        place: file and line, or number of the row.
        values: by our columns, those that the table has.
        why: what is wrong with it; "" if nothing is.
    """

    place: str
    values: Mapping[str, Any]
    why: str = ""


def _records(path: Path, ignored: dict[str, None], remarks: list[str]) -> Iterator[_TableRecord]:
    """Yield the rows of a table; ``ignored`` gets its other columns.

    Raises:
        MissingError: it is not there, or pyarrow is not installed.
        UsageError: it is not a table.
        DataError: it cannot be read, or lacks a column.
    """
    if not exists(path):
        raise MissingError(f"there is nothing at '{path}'", fix="check the path", path=str(path))
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"'{path}' is not a table",
            why=f"its name does not end in {' or '.join(SUFFIXES)}",
            fix="UniBind's JSON: molspace kb import unibind"
            if suffix == ".json"
            else "save it as csv or jsonl",
            path=str(path),
        )
    check_regular(path, path.stat().st_mode)
    if suffix in (".jsonl", ".ndjson"):
        yield from _json_records(path, ignored)
        return
    entry = entry_of(path)
    header = _header(entry, suffix)
    spellings = _spellings(header)
    ignored |= dict.fromkeys(name for name in header if name not in spellings.values())
    for column in _LEAST:
        if column not in spellings:
            raise _lacks(path, column, header)
    source = Source(columns=tuple(spellings.values()))
    for row in read_table_rows(entry, source, remarks):
        values = dict(zip(spellings, row.values, strict=True)) if not row.why else {}
        yield _TableRecord(row.place, values, row.why)


def _json_records(path: Path, ignored: dict[str, None]) -> Iterator[_TableRecord]:
    with open_binary(str(path)) as stream, guarded(partial(_unreadable, path)):
        for number, line in read_lines(stream):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            record, why = parse_json(line) if len(line) <= MAX_LINE_BYTES else (None, TOO_LONG)
            if why or not isinstance(record, dict):
                yield _TableRecord(place, {}, why or "it is not a JSON object")
                continue
            # Each line has keys of its own, and leaves out what is empty.
            spellings = _spellings(list(record))
            ignored |= dict.fromkeys(key for key in record if key not in spellings.values())
            lacking = next((f"it has no '{c}'" for c in _LEAST if c not in spellings), "")
            values = {column: record[key] for column, key in spellings.items()}
            yield _TableRecord(place, values, lacking)


def _spellings(header: Sequence[str]) -> dict[str, str]:
    """Return our columns that a table has, with how they are spelled there."""
    spellings: dict[str, str] = {}
    for name in header:
        if (column := name.strip().lower()) in COLUMNS:
            spellings.setdefault(column, name)
    return spellings


def _lacks(path: Path, column: str, header: Sequence[str]) -> DataError:
    return DataError(
        f"'{path}' has no column '{column}'",
        why=f"its columns: {', '.join(header) or 'none'}",
        fix=f"rename one; a table has {', '.join(COLUMNS[:4])}, and any of "
        f"{', '.join(COLUMNS[4:])}",
        path=str(path),
    )


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"cannot read '{path}'", why=" ".join(str(error).split()), path=str(path))


def _header(entry: Entry, suffix: str) -> list[str]:
    with open_binary(entry.url) as stream, guarded(partial(_unreadable, Path(entry.url))):
        if suffix == ".parquet":
            try:
                from pyarrow import parquet
            except ImportError:
                raise MissingError(
                    f"cannot read '{entry.url}'",
                    why="pyarrow is not installed",
                    fix=install_extra("parquet"),
                ) from None
            return list(parquet.read_schema(stream).names)
        line = next((line for _, line in read_lines(stream) if line.strip()), b"")
        # Whatever stands between them: read_table_rows finds out what it is.
        names = re.split(r"[,;\t|]", line.decode("utf-8", "replace"))
        return [name.strip(' "') for name in names if name.strip(' "')]


def _row(row: _TableRecord, defaults: Defaults, numbered: dict[str, int]) -> Description:
    """Return a row of a table as one of a knowledge base; its id may be made up.

    Raises:
        DataError: it cannot be used.
    """
    if row.why:
        raise DataError(row.why)
    values = {name: _text(name, value) for name, value in row.values.items()}
    seed = values.pop("seed", "").strip()
    if seed and not (_SEED.fullmatch(seed) and abs(int(seed)) < MAX_SEED):
        raise DataError(f"the seed is '{seed[:20]}', not a whole number")
    row_source = values.get("source", "").strip()
    source = defaults.source or row_source
    if not source:
        raise DataError(
            "it has no source", fix="say it for all rows: --source LLM or --source MLLM"
        )
    if source not in PROVENANCES:
        raise DataError(
            f"the source is '{source[:40]}', none of {', '.join(PROVENANCES)}",
            fix="say what all rows are, and the column is the model: --source LLM (of categories) "
            "or --source MLLM (of items)",
        )
    model = values.get("model", "") or defaults.model
    if defaults.source and row_source and row_source not in PROVENANCES and not model:
        model = row_source  # the paper's table names who wrote a row
    modality = values.get("modality", "").strip()
    if not modality and source not in (LLM,):
        modality = defaults.modality if source == MLLM or defaults.source else modality
    if source == MLLM and not modality:
        raise DataError(
            "it describes an item, and nothing says of which modality",
            fix="--modality image, or another; or a column 'modality'",
        )
    category, id = values["category"], values.get("id", "")
    if not id.strip():
        if modality:
            raise DataError("an item's description has no id to look it up by")
        number = numbered.get(category, 0)
        numbered[category] = number + 1
        id = f"{category}/{number}"
    read = Description(
        id,
        category,
        values["description"],
        source,
        modality,
        model,
        values.get("prompt", "") or defaults.prompt,
        int(seed) if seed else None,
    )
    read.check("it cannot be looked up")
    if reason := file_reason(read.description):
        raise DataError(
            f"its description is '{read.description[:40]}', no sentence: {reason}",
            fix="give the column, or the table, that holds the descriptions themselves",
        )
    return read


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # ids, seeds and classes may be numbers
    if not isinstance(value, str):
        raise DataError(f"'{name}' is {type(value).__name__}, not a text")
    if len(value) > MAX_TEXT_CHARACTERS:
        raise DataError(f"'{name}' has {len(value):,} characters of {MAX_TEXT_CHARACTERS:,}")
    if not _is_unicode(value):
        raise DataError(f"'{name}' is not UTF-8", fix="save the table as UTF-8")
    return value


def _is_unicode(text: str) -> bool:
    """Return whether a text has no bytes that stand for themselves, which no file could hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
