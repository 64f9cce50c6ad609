"""Captions in csv and tsv files: which delimiter, which columns, what cannot be read."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import BinaryIO

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, did_you_mean, suggestion
from reactions.core.file_names import nfc
from reactions.core.text_lines import MAX_LINE_BYTES, NOT_UTF8, RECODE, read_lines
from reactions.data.delimited import DELIMITERS, NAMES, Dialect, read_rows
from reactions.data.sources.config import COLUMNS, Source

_AHEAD = 8
"""Lines that are looked at to distinguish a name from a caption."""

_DECLARED = re.compile(rb"sep=([,;|\t])", re.IGNORECASE)
_SHOWN = 200
"""Characters of a first line that messages show."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a table, as far as it can be read.

    Attributes:
        line_number: where it begins.
        captions: values of the columns that hold captions; () if ``why`` is set.
        id: value of the column of ids; None without one, or if ``why`` is set.
        why: what is wrong with it.
    """

    line_number: int
    captions: Sequence[str] = ()
    id: str | None = None
    why: str = ""


def read_table(
    file: Entry, stream: BinaryIO, source: Source, remarks: list[str]
) -> Iterator[Record]:
    """Yield the rows of a csv or tsv file; blank lines between them give none.

    Comma-separated fields may be quoted, tab-separated ones are not, as in published sets,
    unless the source says otherwise or the header's own fields are. Where the suffix's
    delimiter gives one field, and another the columns that are looked for, that one counts.

    Args:
        file: for messages.
        stream: its bytes.
        source: header, delimiter, quotes and columns.
        remarks: gets a sentence for each thing that was guessed.

    Raises:
        DataError: it has no header, lacks a column, or nothing says which holds the captions.
        UnicodeDecodeError: it is not what its byte-order mark says.
        OSError: as of the stream.
    """
    lines: Iterator[tuple[int, bytes]] = read_lines(stream, keepends=True)
    first = next(((number, line) for number, line in lines if line.strip()), None)
    if first is None:
        return
    if (declared := _DECLARED.fullmatch(first[1].rstrip(b"\r\n"))) and not source.delimiter:
        # As Excel writes before the header, for itself.
        source = replace(source, delimiter=declared[1].decode())
        if (first := next(((n, line) for n, line in lines if line.strip()), None)) is None:
            return
    head = _head(file, first)
    dialect = _dialect(file, head, source, remarks)
    header = _fields(file, head, dialect)
    columns = column_numbers(file, header, source.columns, named=source.header)
    if not columns:
        ahead = list(islice(lines, _AHEAD))
        lines = chain(ahead, lines)
        following = [line.decode("utf-8", "replace").strip() for _, line in ahead]
        columns = (_caption_column(file, header, source, head, following, remarks),)
    id_column: tuple[int, ...] = ()
    if source.id_column != "":
        id_column = column_numbers(file, header, (source.id_column,), named=source.header)
    rows = read_rows(lines if source.header else chain([first], lines), dialect, len(header))
    spans: list[tuple[int, int]] = []
    n_quoted = 0
    for row in rows:
        if row.why:
            yield Record(row.line_numbers[0], why=row.why)
            continue
        captions = [row.fields[i] for i in columns]
        if len(row.line_numbers) > 1:
            spans.append((row.line_numbers[0], len(row.line_numbers)))
        n_quoted += not dialect.quoted and any(map(_looks_quoted, captions))
        id = row.fields[id_column[0]] if id_column else None
        yield Record(row.line_numbers[0], captions, id)
    if spans and not dialect.trusted:
        remarks.append(
            f"'{file.name}': {len(spans)} of its rows span {sum(n for _, n in spans)} lines, as "
            f"quoted fields may; the first begins in line {spans[0][0]}"
        )
    if n_quoted and source.quoted is None:
        remarks.append(
            f"'{file.name}': {n_quoted} of its captions look quoted as in csv, but are taken as "
            "they stand: tab-separated files are not quoted; if this one is: quoted = true"
        )


def column_numbers(
    file: Entry, header: Sequence[str], columns: Sequence[str | int], *, named: bool = True
) -> tuple[int, ...]:
    """Return where the columns asked for are, from 0.

    Args:
        file: for messages.
        header: names of the columns, or the first row where they have none.
        columns: names, or numbers from 0.
        named: whether they have names.

    Raises:
        DataError: a column is not there, or twice.
    """
    numbers = []
    plain = [_plain(name) for name in header]
    for column in columns:
        if isinstance(column, int):
            if not 0 <= column < len(header):
                raise DataError(
                    f"no column {column} in '{file.url}'",
                    why=f"it has {len(header)}, counted from 0",
                    fix='correct the number, or say how they are separated: delimiter = ";"',
                    path=file.url,
                    column=column,
                )
            numbers.append(column)
            continue
        count = plain.count(_plain(column)) if named else 0
        if count != 1:
            listed = ", ".join(header) or "none"
            raise DataError(
                f"column '{column}' is in '{file.url}' {count} times"
                if count
                else f"no column '{column}' in '{file.url}'",
                why=f"its columns: {listed}" if named else "header = false: it has no names",
                fix=f"give its number, from 0: column = {plain.index(_plain(column))}"
                if count
                else _other_column(column, header, named),
                path=file.url,
                column=column,
            )
        numbers.append(plain.index(_plain(column)))
    return tuple(numbers)


def _other_column(column: str, header: Sequence[str], has_header: bool) -> str:
    if not has_header:
        return "give its number, from 0: column = 0"
    near = did_you_mean(column, header)
    unnamed = "if its first line is not a header: header = false, and column = 0 for the first"
    return suggestion(column, header) if near else f"{suggestion(column, header)}; {unnamed}"


def caption_column(header: Sequence[str]) -> int | None:
    """Return the column whose name is a usual one for captions, the likeliest; None without."""
    # Reversed, so that the first of several equal names counts.
    places = {name.casefold(): i for i, name in reversed(list(enumerate(header)))}
    return next((places[name] for name in COLUMNS if name in places), None)


def which_column(file: Entry, why: str, fix: str = 'name it: column = "..."') -> DataError:
    """Return the error for a file of which nothing says where its captions are."""
    return DataError(
        f"which column of '{file.url}' holds the captions?", why=why, fix=fix, path=file.url
    )


def _plain(name: str) -> str:
    return nfc(name.strip())


def _head(file: Entry, first: tuple[int, bytes]) -> str:
    number, line = first
    why = ""
    if len(line) > MAX_LINE_BYTES:
        why = f"line {number} is longer than {MAX_LINE_BYTES} bytes"
    elif b"\0" in line:
        why = f"line {number} holds a NUL byte; is this UTF-16, or not text at all?"
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        why = why or f"line {number} is {NOT_UTF8}"
    if why:
        raise DataError(
            f"cannot read captions from '{file.url}'",
            why=why,
            fix=RECODE,
            path=file.url,
        )
    return text


def _dialect(file: Entry, head: str, source: Source, remarks: list[str]) -> Dialect:
    """Choose delimiter and quotes: as the source says, else by suffix and first line."""
    if source.delimiter:
        return _with_quotes(source.delimiter, head, source)
    usual = "\t" if file.name.lower().endswith(".tsv") else ","
    usual_dialect = _with_quotes(usual, head, source)
    if _serves(usual_dialect, head, source):
        return usual_dialect
    for delimiter in DELIMITERS:
        other = _with_quotes(delimiter, head, source)
        if delimiter != usual and _serves(other, head, source):
            remarks.append(
                f"'{file.name}' is read as separated by {NAMES[delimiter]}: by "
                f"{NAMES[usual]}, its first line lacks the columns"
            )
            return other
    # No column is found: the error lists what most likely are the columns.
    likeliest = max(DELIMITERS, key=head.count)
    return usual_dialect if usual in head else _with_quotes(likeliest, head, source)


def _with_quotes(delimiter: str, head: str, source: Source) -> Dialect:
    if source.quoted is not None:
        return Dialect(delimiter, source.quoted, trusted=source.quoted)
    if delimiter != "\t":
        return Dialect(delimiter, quoted=True)
    # Some programs quote whatever they write, names included.
    fields = head.split("\t")
    wrapped = all(len(name) > 2 and name[0] == name[-1] == '"' for name in fields)
    return Dialect(delimiter, quoted=source.header and wrapped)


def _serves(dialect: Dialect, head: str, source: Source) -> bool:
    """Return whether a first line, split so, has the columns that are looked for."""
    try:
        header = [_plain(name) for name in dialect.fields_of(head)]
    except csv.Error:
        return False
    columns = [*source.columns, *([source.id_column] if source.id_column != "" else [])]
    if not source.header:
        needed = max((column for column in columns if isinstance(column, int)), default=0)
        return len(header) > needed and not _is_whole_row(header)
    if not source.columns and caption_column(header) is None:
        return False
    return all(
        column < len(header) if isinstance(column, int) else _plain(column) in header
        for column in columns
    )


def _is_whole_row(fields: Sequence[str]) -> bool:
    """Return whether a single field is likely a row by another delimiter."""
    if len(fields) != 1:
        return False
    pieces = fields[0].replace("|", "\t").replace(";", "\t").split("\t")
    return any(piece[:1].strip() for piece in pieces[1:])


def _fields(file: Entry, head: str, dialect: Dialect) -> list[str]:
    try:
        return [name.strip() for name in dialect.fields_of(head)]
    except csv.Error as error:
        raise DataError(
            f"cannot read captions from '{file.url}'",
            why=f"its first line: {error}",
            fix="close the quote, or say that fields are not quoted: quoted = false",
            path=file.url,
        ) from None


def _caption_column(
    file: Entry,
    header: Sequence[str],
    source: Source,
    head: str,
    following: Sequence[str],
    remarks: list[str],
) -> int:
    """Return the column of captions where the source names none."""
    shown = head[:_SHOWN]
    if not source.header:
        if len(header) == 1 and not _is_whole_row(header):
            return 0
        raise which_column(
            file,
            f"it has {len(header)}, and no names; its first line: {shown}",
            "give its number, from 0: column = 0"
            if len(header) > 1
            else 'say how they are separated, and which it is: delimiter = ";", column = 0',
        )
    number = caption_column(header)
    if number is not None:
        if [name.casefold() for name in header].count(header[number].casefold()) > 1:
            why = f"several are called '{header[number]}'"
            raise which_column(file, why, f"give its number, from 0: column = {number}")
        return number
    if len(header) == 1:
        # A caption has several words, or those that follow it have one word each, too. Names of
        # several columns may be separated by something else: url^caption.
        words = [len(line.split()) for line in following if line]
        is_name = re.fullmatch(r"\"?[\w.#-]+\"?", head.strip()) is not None
        if not is_name or (len(words) > 1 and max(words) == 1):
            raise which_column(
                file,
                f"its first line may be a name or a caption: {shown}",
                f'if it is a name: column = "{shown}"; if it is a caption: header = false',
            )
        remarks.append(
            f"'{file.name}': its first line, '{shown}', is taken for the name of its column; if it "
            "is a caption: header = false"
        )
        return 0
    raise which_column(
        file,
        f"its columns: {', '.join(header)}"[:_SHOWN],
        'name it: column = "..."; if its first line is not a header: header = false, column = 0',
    )


def _looks_quoted(text: str) -> bool:
    return len(text) > 3 and text[0] == text[-1] == '"' and '""' in text[1:-1]
