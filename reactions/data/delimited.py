"""Rows of csv and tsv files, none lost: a line is a row, part of a quoted field, or at fault.

A lone quote at the start of a field swallows all lines up to the next one. Python's reader
(like every other) takes them for one long field, and the rows vanish unnoticed. Here a row that
spans lines is held against what its lines look like: where they could be rows of their own,
each of them counts as one that cannot be used.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reactions.core.text_lines import MAX_LINE_BYTES

DELIMITERS = (",", "\t", ";", "|")
NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
"""What messages call them."""

TOO_LONG = f"longer than {MAX_LINE_BYTES} bytes"
_MOST_LINES = 3
"""In a table of one column no delimiter shows swallowed rows: more lines than this do."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How rows are written.

    Attributes:
        delimiter: one character.
        quoted: whether fields may be quoted, with quotes doubled inside.
        trusted: whether quoted fields may span lines whatever those look like.
        skip_space: whether spaces after a delimiter are not part of the field.
    """

    delimiter: str
    quoted: bool
    trusted: bool = False
    skip_space: bool = False

    def fields_of(self, line: str) -> list[str]:
        """Return the fields of one line.

        Raises:
            csv.Error: a quoted field does not end in it.
        """
        if not self.quoted:
            return line.split(self.delimiter)
        reader = csv.reader(
            [line], delimiter=self.delimiter, strict=True, skipinitialspace=self.skip_space
        )
        return next(reader, [])


class DelimitedRow(NamedTuple):
    """A row, or a line that was lost.

    Attributes:
        line_numbers: from 1, of the lines it spans; one for a lost line.
        fields: () where ``why`` says that there are none to trust.
        why: what is wrong, lower case, no full stop; "" for a good row.
    """

    line_numbers: Sequence[int]
    fields: Sequence[str]
    why: str = ""


def read_rows(
    lines: Iterable[tuple[int, bytes]], dialect: Dialect, n_fields: int
) -> Iterator[DelimitedRow]:
    """Yield rows in constant memory; blank lines between them give none.

    Args:
        lines: numbered, with their breaks, as ``read_lines`` gives them.
        dialect: how they are written.
        n_fields: that a row should have; it says so where a row has others.

    Yields:
        Good rows have ``n_fields`` fields; bytes that are not UTF-8 are lone surrogates in
        them. Of a bad row that spans several lines, every line is one.
    """
    rows = _quoted(lines, dialect, n_fields) if dialect.quoted else _plain(lines, dialect)
    for row in rows:
        if not row.why and len(row.fields) != n_fields:
            fault = f"{len(row.fields)} fields, the header has {n_fields}"
            for number in row.line_numbers:
                yield DelimitedRow((number,), (), fault)
        else:
            yield row


def _plain(lines: Iterable[tuple[int, bytes]], dialect: Dialect) -> Iterator[DelimitedRow]:
    for number, line in lines:
        body = line.rstrip(b"\r\n")
        if len(body) > MAX_LINE_BYTES:
            yield DelimitedRow((number,), (), TOO_LONG)
        elif body.strip():
            yield DelimitedRow(
                (number,), dialect.fields_of(body.decode("utf-8", "surrogateescape"))
            )


class _Feed(Iterator[str]):
    """Lines for a csv reader, which keeps those of the row at hand that are not blank."""

    def __init__(self, lines: Iterable[tuple[int, bytes]]) -> None:
        self._lines = iter(lines)
        self.taken: list[tuple[int, str]] = []

    def __next__(self) -> str:
        number, line = next(self._lines)
        text = line.decode("utf-8", "surrogateescape")
        if line.strip():
            self.taken.append((number, text))
        if len(line.rstrip(b"\r\n")) > MAX_LINE_BYTES:
            # The reader drops what it has of the row, and goes on with the next line.
            raise csv.Error(TOO_LONG)
        return text


def _quoted(
    lines: Iterable[tuple[int, bytes]], dialect: Dialect, n_fields: int
) -> Iterator[DelimitedRow]:
    feed = _Feed(lines)
    # strict: what follows a closing quote is an error; by default it is joined to the field.
    reader = csv.reader(
        feed, delimiter=dialect.delimiter, strict=True, skipinitialspace=dialect.skip_space
    )
    while True:
        feed.taken.clear()
        try:
            fields = next(reader, None)
            why = ""
        except csv.Error as error:
            fields, why = [], TOO_LONG if str(error) == TOO_LONG else f"not csv: {error}"
        if fields is None:
            return
        lines_read = feed.taken
        if not lines_read:
            continue
        if not why and len(lines_read) > 1 and not dialect.trusted:
            why = _swallowed(lines_read, dialect, n_fields)
        if why:
            for number, _ in lines_read:
                yield DelimitedRow((number,), (), why)
        else:
            yield DelimitedRow(tuple(number for number, _ in lines_read), fields)


def _swallowed(numbered: Sequence[tuple[int, str]], dialect: Dialect, n_fields: int) -> str:
    """Return why a row that spans lines is likely several; "" if it is one.

    Args:
        numbered: numbers and texts of the row's lines, none blank.
        dialect: how they are written.
        n_fields: of a row.
    """
    lines = [text for _, text in numbered]
    if n_fields == 1:
        rows = len(lines) > _MOST_LINES
    else:
        # The first and last line hold the rest of the row: one of them has all its fields
        # where the quoted field is the last or the first, both only where they are two rows.
        inner = any(_like_a_row(line, dialect, n_fields) for line in lines[1:-1])
        rows = inner or all(_like_a_row(lines[i], dialect, n_fields) for i in (0, -1))
    if not rows:
        return ""
    return (
        f"a quote opened in line {numbered[0][0]} is closed in line {numbered[-1][0]}, over what "
        "look like rows; remove it, or say quoted = false (or true, if it is one field)"
    )


def _like_a_row(line: str, dialect: Dialect, n_fields: int) -> bool:
    """Return whether a line has a row's fields, other than by the commas of a sentence."""
    fields = line.rstrip("\r\n").split(dialect.delimiter)
    # A comma within a sentence has a space behind it, a delimiter usually has not.
    return len(fields) >= n_fields and any(field[:1].strip() for field in fields[1:])
