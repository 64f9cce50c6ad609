"""Lance, an optional package for tables of vectors: how it is loaded, and what its folders are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra

SUFFIX = ".lance"
_VERSIONS = "_versions"
_PARTS = {_VERSIONS, "_transactions", "_indices", "_deletions", "_refs", "data"}


def load_lance(what: str) -> Any:
    """Return the package ``lance``.

    Args:
        what: cannot be done without it, for the error.

    Raises:
        MissingError: it is not installed.
    """
    # Its own log reports every new table as a warning; it is read once, at the import.
    os.environ.setdefault("LANCE_LOG", "error")
    try:
        import lance
        import lance.fragment
    except ImportError:
        raise MissingError(
            what, why="pylance is not installed", fix=install_extra("lance")
        ) from None
    return lance


def is_lance(path: Path) -> bool:
    """Return whether a folder is a Lance table, and nothing else."""
    try:
        names = {entry.name for entry in os.scandir(path)}
    except OSError:
        return False
    return _VERSIONS in names and names <= _PARTS


def lance_files(path: Path) -> tuple[Path, ...]:
    """Return the files that decide what a table holds, in order."""
    return tuple(
        file
        for part in sorted(_PARTS - {"_transactions", "_indices"})
        for file in sorted((path / part).rglob("*"))
        if file.is_file()
    )
