"""A JSON file that is one long list, read an entry at a time and in bounded memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError
from reactions.core.local_files import check_regular

MAX_ENTRY_CHARACTERS = 1 << 20

_PIECE_BYTES = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")


def json_entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a list, with their numbers from 1.

    Args:
        path: of a UTF-8 file.

    Raises:
        MissingError: it is not there.
        DataError: it is not a list of objects, or an object is very long; what came before was
            yielded.
    """
    try:
        check_regular(path, path.stat().st_mode)
        with path.open("rb") as stream:
            pieces = iter(lambda: stream.read(_PIECE_BYTES), b"")
            decoder = codecs.getincrementaldecoder("utf-8-sig")()
            texts = (decoder.decode(piece) for piece in pieces)
            yield from _entries(path, _with_end(texts, decoder))
    except FileNotFoundError:
        raise MissingError(
            f"there is nothing at '{path}'", fix="check the path", path=str(path)
        ) from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is not UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


def _with_end(texts: Iterator[str], decoder: codecs.IncrementalDecoder) -> Iterator[str]:
    yield from texts
    yield decoder.decode(b"", final=True)


def _entries(path: Path, texts: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    parser = json.JSONDecoder()
    text, place, number = "", 0, 0
    expected = "["  # then an object, then a comma or the end of the list
    while True:
        place = _skip(text, place)
        if place == len(text):
            if (more := next(texts, None)) is None:
                break
            text, place = text[place:] + more, 0
            continue
        if expected == "{" and text[place] == "{":
            entry, end = _parsed(parser, text, place, path, number + 1)
            if end < 0:  # cut at the end of a piece
                if len(text) - place > MAX_ENTRY_CHARACTERS:
                    raise _unreadable(path, f"entry {number + 1} is longer than 1 MiB, or broken")
                if (more := next(texts, None)) is None:
                    raise _unreadable(path, f"entry {number + 1} is not valid JSON")
                text, place = text[place:] + more, 0
                continue
            number, place, expected = number + 1, end, ","
            yield number, entry
        elif expected == "[" and text[place] == "[":
            place, expected = place + 1, "{]"
        elif expected == "{]":  # an empty list, or its first object
            place, expected = (place + 1, "") if text[place] == "]" else (place, "{")
        elif expected == "," and text[place] in ",]":
            expected = "{" if text[place] == "," else ""
            place += 1
        else:
            raise _unreadable(path, _complaint(expected, number, text[place : place + 20]))
    if expected:
        raise _unreadable(path, f"it ends within the list, after entry {number}")


def _parsed(
    parser: json.JSONDecoder, text: str, place: int, path: Path, number: int
) -> tuple[dict[str, Any], int]:
    """Return an object and where it ends; -1 if it does not end in the text, or is broken."""
    try:
        entry, end = parser.raw_decode(text, place)
    except ValueError:
        return {}, -1
    except RecursionError:
        raise _unreadable(path, f"entry {number} is nested too deeply") from None
    return entry, end


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _complaint(expected: str, number: int, actual: str) -> str:
    if expected == "[":
        return f"it is not a JSON list: it begins with {actual!r}"
    if expected == "":
        return f"something follows the list: {actual!r}"
    what = "an object" if expected == "{" else "a comma or the end of the list"
    return f"after entry {number} stands {actual!r}, not {what}"


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"cannot read '{path}'",
        why=why,
        fix='a list of objects: [{"data": "1.png", "label": "dog", "description": "..."}, ...]',
        path=str(path),
    )
