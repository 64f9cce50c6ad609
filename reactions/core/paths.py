"""The folders that molspace keeps between runs.

    cache_root()        what can be computed again: the store, digests, scans
    weights_root()      weights that were fetched
    data_root()         what cannot: bundles, agreements to lab files
    evaluation_root()   evaluation sets and corpora: $MOLSPACE_DATA in lab files

XDG's rule on every system. Not by platformdirs, which ignores ``XDG_CACHE_HOME`` where it is
relative or begins with ``~``, and has other folders on macOS: caches and bundles that people have
would not be found again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from reactions.core.environment import from_variable
from reactions.core.errors import MissingError, UsageError
from reactions.core.file_names import near_file
from reactions.core.local_files import exists, expand_user, is_dir, is_file

CACHE_VARIABLE = "MOLSPACE_CACHE"
DATA_VARIABLE = "MOLSPACE_DATA"
WEIGHTS_VARIABLE = "MOLSPACE_WEIGHTS"


def cache_root() -> Path:
    """Return ``$MOLSPACE_CACHE``, or ``molspace`` in ``cache_home()``.

    The latter also where results lie behind a URL: what is remembered of this machine's files has
    no place there.
    """
    address = store_address()
    return address if isinstance(address, Path) else cache_home() / "molspace"


def store_address() -> Path | str:
    """Return where results lie: a folder, or the URL in ``$MOLSPACE_CACHE``.

    ``file://`` URLs are folders.

    Raises:
        UsageError: it is a URL that lacks a slash, and would be taken for a folder's name.
    """
    address = os.environ.get(CACHE_VARIABLE, "")
    if short := re.match(r"(s3|gs|gcs|az|abfs|file|https?):/?(?!/)", address, re.IGNORECASE):
        raise UsageError(
            f"'{address}' is neither a folder nor a URL",
            fix=f"MOLSPACE_CACHE={short[1]}://{address[short.end() :]}   or a folder: ./{address}",
        )
    if address.lower().startswith("file://"):
        return Path(url2pathname(urlsplit(address).path)).absolute()
    if "://" in address:
        return address
    return _chosen(CACHE_VARIABLE) or cache_home() / "molspace"


def weights_root() -> Path:
    """Return the folder of weights that were fetched, a folder a space."""
    return cache_home() / "molspace" / "weights"


def data_root() -> Path:
    """Return ``$XDG_DATA_HOME/molspace``, or ``~/.local/share/molspace``."""
    return (_chosen("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "molspace"


def evaluation_root() -> Path:
    """Return ``$MOLSPACE_DATA``, or ``data`` in ``data_root()``."""
    return _chosen(DATA_VARIABLE) or data_root() / "data"


def weights_folders() -> list[Path]:
    """Return the folders in ``$MOLSPACE_WEIGHTS``, in order."""
    folders = os.environ.get(WEIGHTS_VARIABLE, "")
    return [expand_user(part) for part in folders.split(os.pathsep) if part]


def check_data(folder: Path) -> None:
    """Refuse a folder of evaluation sets that is not there.

    Raises:
        MissingError: it is not.
    """
    _check_there(folder, "data", "give the folder that holds the evaluation sets, one folder each")


def check_folders(*, data_is_given: bool = False) -> None:
    """Refuse variables that name no folder: those to read from must be there.

    Args:
        data_is_given: something else says where evaluation sets lie.

    Raises:
        MissingError: ``$MOLSPACE_DATA`` or one of ``$MOLSPACE_WEIGHTS`` is not there.
        UsageError: a file is where another variable needs a folder.
    """
    if not data_is_given and (data := _chosen(DATA_VARIABLE)) is not None:
        try:
            check_data(data)
        except MissingError as error:
            error.fix += f", or unset {DATA_VARIABLE}"
            raise from_variable(error, DATA_VARIABLE) from None
    for folder in weights_folders():
        try:
            _check_there(folder, "weights", "give the folder that holds a folder a space")
        except MissingError as error:
            error.fix += f", or unset {WEIGHTS_VARIABLE}"
            raise from_variable(error, WEIGHTS_VARIABLE) from None
    for variable in (CACHE_VARIABLE, "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        path = _chosen(variable)
        if path is None or "://" in os.environ[variable]:
            continue
        nearest = next((part for part in (path, *path.parents) if exists(part)), path)
        if exists(nearest) and not is_dir(nearest):
            raise UsageError(
                f"{variable}: '{path}' cannot be a folder",
                why=f"'{nearest}' is a file",
                fix=f"name a folder, which need not be there yet, or unset {variable}",
                path=str(path),
            )


def _check_there(folder: Path, kind: str, fix: str) -> None:
    if not is_dir(folder):
        near = near_file(str(folder))
        raise MissingError(
            f"no folder of {kind} at '{folder}'",
            why="it is a file" if is_file(folder) else "",
            fix=f"did you mean '{near}'?" if near else fix,
            path=str(folder),
        )


def cache_home() -> Path:
    """Return ``$XDG_CACHE_HOME``, or ``~/.cache``; other programs keep theirs there, too."""
    return _chosen("XDG_CACHE_HOME") or Path.home() / ".cache"


def _chosen(variable: str) -> Path | None:
    folder = os.environ.get(variable)
    return expand_user(folder).absolute() if folder else None
