"""Names of files in either Unicode form.

``é`` is one character (NFC, what most keyboards and tables write) or ``e`` and an accent (NFD,
what macOS and some archives store). File systems that keep names as bytes hold the two apart, so
a table in one form does not find files in the other.
"""

from __future__ import annotations

import difflib
import os
import time
import unicodedata
from functools import lru_cache
from itertools import islice
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


def near_file(text: str, base: Path = Path()) -> str:
    """Return the path of what is there and is called nearly as a path's last part; "" for none.

    Args:
        text: the path, as it was written; the answer is written likewise.
        base: folder that relative paths start from.
    """
    try:
        parent = as_stored(base / text).parent
        with os.scandir(parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    except (OSError, ValueError):  # no such folder, longer than any name, or with a null in it
        return ""
    folder, slash, last = text.rstrip("/").rpartition("/")
    near = [name for name in names if name.rpartition(".")[0] == last][:1]
    near = near or difflib.get_close_matches(last, names, n=1, cutoff=0.8)
    return f"{folder}{slash}{near[0]}" if near and near[0] != last else ""


_MOST_NAMES = 10_000
"""Of a folder, that are compared."""


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
