"""Captions in files: plain lines, csv, tsv, jsonl, parquet and json, packed once into a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

from reactions.core.addresses import Entry
from reactions.core.errors import DataError
from reactions.core.hashing import digest
from reactions.core.storage import open_binary
from reactions.core.text_lines import MAX_LINE_BYTES, NoLinesError, read_lines
from reactions.core.transient import run_again
from reactions.data.corpora import check_ids
from reactions.data.delimited import TOO_LONG
from reactions.data.path_like import is_row, share_of_paths
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.caption_parquet import read_parquet
from reactions.data.sources.caption_tables import caption_column, read_table, which_column
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.json_records import read_json_records
from reactions.data.sources.parts import TextPart, signature_of
from reactions.data.sources.row_plan import composed_of
from reactions.data.sources.table_rows import read_table_rows
from reactions.data.sources.text_values import (
    TABLES,
    captions_in,
    check_options,
    parse_json,
    row_id,
    suffix_of,
)
from reactions.data.unmarked_tables import FIRST_LINES, why_a_table
from reactions.modalities.text import TEXT

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".json")
_VERSION = 2
_PROGRESS_ROWS = 1 << 16
_SHOWN = 200
_MOST_REMARKS = 5


_FIRST_LINES = 1000
"""Of a plain text, by which a list of files is told from captions."""


class _Row(NamedTuple):
    """A row of a file: its captions with the reason each cannot be used, or "".

    Where it has no id of its own, its number stands in.
    """

    id: str
    place: str
    captions: list[tuple[str, str]]
    numbered: bool = False


def texts_part(
    name: str,
    files: Sequence[Entry],
    source: Source,
    *,
    tables: TableCache,
    on_progress: OnProgress = silent,
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
        on_progress: of the progress.

    Raises:
        DataError: a file is empty, damaged or lacks the column, or an id is repeated.
        TransientError: one could not be read just now.
        MissingError: pyarrow is not installed.
        UsageError: the source has options of tables for files that are not tables.
    """
    for file in files:
        check_options(file, source)
    written = [source.header, source.delimiter, source.quoted]
    options: list[Any] = [list(source.columns), source.id_column, written, _VERSION]
    if source.where:
        options.append([[column, list(values)] for column, values in source.where])
    cached = "texts-" + digest("scan", [[file.url for file in files], *options])[:32]
    signature = signature_of([digest("options", options), *(file.stamp for file in files)])
    table = tables.get(cached, signature)
    if table is None:
        try:
            table = _read(name, files, source, on_progress)
        except MemoryError as error:
            raise run_again(name, error) from error
        table = tables.put(cached, signature, table)
    own_ids = source.id_column != ""
    return TextPart(name, table, signature, sum(file.size_bytes for file in files), own_ids)


def _read(name: str, files: Sequence[Entry], source: Source, on_progress: OnProgress) -> ScanTable:
    ids: list[str] = []
    texts: list[str] = []
    places: list[str] = []
    whys: list[str] = []
    remarks: list[str] = []
    stand_ins: list[int] = []
    prefixes = prefixes_of(files)
    for file, prefix in zip(files, prefixes, strict=True):
        n_before = len(ids)
        for row in _rows(file, source, remarks):
            for i, (text, why) in enumerate(row.captions):
                if row.numbered and source.id_column != "":
                    stand_ins.append(len(ids))
                id = f"{prefix}{row.id}"
                ids.append(id if len(row.captions) == 1 else f"{id}/{i}")
                texts.append(text)
                places.append(row.place)
                whys.append(why)
                if len(ids) % _PROGRESS_ROWS == 0:
                    on_progress(name, len(ids), 0)
        if len(ids) == n_before:
            raise DataError(
                f"no captions in '{file.url}'",
                why="it is empty" if file.size_bytes == 0 else "it holds no rows",
                fix="remove it from the corpus, or copy it again",
                path=file.url,
            )
    keep_apart(ids, stand_ins)
    check_ids(name, TEXT.name, ids)
    on_progress(name, len(ids), len(ids))
    return ScanTable(
        {
            "id": Strings.pack(ids),
            "text": Strings.pack(texts),
            "place": Strings.pack(places),
            "why": Strings.pack(whys),
        },
        {"notices": _few(remarks)} if remarks else {},
    )


def _few(remarks: list[str]) -> list[str]:
    more = len(remarks) - _MOST_REMARKS
    return [*remarks[:_MOST_REMARKS], *([f"{more} more remarks of this kind"] if more > 0 else [])]


def keep_apart(ids: list[str], rows: Sequence[int]) -> None:
    """Give ids of their own to rows that have none but are numbered as another row is called."""
    if not rows:
        return
    stand_ins = set(rows)
    other_ids = {id for row, id in enumerate(ids) if row not in stand_ins}
    for row in rows:
        while ids[row] in other_ids:
            ids[row] = f"row {ids[row]}"


def prefixes_of(files: Sequence[Entry]) -> list[str]:
    """Return what stands before the ids of the rows of each file; "" for a single one."""
    if len(files) == 1:
        return [""]
    stems = [file.name.rpartition(".")[0] or file.name for file in files]
    if len(set(stems)) < len(stems):
        stems = [str(number) for number in range(1, len(files) + 1)]
    return [f"{stem}/" for stem in stems]


def _rows(file: Entry, source: Source, remarks: list[str]) -> Iterator[_Row]:
    suffix = suffix_of(file)
    with open_binary(file.url) as stream:
        try:
            if suffix == ".json" or source.where or any(map(_is_made, source.columns)):
                yield from _records(file, stream, source, remarks)
            elif suffix == ".txt":
                yield from _lines(file, stream, remarks)
            elif suffix in TABLES:
                yield from _table(file, stream, source, remarks)
            elif suffix == ".parquet":
                yield from _parquet(file, stream, source)
            else:
                yield from _jsonl(file, stream, source, remarks)
        except UnicodeDecodeError as error:
            why = f"it is not {error.encoding}, as its first bytes say: {error.reason}"
            raise _unusable(file, why, "save it as UTF-8") from None
        except NoLinesError as error:
            raise _unusable(file, str(error), "give one caption a line") from None
        except OSError as error:
            raise run_again(file.url, error) from error


# --- formats -------------------------------------------------------------------------


def _lines(file: Entry, stream: BinaryIO, remarks: list[str]) -> Iterator[_Row]:
    n_blank = n_tabs = 0
    first: list[str] = []
    for number, line in read_lines(stream):
        if line.strip():
            if len(first) < _FIRST_LINES:
                first.append(line.decode(errors="replace"))
            n_tabs += b"\t" in line
            yield _Row(str(number), f"{file.url}:{number}", captions_in(line))
        else:
            n_blank += 1
    why = why_a_table(first[:FIRST_LINES])
    if not why and 2 * sum(map(is_row, first)) > len(first):
        shown = next(filter(is_row, first)).strip()[:80]
        why = f"most of its first {len(first)} lines begin with a file's name, such as '{shown}'"
    if why:
        raise DataError(
            f"'{file.url}' is a table, not lines of captions",
            why=why,
            fix="call it .csv or .tsv, so that it is read as one (with header = false and column = "
            '1, if it has no names of columns); a .jsonl of {"caption": "..."} says that its lines '
            "are texts",
            path=file.url,
        )
    if share_of_paths(first) > 1 / 2:
        raise DataError(
            f"'{file.url}' lists paths, not captions",
            why=f"most of its first {len(first)} lines look like paths, such as '{first[0][:80]}'",
            fix="give the files themselves, as [corpora.image] or [corpora.audio]; a .jsonl of "
            '{"caption": "..."} says that they are texts',
            path=file.url,
        )
    if n_blank:
        remarks.append(f"'{file.name}': {n_blank} blank lines give no caption")
    if n_tabs:  # Flickr8k.token.txt and the like: a name, a tab and the caption
        remarks.append(
            f"'{file.name}': {n_tabs} lines hold tabs, and are captions as they stand; if they are "
            "rows of a table, call it .tsv"
        )


def _jsonl(file: Entry, stream: BinaryIO, source: Source, remarks: list[str]) -> Iterator[_Row]:
    columns = tuple(map(str, source.columns))
    keys: list[str] = []  # of the first record, where none had a usual name yet
    n_blank = 0
    for number, line in read_lines(stream):
        if not line.strip():
            n_blank += 1
            continue
        place = f"{file.url}:{number}"
        record, why = parse_json(line) if len(line) <= MAX_LINE_BYTES else (None, TOO_LONG)
        if record is None:
            yield _Row(str(number), place, [("", why)], True)
            continue
        if not columns and isinstance(record, dict):
            names = list(record)
            if (position := caption_column(names)) is not None:
                columns = (names[position],)
            keys = keys or names or ["(none)"]
        id, why = row_id(record, str(source.id_column), number)
        yield _Row(id, place, [("", why)] if why else captions_in(record, columns), bool(why))
    if keys and not columns:
        raise which_column(file, f"its first record's keys: {', '.join(keys)}"[:_SHOWN])
    if n_blank:
        remarks.append(f"'{file.name}': {n_blank} blank lines give no caption")


def _is_made(column: str | int) -> bool:
    """Return whether a column is composed of others, or a field of a field."""
    return bool(composed_of(column)) or "." in str(column)


def _records(file: Entry, stream: BinaryIO, source: Source, remarks: list[str]) -> Iterator[_Row]:
    """Yield the rows of a document, or those of a table that are chosen or composed."""
    columns = source.columns
    if not columns and suffix_of(file) != ".json":
        raise which_column(file, "with where, a column has to be named")
    if not columns:
        header = read_json_records(file, stream).columns
        if (number := caption_column([name.rpartition(".")[2] for name in header])) is None:
            raise which_column(file, f"its columns: {', '.join(header)}"[:_SHOWN])
        columns = (header[number],)
        remarks.append(f"'{file.name}': captions are those of '{columns[0]}'")
    rows = read_table_rows(file, replace(source, columns=columns), remarks)
    for number, row in enumerate(rows, start=1):
        if row.why:
            yield _Row(str(number), row.place, [("", row.why)], True)
        else:
            yield _Row(row.id or str(number), row.place, _each(row.values), not row.id)


def _table(file: Entry, stream: BinaryIO, source: Source, remarks: list[str]) -> Iterator[_Row]:
    for number, record in enumerate(read_table(file, stream, source, remarks), start=1):
        place = f"{file.url}:{record.line_number}"
        id, why = str(number), record.why
        if not why and record.id is not None:
            id, why = row_id({source.id_column: record.id}, source.id_column, number)
        if why:
            yield _Row(id, place, [("", why)], True)
        else:
            yield _Row(id, place, _each(record.captions), record.id is None)


def _parquet(file: Entry, stream: BinaryIO, source: Source) -> Iterator[_Row]:
    for number, (id_value, values) in enumerate(read_parquet(file, stream, source), start=1):
        id, why = str(number), ""
        if source.id_column != "":
            id, why = row_id({source.id_column: id_value}, source.id_column, number)
        place = f"{file.url}:{number}"
        yield _Row(id, place, [("", why)] if why else _each(values), bool(why))


def _each(values: Sequence[Any]) -> list[tuple[str, str]]:
    """Return the captions of a row's columns."""
    return captions_in(dict(enumerate(values)), range(len(values)))


def _unusable(file: Entry, why: str, fix: str = "copy it again") -> DataError:
    return DataError(f"cannot read captions from '{file.url}'", why=why, fix=fix, path=file.url)
