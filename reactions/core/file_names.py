"""Names of files in either Unicode form.

``é`` is one character (NFC, what most keyboards and tables write) or ``e`` and an accent (NFD,
what macOS and some archives store). File systems that keep names as bytes hold the two apart, so
a table in one form does not find files in the other.
"""

from __future__ import annotations

import os
import time
import unicodedata
from functools import lru_cache
from pathlib import Path

from reactions.core.file_digests import SETTLED_NS
from reactions.core.transient import is_transient, run_again


def nfc(name: str) -> str:
    """Return a name in the form that names are compared in."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def as_stored(path: Path) -> Path:
    """Return a path as the file system spells it.

    What exists as it is written is returned as it is, and so is what exists in neither form, or
    in several that are not as written.

    Args:
        path: of a file or folder that may be there.
    """
    text = os.fspath(path)
    if text.isascii() or os.path.lexists(text):  # ASCII has one form
        return path
    actual = Path(path.anchor) if path.anchor else Path()
    for part in path.parts[1:] if path.anchor else path.parts:
        stored = actual / part
        if not part.isascii() and not os.path.lexists(stored):
            names = _other_names(actual)
            if (name := names.get(nfc(part))) is None:
                return path
            stored = actual / name
        actual = stored
    return actual if os.path.lexists(actual) else path


def _other_names(folder: Path) -> dict[str, str]:
    """Return the names in a folder that have several forms, by their NFC; unique ones only."""
    try:
        stat = folder.stat()
        if time.time_ns() - stat.st_mtime_ns < SETTLED_NS:  # it may change unnoticed
            return _listing(os.fspath(folder))
        return _settled_listing(os.fspath(folder), stat.st_mtime_ns, stat.st_ino)
    except (OSError, ValueError) as error:
        if is_transient(error):
            raise run_again(os.fspath(folder), error) from error
        return {}


@lru_cache(maxsize=16)
def _settled_listing(folder: str, mtime_ns: int, inode: int) -> dict[str, str]:
    # Once a folder: a manifest of a million lines asks as often.
    return _listing(folder)


def _listing(folder: str) -> dict[str, str]:
    by_form: dict[str, str] = {}
    repeated: set[str] = set()
    for name in os.listdir(folder):  # noqa: PTH208
        if not name.isascii():
            key = nfc(name)
            if key in by_form:
                repeated.add(key)
            by_form[key] = name
    return {key: name for key, name in by_form.items() if key not in repeated}
