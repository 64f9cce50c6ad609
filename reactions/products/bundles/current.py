"""Where bundles lie by default, and which of them is the current one.

The current bundle is kept for each working folder and lab, so that work in one folder does not
change what ``eval`` and ``infer`` use in another. In ``data_root()``:

    current.d/<digest of folder and lab>.json   {"folder", "lab", "bundle", "time_ns"}
    current                                     of earlier versions: a path, for the whole account
    .current.*                                  pointers being written; a kill may leave them behind

Nothing else begins with ``.current.``: what is old of that name may be removed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from reactions.core.errors import DataError, MissingError, MolspaceError, StoreError
from reactions.core.hashing import bytes_digest
from reactions.core.local_files import is_file, read_small_file, replace_file
from reactions.core.paths import data_root
from reactions.core.types import Space, leaves
from reactions.products.bundles.bundle import RECORD, load_bundle
from reactions.products.bundles.folder import restore

POINTERS = "current.d"
TEMPORARY_PREFIX = ".current."
_MAX_POINTER_BYTES = 1 << 16
_ANY_LAB = ""
_NAMING = "--space"
"""How a bundle is named on a command line, before its path."""


class OfLab(Protocol):
    """What is needed of the lab that a bundle was made in."""

    @property
    def name(self) -> str:
        """Its own name, which the bundle's record has, too."""

    @property
    def key(self) -> str:
        """What distinguishes it from other labs."""


@dataclass(frozen=True, slots=True)
class Current:
    """The bundle that is used where none is named.

    Attributes:
        directory: the bundle's.
        reason: why this one, for people.
        is_own: whether it was chosen in this very folder and lab.
    """

    directory: Path
    reason: str
    is_own: bool


@dataclass(frozen=True, slots=True)
class _Pointer:
    folder: Path
    lab: str
    directory: Path
    time_ns: int


def default_directory(name: str, bundle_digest: str) -> Path:
    """Return the directory of a new bundle: its leaves' names and the start of its digest."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.")[:60]
    return data_root() / "bundles" / f"{safe or 'product'}-{bundle_digest[:12]}"


def product_name(space: Space) -> str:
    """Return a name for files: the leaves joined by ``+``-less dashes."""
    names = [leaf.spec.name for leaf in leaves(space)]
    return "-".join(Path(name).name for name in names)


# --- the current bundle --------------------------------------------------------------


def set_current(directory: Path, lab: OfLab | None = None) -> None:
    """Make a bundle the one that ``eval`` and ``infer`` take in this folder, and below it.

    Args:
        directory: the bundle's.
        lab: that it was made in; None makes it the one of every lab, until the next one of a lab.

    Raises:
        StoreError: the pointer cannot be written, or the working folder is gone.
    """
    root = data_root()
    try:
        folder = Path.cwd()
    except OSError:
        raise StoreError(
            "the current bundle is not remembered",
            why="the working folder is gone",
            fix="name the bundle with --space",
        ) from None
    key = _ANY_LAB if lab is None else lab.key
    pointer = _place(root, folder, key)
    record = {
        "folder": str(folder),
        "lab": key,
        "bundle": str(directory.resolve()),
        "time_ns": time.time_ns(),
    }
    try:
        replace_file(pointer, json.dumps(record, indent=1), folder=root, prefix=TEMPORARY_PREFIX)
    except OSError as error:
        raise StoreError(
            f"cannot write {root / 'current'}: the current bundle is not remembered",
            why=error.strerror or str(error),
            fix="set XDG_DATA_HOME, or name the bundle with --space",
        ) from None


def current_bundle(lab: OfLab | None = None, *, naming: str = _NAMING) -> Current:
    """Return the bundle to take where none is named: the nearest folder's, going upwards.

    Args:
        lab: the one to work with; only its bundles count. None takes those of any lab.
        naming: what a person writes before a bundle's path instead, for errors.

    Raises:
        MissingError: there is none, it is gone, or only other labs have one.
    """
    try:
        folder = Path.cwd()
    except OSError:
        raise MissingError(
            "there is no current bundle", why="the working folder is gone", fix=f"{naming} BUNDLE"
        ) from None
    root = data_root()
    for above in (folder, *folder.parents):
        keys = (lab.key, _ANY_LAB) if lab else None
        if pointer := _newest(root, above, keys):
            whose = f", lab: {pointer.lab}" if pointer.lab else ""
            reason = f"the last one made in {pointer.folder}{whose}"
            if not _is_bundle(pointer.directory):
                raise MissingError(
                    f"the current bundle is gone: {pointer.directory}",
                    why=f"it was {reason}",
                    fix=_fix(naming),
                )
            return Current(pointer.directory, reason, above == folder)
    if legacy := _legacy(root, lab, naming):
        return legacy
    raise _none(root, folder, lab, naming)


def _place(root: Path, folder: Path, lab_key: str) -> Path:
    # No path holds a NUL, so no two pairs give the same bytes.
    preimage = os.fsencode(folder) + b"\0" + os.fsencode(lab_key)
    return root / POINTERS / f"{bytes_digest(preimage)[:32]}.json"


def _newest(root: Path, folder: Path, keys: tuple[str, ...] | None) -> _Pointer | None:
    """Return the newest pointer of a folder; keys of None are those of all labs."""
    if keys is None:
        pointers = [pointer for pointer in _all(root) if pointer.folder == folder]
    else:
        pointers = [p for key in keys if (p := _read(_place(root, folder, key)))]
    return max(pointers, key=lambda pointer: pointer.time_ns, default=None)


def _all(root: Path) -> Iterator[_Pointer]:
    try:
        paths = sorted((root / POINTERS).glob("*.json"))
    except OSError:
        return
    for path in paths:
        if pointer := _read(path):
            yield pointer


def _read(path: Path) -> _Pointer | None:
    """Read a pointer; one that is damaged points nowhere."""
    try:
        record: Mapping[str, Any] = json.loads(read_small_file(path, _MAX_POINTER_BYTES))
        pointer = _Pointer(
            Path(record["folder"]),
            str(record["lab"]),
            Path(record["bundle"]),
            int(record["time_ns"]),
        )
    except (MolspaceError, OSError, ValueError, TypeError, LookupError, RecursionError):
        return None
    return pointer if pointer.directory.is_absolute() else None


def _legacy(root: Path, lab: OfLab | None, naming: str) -> Current | None:
    """Return the bundle that an earlier version kept for the account, if it is of this lab."""
    try:
        data = read_small_file(root / "current", _MAX_POINTER_BYTES)
    except (MissingError, DataError):
        return None
    directory = Path(os.fsdecode(data.strip()))
    if not directory.is_absolute() or not _is_bundle(directory):
        raise MissingError(f"the current bundle is gone: {directory}", fix=_fix(naming))
    made_in = load_bundle(directory).record["lab"].get("name")
    if lab is not None and made_in != lab.name:
        raise MissingError(
            f"there is no current bundle of lab '{lab.name}' here",
            why=f"an earlier version kept one for the whole account, but it is of lab '{made_in}'",
            fix=f"{naming} {directory}   or   {_fix(naming)}",
        )
    reason = "kept for the whole account by an earlier version; none was made here or above"
    return Current(directory, reason, is_own=False)


def _none(root: Path, folder: Path, lab: OfLab | None, naming: str) -> MissingError:
    """Say which bundles there are, of other labs or in other folders."""
    pointers = sorted(_all(root), key=lambda pointer: pointer.time_ns, reverse=True)
    pointers = [pointer for pointer in pointers if _is_bundle(pointer.directory)]
    near = [pointer for pointer in pointers if pointer.folder in (folder, *folder.parents)]
    whose = f" of lab '{lab.name}'" if lab and near else ""
    why, fix = "", _fix(naming)
    if near or pointers:
        other = (near or pointers)[0]
        label = f" (lab: {other.lab})" if other.lab else ""
        why = f"the last one was made in {other.folder}{label}: {other.directory}"
        option = f"--lab {other.lab}   or   " if near else ""
        fix = f'{option}{naming} {other.directory}   or   molspace react "..." here'
    return MissingError(
        f"there is no current bundle{whose} here",
        why=why,
        fix=fix,
        bundles=[str(pointer.directory) for pointer in pointers[:20]],
    )


def _fix(naming: str) -> str:
    return f'molspace react "..."   or   {naming} BUNDLE'


def _is_bundle(directory: Path) -> bool:
    restore(directory)  # a process may have been killed while it replaced it
    return is_file(directory / RECORD)
