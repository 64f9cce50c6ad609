"""Where bundles lie by default, and which of them is the current one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from reactions.bundle import RECORD
from reactions.errors import MissingError, StoreError
from reactions.kinds import Space, leaves


def data_root() -> Path:
    """Return where bundles go by default: ``$XDG_DATA_HOME/molspace``."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "molspace"


def default_directory(name: str, bundle_digest: str) -> Path:
    """Return the directory of a new bundle: its leaves' names and the start of its digest."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.")[:60]
    return data_root() / "bundles" / f"{safe or 'product'}-{bundle_digest[:12]}"


def product_name(space: Space) -> str:
    """Return a name for files: the leaves joined by ``+``-less dashes."""
    names = [leaf.spec.name for leaf in leaves(space)]
    return "-".join(Path(name).name for name in names)


def set_current(directory: Path) -> None:
    """Make a bundle the one that ``eval`` and ``infer`` take by default.

    Raises:
        StoreError: the pointer cannot be written.
    """
    pointer = data_root() / "current"
    try:
        pointer.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".current.", dir=pointer.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(os.fsencode(directory.resolve()) + b"\n")
        Path(name).replace(pointer)
    except OSError as error:
        raise StoreError(
            f"cannot write {pointer}", why=error.strerror or str(error), fix="set XDG_DATA_HOME"
        ) from None


def current_directory() -> Path:
    """Return the current bundle's directory.

    Raises:
        MissingError: there is none, or it is gone.
    """
    pointer = data_root() / "current"
    fix = 'molspace react "..."   or   --space BUNDLE'
    if not pointer.is_file():
        raise MissingError("there is no current bundle", fix=fix)
    directory = Path(os.fsdecode(pointer.read_bytes().strip()))
    if not directory.is_absolute() or not (directory / RECORD).is_file():
        raise MissingError(f"the current bundle is gone: {directory}", fix=fix)
    return directory
