"""Tables whose name does not say that they are some: a csv or tsv that is called ``.txt``.

Line by line, their header and their rows would be embedded as texts. What tells them is a header:
a first line of names, such as ``id,caption``, with as many separators as the lines behind it.
Texts with commas, even with as many in each line, have none; a table without a header, whose fields
are set apart by commas, looks as they do.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Final

from reactions.data.delimited import DELIMITERS, NAMES, Dialect
from reactions.data.sources.config import COLUMNS
from reactions.modalities import registry
from reactions.modalities.suffixes import modality_of

FIRST_LINES: Final = 200
"""Lines at the start of a file that are looked at to see whether it is a table."""

_OTHERS: Final = """
    answer audio_id audiocap_id author category class class_id class_name comment comment_number
    comments count data date end_time file file_name filename files filepath frame id ids idx
    image_id image_name image_path img index key keys label label_id labels lang language link
    metadata n name names nr number path paths prompt query question row score sentences set source
    split start_time tag tags target time timestamp topic type uid url url_hash urls user video_id
    words year youtube_id
"""
_USUAL: Final = frozenset((*COLUMNS, *_OTHERS.split()))
"""What columns are called, besides the names of modalities."""

_NAME: Final = re.compile(r"[^\W\d][\w .#/()-]{0,39}")
_NUMBER: Final = re.compile(r"[+-]?\d[\d.:-]*(?:e[+-]?\d+)?", re.IGNORECASE)
_SHARE: Final = 0.9
"""Of lines that have a header's separators, at least: captions hold unquoted commas of their own,
and few lines are broken in two."""

_MOST_WORDS: Final = 3
"""In the name of a column."""

_SHOWN: Final = 80


def why_a_table(lines: Sequence[str]) -> str:
    """Return why lines are likely rows of a table behind its header; "" for texts.

    Args:
        lines: the first of a file, as many as ``FIRST_LINES``; blank ones do not count.
    """
    rows = [line.strip("\r\n") for line in lines if line.strip()]
    if len(rows) < 2 or rows[0].lstrip().startswith(("{", "[")):
        return ""
    for delimiter in ("\t", *(candidate for candidate in DELIMITERS if candidate != "\t")):
        header = _fields(rows[0], delimiter)
        if not may_be_header(rows[0], delimiter):
            continue
        behind = [_fields(row, delimiter) for row in rows[1:]]
        n_enough = sum(len(fields) >= len(header) for fields in behind)
        alike = all(len(fields) == len(header) for fields in behind)
        is_table = (
            n_enough >= _SHARE * len(behind)
            if _is_named(header, rows[0], delimiter)
            else alike and len(behind) > 1 and (delimiter == "\t" or _has_numbers(header, behind))
        )
        if is_table:
            n = len(behind)
            lines_behind = (
                "the line behind it has" if n == 1 else f"{n_enough} of the next {n} have"
            )
            return (
                f"its first line names columns ({rows[0].strip()[:_SHOWN]!r}), and {lines_behind} "
                f"as many {NAMES[delimiter]}"
            )
    return ""


def may_be_header(line: str, delimiter: str = "", *, usual: bool = False) -> bool:
    """Return whether a line by itself looks like the names of several columns.

    Args:
        line: a first one.
        delimiter: what sets them apart; "" for any.
        usual: whether one of them has to be a usual name.
    """
    for candidate in (delimiter,) if delimiter else DELIMITERS:
        names = [_plain(name) for name in _fields(line, candidate)]
        filled = names[1:] if names[0] == "" else names  # of row numbers, as pandas writes them
        is_header = (
            len(names) > 1
            and len(set(filled)) == len(filled)
            and all(_NAME.fullmatch(name) and len(name.split()) <= _MOST_WORDS for name in filled)
        )
        if is_header and (not usual or _is_named(names, line, candidate)):
            return True
    return False


def _is_named(header: Sequence[str], line: str, delimiter: str) -> bool:
    """Return whether names are usual ones of columns: where blanks set them apart, too, several."""
    usual = _USUAL.union(registry.names())
    n = sum(_plain(name).replace(" ", "_").replace("-", "_") in usual for name in header)
    return n > (1 if delimiter == "," and f"{delimiter} " in line else 0)


def _has_numbers(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a column holds numbers, or names of files, below a name that is neither."""
    columns = zip(header, *rows, strict=True)
    return len(rows) > 2 and any(
        not modality_of(name)
        and all(_NUMBER.fullmatch(v.strip()) or modality_of(v) for v in values)
        for name, *values in columns
    )


def _plain(name: str) -> str:
    return name.strip().strip("\"'").strip().casefold()


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return Dialect(delimiter, quoted=delimiter != "\t", skip_space=True).fields_of(line) or [""]
    except csv.Error:  # a quote of a sentence, or of a field that goes on in the next line
        return line.split(delimiter)
