"""TOML of unknown origin: its size, keys, nesting and numbers are limited before it is parsed.

Python's parser keeps every prefix of a dotted key, so that 100 kB of ``a.a.a...`` take gigabytes.
A lab file needs four levels.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.core.errors import UsageError
from reactions.core.local_files import read_small_file

LIMIT_BYTES = 1 << 20
"""Of a lab file; parsing the worst of this size takes two seconds and 0.3 GB."""

MAX_CHARACTERS = 8192
"""Of one text or key: longer ones are not paths, names or ids, and no message could show them."""

MAX_DEPTH = 8
"""Parts of a dotted key, and levels of tables and lists."""

_STRING = re.compile(
    # Nothing here goes back, so that any text takes linear time. In TOML's own order; up to two
    # more quotes before the closing three belong to the text.
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"""(?:"{0,2})'
    r"|'''(?:[^']++|'(?!''))*+'''(?:'{0,2})"
    r'|"(?!"")(?:[^"\\\n]++|\\[^\n])*+"'
    r"|'(?!'')[^'\n]*+'"
    r"|#[^\n]*+"
    r"|[\"'].*+",  # never closed: the parser stops here, too
    re.DOTALL,
)
_DOTTED = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MAX_DEPTH}}}")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A file, read once: what is trusted and what is used are the same bytes.

    Attributes:
        path: absolute.
        raw: its bytes.
        data: its tables.
    """

    path: Path
    raw: bytes
    data: dict[str, Any]


def read_toml(path: Path) -> TomlFile:
    """Read a TOML file.

    Raises:
        MissingError: it is not there.
        DataError: it is too large, not a regular file, or cannot be read.
        UsageError: it is not valid TOML, nests too deeply, or holds what TOML cannot hold
            (numbers beyond 64 bits) or a file name cannot (null characters).
    """
    raw = read_small_file(path, LIMIT_BYTES)
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
        _check_keys(text, path)
        data = tomllib.loads(text)
    # Long numbers raise a bare ValueError, dates that there are not likewise.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML", why=str(error)[:200]) from None
    _check_values(data, path)
    return TomlFile(path, raw, data)


def _check_keys(text: str, path: Path) -> None:
    """Refuse dotted keys of many parts, before the parser meets them."""
    # A string can be a part of a key, too; a comment ends nothing.
    bare = _STRING.sub(lambda match: "" if match[0].startswith("#") else "s", text)
    if (match := _DOTTED.search(bare)) is not None:
        line = bare.count("\n", 0, match.start()) + 1
        raise UsageError(
            f"{path} nests too deeply",
            why=f"a dotted key has more than {MAX_DEPTH} parts, near line {line}",
            fix="write tables in headers of their own",
        )


def _check_text(text: str, path: Path) -> None:
    if "\0" in text:
        raise UsageError(f"{path} holds a null character", fix="remove it")
    if len(text) > MAX_CHARACTERS:
        raise UsageError(
            f"{path} holds a text of {len(text):,} characters",
            why=f"it begins with {text[:40]!a}; a text or key may have {MAX_CHARACTERS:,}",
        )


def _check_values(data: dict[str, Any], path: Path) -> None:
    pending: list[tuple[Any, int]] = [(data, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise UsageError(f"{path} nests too deeply", why=f"more than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            pending += [(entry, depth + 1) for pair in value.items() for entry in pair]
        elif isinstance(value, list):
            pending += [(entry, depth + 1) for entry in value]
        elif isinstance(value, str):
            _check_text(value, path)
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise UsageError(f"{path} holds a number beyond 64 bits", fix="write a smaller one")
