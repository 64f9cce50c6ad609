"""Files by path or URL: how they are named, and what is known of one that was found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from reactions.core.local_files import expand_user

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z0-9+.-]+)*://")
"""At least two letters: one would be a drive."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file.

    Attributes:
        name: relative to the folder it was found in; its last part otherwise.
        url: absolute path or URL.
        size_bytes: its size.
        stamp: changes when the file changes; "" where that cannot be known.
    """

    name: str
    url: str
    size_bytes: int
    stamp: str


def is_url(text: str) -> bool:
    """Return whether a text is a URL, such as ``s3://bucket/key``, rather than a path."""
    return _URL.match(text) is not None


def absolute(text: str, base: Path) -> str:
    """Return an absolute path or URL; relative paths start at ``base``."""
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return text if is_url(text) else str((base / expand_user(text)).absolute())


def label(url: str) -> str:
    """Return a short name for a path, URL or pattern: its last part without wildcards."""
    parts = _URL.sub("", url).split("/")
    plain = [part for part in parts if part and not any(c in part for c in "{}*?[")]
    return (plain[-1].partition(".")[0] or plain[-1]) if plain else url
