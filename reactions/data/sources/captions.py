"""Captions in files: plain lines, csv, tsv, jsonl and parquet, packed once into a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from reactions.data.corpora import check_ids
from reactions.data.places import Entry, open_binary
from reactions.data.sources.parts import TextPart, signature_of
from reactions.data.sources.source import Source, Told, silent
from reactions.data.tables import Strings, Table, TableCache
from reactions.errors import DataError, MissingError, suggestion
from reactions.hashing import digest

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
COLUMNS = ("caption", "captions", "text", "texts", "sentence", "description", "title")
"""Where captions are looked for, the first that is there, when a lab file names no column."""

MAX_LINE_BYTES = 1 << 20
_VERSION = 1
_BATCH_ROWS = 4096
_TOLD_ROWS = 1 << 16


class _Row(NamedTuple):
    """A row of a file: its captions with the reason each cannot be used, or ""."""

    id: str
    place: str
    captions: list[tuple[str, str]]


def texts_part(
    name: str,
    files: Sequence[Entry],
    source: Source,
    *,
    tables: TableCache,
    told: Told = silent,
) -> TextPart:
    """Read captions, or find them read.

    Ids are what the id column says, else row numbers from 1 (lines of a plain text, where
    blank ones count but give no row); with several files the file's name stands before
    them. Several captions of one row are called ``id/0``, ``id/1``, ...

    Args:
        name: of the part.
        files: in order.
        source: columns.
        tables: remembers what earlier runs found.
        told: of the progress.

    Raises:
        DataError: a file is empty, damaged or lacks the column, or an id is repeated.
        MissingError: pyarrow is not installed.
    """
    options = [list(source.columns), source.id_column, _VERSION]
    cached = "texts-" + digest("scan", [[file.url for file in files], *options])[:32]
    signature = signature_of([digest("options", options), *(file.stamp for file in files)])
    table = tables.get(cached, signature)
    if table is None:
        table = _read(name, files, source, told)
        tables.put(cached, signature, table)
    own_ids = None if source.id_column else np.zeros(len(table), bool)
    return TextPart(name, table, signature, sum(file.size_bytes for file in files), own_ids)


def _read(name: str, files: Sequence[Entry], source: Source, told: Told) -> Table:
    ids: list[str] = []
    texts: list[str] = []
    places: list[str] = []
    whys: list[str] = []
    prefixes = _prefixes(files)
    for file, prefix in zip(files, prefixes, strict=True):
        n_before = len(ids)
        for row in _rows(file, source):
            for i, (text, why) in enumerate(row.captions):
                id = f"{prefix}{row.id}"
                ids.append(id if len(row.captions) == 1 else f"{id}/{i}")
                texts.append(text)
                places.append(row.place)
                whys.append(why)
                if len(ids) % _TOLD_ROWS == 0:
                    told(name, len(ids), 0)
        if len(ids) == n_before:
            raise DataError(
                f"no captions in '{file.url}'",
                why="it is empty" if file.size_bytes == 0 else "it holds no rows",
                fix="remove it from the corpus, or copy it again",
                path=file.url,
            )
    check_ids(name, "text", ids)
    told(name, len(ids), len(ids))
    return Table(
        {
            "id": Strings.pack(ids),
            "text": Strings.pack(texts),
            "place": Strings.pack(places),
            "why": Strings.pack(whys),
        }
    )


def _prefixes(files: Sequence[Entry]) -> list[str]:
    if len(files) == 1:
        return [""]
    stems = [file.name.rpartition(".")[0] or file.name for file in files]
    if len(set(stems)) < len(stems):
        stems = [str(number) for number in range(1, len(files) + 1)]
    return [f"{stem}/" for stem in stems]


def _rows(file: Entry, source: Source) -> Iterator[_Row]:
    suffix = "." + file.name.rpartition(".")[2].lower()
    with open_binary(file.url) as stream:
        if suffix == ".txt":
            yield from _lines(file, stream)
        elif suffix in (".csv", ".tsv"):
            yield from _csv(file, stream, source, "," if suffix == ".csv" else "\t")
        elif suffix == ".parquet":
            yield from _parquet(file, stream, source)
        else:
            yield from _jsonl(file, stream, source)


# --- formats -------------------------------------------------------------------------


def _read_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines in constant memory; what follows ``MAX_LINE_BYTES`` is dropped."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        while not line.endswith(b"\n") and (more := stream.readline(MAX_LINE_BYTES)):
            line = line[: MAX_LINE_BYTES + 1] + more[-1:]
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _lines(file: Entry, stream: BinaryIO) -> Iterator[_Row]:
    for number, line in _read_lines(stream):
        if line.strip():
            yield _Row(str(number), f"{file.url}:{number}", captions_in(line))


def _jsonl(file: Entry, stream: BinaryIO, source: Source) -> Iterator[_Row]:
    columns = source.columns
    for number, line in _read_lines(stream):
        if not line.strip():
            continue
        place = f"{file.url}:{number}"
        record, why = parse_json(line) if len(line) <= MAX_LINE_BYTES else (None, _TOO_LONG)
        if record is None:
            yield _Row(str(number), place, [("", why)])
            continue
        if not columns and isinstance(record, dict):
            columns = _columns(file, list(record), ())
        id, why = _id(record, source.id_column, number)
        yield _Row(id, place, [("", why)] if why else captions_in(record, columns))


def _csv(file: Entry, stream: BinaryIO, source: Source, delimiter: str) -> Iterator[_Row]:
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _table(file, csv.reader(text, delimiter=delimiter, strict=True), source)
    finally:
        text.detach()


def _table(file: Entry, reader: Any, source: Source) -> Iterator[_Row]:
    try:
        header = [name.strip() for name in next(reader, ())]
    except csv.Error as error:
        raise _unusable(file, str(error)) from None
    if not header:
        return
    columns = _columns(file, header, source.columns)
    if source.id_column:
        _columns(file, header, (source.id_column,))
    number = 0
    while True:
        place = f"{file.url}:{reader.line_num + 1}"
        try:
            fields = next(reader, None)
            why = ""
        except csv.Error as error:
            fields, why = [], f"no csv: {error}"
        if fields is None:
            break
        if not fields and not why:
            continue
        number += 1
        if not why and len(fields) != len(header):
            why = f"{len(fields)} fields, the header has {len(header)}"
        if why:
            yield _Row(str(number), place, [("", why)])
            continue
        record = dict(zip(header, fields, strict=True))
        id, why = _id(record, source.id_column, number)
        yield _Row(id, place, [("", why)] if why else captions_in(record, columns))


def _parquet(file: Entry, stream: BinaryIO, source: Source) -> Iterator[_Row]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingError(
            f"cannot read '{file.url}'",
            why="pyarrow is not installed",
            fix="pip install 'molspace[parquet]'",
            path=file.url,
        ) from None
    number = 0
    try:
        table = parquet.ParquetFile(stream)
        header = table.schema_arrow.names
        columns = _columns(file, header, source.columns)
        wanted = list(columns)
        if source.id_column:
            wanted += _columns(file, header, (source.id_column,))
        for batch in table.iter_batches(_BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
            for record in batch.to_pylist():
                number += 1
                id, why = _id(record, source.id_column, number)
                place = f"{file.url}:{number}"
                yield _Row(id, place, [("", why)] if why else captions_in(record, columns))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unusable(file, " ".join(str(error).split())) from error


# --- values --------------------------------------------------------------------------

_TOO_LONG = f"longer than {MAX_LINE_BYTES} bytes"


def captions_in(value: Any, columns: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return the captions of a value, each with the reason it cannot be used, or "".

    Args:
        value: a text, UTF-8 bytes, a list of texts, or a record of them.
        columns: which of a record; the first usual name that it has if none is given.
    """
    if isinstance(value, Mapping):
        names = columns or tuple(name for name in COLUMNS if name in value)[:1]
        if not names:
            return [("", f"no caption among {', '.join(map(str, islice(value, 5)))}")]
        found = [pair for name in names for pair in captions_in(value.get(name))]
        # Where some of several columns are empty, the others are captions all the same.
        return [pair for pair in found if pair != ("", _EMPTY)] or [("", _EMPTY)]
    if isinstance(value, list):
        return [pair for one in value for pair in captions_in(one)] or [("", _EMPTY)]
    if value is None:
        return [("", _EMPTY)]
    if isinstance(value, bytes):
        if len(value) > MAX_LINE_BYTES:
            return [("", _TOO_LONG)]
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        return [("", f"{str(value)[:40]!r} is no text")]
    if len(value) > MAX_LINE_BYTES:
        return [("", _TOO_LONG)]
    text = value.strip()
    if "\0" in text:
        return [("", "it holds a NUL byte; is this UTF-16, or no text at all?")]
    try:
        text.encode()
    except UnicodeEncodeError:
        return [("", "not UTF-8")]
    return [(text, "")] if text else [("", _EMPTY)]


_EMPTY = "empty"


def parse_json(data: bytes) -> tuple[Any, str]:
    """Return a JSON value, or None and the reason there is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        return None, f"no JSON ({error})"
    return (value, "") if value is not None else (None, _EMPTY)


def _id(record: Any, column: str, number: int) -> tuple[str, str]:
    """Return a row's id, or its number and the reason it has none."""
    if not column:
        return str(number), ""
    id = record.get(column) if isinstance(record, Mapping) else None
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        return str(number), f"no id in '{column}'"
    return str(id), ""


def _columns(file: Entry, header: Sequence[str], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns to read: those wanted, or the one that holds captions.

    Raises:
        DataError: a column is not there, or none is known to hold captions.
    """
    for name in wanted:
        if name not in header:
            raise DataError(
                f"no column '{name}' in '{file.url}'",
                why=f"its columns: {', '.join(header) or 'none'}",
                fix=suggestion(name, header),
                path=file.url,
                column=name,
            )
    if wanted:
        return wanted
    known = {name.casefold(): name for name in reversed(header)}
    for name in COLUMNS:
        if name in known:
            return (known[name],)
    if len(header) == 1:
        return (header[0],)
    raise DataError(
        f"which column of '{file.url}' holds the captions?",
        why=f"its columns: {', '.join(header) or 'none'}",
        fix='name it: column = "..."',
        path=file.url,
    )


def _unusable(file: Entry, why: str) -> DataError:
    return DataError(
        f"cannot read captions from '{file.url}'", why=why, fix="copy it again", path=file.url
    )
