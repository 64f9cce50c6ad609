"""Values of the records of captions: texts, ids, JSON; and what may be said of which files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from reactions.core.addresses import Entry
from reactions.core.errors import UsageError
from reactions.core.text_lines import MAX_LINE_BYTES, NOT_UTF8
from reactions.data.delimited import TOO_LONG
from reactions.data.sources.config import COLUMNS, Source

TABLES: Final = (".csv", ".tsv")
_EMPTY: Final = "empty"


def suffix_of(file: Entry) -> str:
    """Return a file's ending, which says how it is read."""
    return "." + file.name.rpartition(".")[2].lower()


def check_options(file: Entry, source: Source) -> None:
    """Check that what a source says can be said of a file.

    Raises:
        UsageError: it has an option of tables, and the file is not a table.
    """
    suffix = suffix_of(file)
    if source.where and suffix == ".tar":
        raise UsageError(
            f"where says nothing about '{file.url}'",
            why="it chooses rows of a table, and shards have none",
            fix="remove it, or give each kind of file its own table of options",
            path=file.url,
        )
    columns = [c for c in (*source.columns, source.id_column) if isinstance(c, int)]
    table_options = {
        "header": not source.header,
        "delimiter": source.delimiter != "",
        "quoted": source.quoted is not None,
    }
    option = next(
        (key for key, is_set in table_options.items() if is_set and suffix not in TABLES), ""
    )
    if option or (columns and suffix not in (*TABLES, ".parquet")):
        raise UsageError(
            f"{option or 'a column given by its number'} says nothing about '{file.url}'",
            why=f"it is for files that end in {' or '.join(TABLES)}",
            fix="remove it, or give each kind of file its own table of options",
            path=file.url,
        )


def captions_in(value: Any, columns: Sequence[str | int] = ()) -> list[tuple[str, str]]:
    """Return the captions of a value, each with the reason it cannot be used, or "".

    Args:
        value: a text, UTF-8 bytes, a list of texts, or a record of them.
        columns: which of a record; the first usual name that it has if none is given.
    """
    if isinstance(value, Mapping):
        names = columns or tuple(name for name in COLUMNS if name in value)[:1]
        if not names:
            return [("", f"no caption among {', '.join(map(str, islice(value, 5)))}")]
        pairs = [pair for name in names for pair in captions_in(value.get(name))]
        # Where some of several columns are empty, the others are captions all the same.
        return [pair for pair in pairs if pair != ("", _EMPTY)] or [("", _EMPTY)]
    if isinstance(value, list):
        return [pair for part in value for pair in captions_in(part)] or [("", _EMPTY)]
    if value is None:
        return [("", _EMPTY)]
    if isinstance(value, bytes):
        if len(value) > MAX_LINE_BYTES:
            return [("", TOO_LONG)]
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        return [("", f"{str(value)[:40]!r} is not text")]
    if len(value) > MAX_LINE_BYTES:
        return [("", TOO_LONG)]
    text = value.strip()
    if "\0" in text:
        return [("", "it holds a NUL byte; is this UTF-16, or not text at all?")]
    try:
        text.encode()
    except UnicodeEncodeError:
        return [("", NOT_UTF8)]
    return [(text, "")] if text else [("", _EMPTY)]


def parse_json(data: bytes) -> tuple[Any, str]:
    """Return a JSON value, or None and the reason there is none."""
    try:
        value = json.loads(data, object_pairs_hook=_unique)
    except UnicodeDecodeError:
        return None, NOT_UTF8
    except (ValueError, RecursionError) as error:
        return None, f"not JSON ({error})"
    return (value, "") if value is not None else (None, _EMPTY)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key is repeated")
    return record


def row_id(record: Any, column: str | int, number: int) -> tuple[str, str]:
    """Return a row's id, or its number and the reason it has none."""
    if column == "":
        return str(number), ""
    id = record.get(column) if isinstance(record, Mapping) else None
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        return str(number), f"no id in '{column}'"
    try:
        text = str(id)  # refuses whole numbers of thousands of digits
        text.encode()
    except ValueError:
        return str(number), f"the id in '{column}' is not UTF-8, or too long"
    if "\0" in text:
        return str(number), f"the id in '{column}' holds a NUL byte"
    return text, ""
