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

from reactions.core.errors import UsageError
from reactions.core.local_files import expand_user

DATA_VARIABLE = "MOLSPACE_DATA"


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
    chosen = os.environ.get("MOLSPACE_CACHE", "")
    if short := re.match(r"(s3|gs|gcs|az|abfs|file|https?):/?(?!/)", chosen, re.IGNORECASE):
        raise UsageError(
            f"MOLSPACE_CACHE: '{chosen}' is neither a folder nor a URL",
            fix=f"MOLSPACE_CACHE={short[1]}://{chosen[short.end() :]}   or a folder: ./{chosen}",
        )
    if chosen.lower().startswith("file://"):
        return Path(url2pathname(urlsplit(chosen).path)).absolute()
    if "://" in chosen:
        return chosen
    return _chosen("MOLSPACE_CACHE") or cache_home() / "molspace"


def weights_root() -> Path:
    """Return the folder of weights that were fetched, a folder a space."""
    return cache_home() / "molspace" / "weights"


def data_root() -> Path:
    """Return ``$XDG_DATA_HOME/molspace``, or ``~/.local/share/molspace``."""
    return (_chosen("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "molspace"


def evaluation_root() -> Path:
    """Return ``$MOLSPACE_DATA``, or ``data`` in ``data_root()``."""
    return _chosen(DATA_VARIABLE) or data_root() / "data"


def cache_home() -> Path:
    """Return ``$XDG_CACHE_HOME``, or ``~/.cache``; other programs keep theirs there, too."""
    return _chosen("XDG_CACHE_HOME") or Path.home() / ".cache"


def _chosen(variable: str) -> Path | None:
    folder = os.environ.get(variable)
    return expand_user(folder).absolute() if folder else None
