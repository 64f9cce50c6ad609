"""Files of labels as published: tables, JSON and lists, read whole or refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reactions.core.local_files import read_small_file
from reactions.core.text_lines import NOT_UTF8, NoLinesError, read_lines
from reactions.data.delimited import Dialect, read_rows

MAX_BYTES = 1 << 28
"""The largest, COCO's captions, has 144 MB."""

PUBLISHED = Dialect(",", quoted=True, skip_space=True)
"""How csv files of published sets are written."""


class Damaged(Exception):
    """A file of labels that cannot be used; the message says why."""


def csv_rows(path: Path, needed: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a csv file with a header.

    Raises:
        Damaged: it cannot be read, is empty, lacks a column, or a row is not like the others.
    """
    n = 0
    try:
        with path.open("rb") as stream:
            lines = read_lines(stream, keepends=True)
            first = next(((number, line) for number, line in lines if line.strip()), None)
            header = [] if first is None else _header(*first)
            for name in needed:
                if header.count(name) != 1:
                    listed = f"its columns: {', '.join(header)}" if header else "it is empty"
                    times = "no" if name not in header else "more than one"
                    raise Damaged(f"{times} column '{name}'; {listed}")
            for row in read_rows(lines, PUBLISHED, len(header)):
                if row.why:
                    raise Damaged(f"line {row.line_numbers[0]}: {row.why}")
                if not all(map(_is_text, row.fields)):
                    raise Damaged(f"line {row.line_numbers[0]}: {NOT_UTF8}, or with a NUL byte")
                n += 1
                yield dict(zip(header, row.fields, strict=True))
    except (OSError, UnicodeDecodeError, NoLinesError) as error:
        raise Damaged(" ".join(str(error).split())) from error
    if n == 0:
        raise Damaged("it has no rows")


def json_value(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        Damaged: it is not JSON.
        DataError: it cannot be read, or has more than ``MAX_BYTES``.
    """
    try:
        return json.loads(read_small_file(path, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise Damaged(" ".join(str(error).split())) from error


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text that are not blank, stripped.

    Raises:
        Damaged: it cannot be read, or has none.
    """
    texts = []
    try:
        with path.open("rb") as stream:
            for number, line in read_lines(stream):
                if not _is_text(text := line.decode("utf-8", "surrogateescape").strip()):
                    raise Damaged(f"line {number}: {NOT_UTF8}, or with a NUL byte")
                if text:
                    texts.append(text)
    except (OSError, UnicodeDecodeError, NoLinesError) as error:
        raise Damaged(" ".join(str(error).split())) from error
    if not texts:
        raise Damaged("it is empty")
    return texts


def _header(number: int, line: bytes) -> list[str]:
    text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
    try:
        header = PUBLISHED.fields_of(text)
    except csv.Error as error:
        raise Damaged(f"line {number}: {error}") from None
    if not _is_text(text):
        raise Damaged(f"line {number}: {NOT_UTF8}, or with a NUL byte")
    return [name.strip() for name in header]


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
