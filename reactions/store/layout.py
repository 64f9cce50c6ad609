"""Where a store lies, and what lies where in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reactions.core.errors import StoreError
from reactions.core.types import Digest

FORMAT = 1
"""Version of the layout of the store; raised when older versions could misread it."""

_MAX_RECORD_BYTES = 1 << 16

MANIFEST_JSON = "manifest.json"


@dataclass(frozen=True, slots=True)
class StoreLayout:
    """Paths under a store's root."""

    root: Path

    @property
    def store_json(self) -> Path:
        """The format version."""
        return self.root / "store.json"

    @property
    def entries(self) -> Path:
        """Finished entries."""
        return self.root / "entries"

    @property
    def partial(self) -> Path:
        """Entries in the making."""
        return self.root / "partial"

    @property
    def tmp(self) -> Path:
        """Folders being written or removed."""
        return self.root / "tmp"

    @property
    def locks(self) -> Path:
        """Lock files."""
        return self.root / "locks"

    @property
    def leases(self) -> Path:
        """Which entries living processes use."""
        return self.root / "leases"

    @property
    def quarantine(self) -> Path:
        """Damaged entries."""
        return self.root / "quarantine"

    @property
    def index(self) -> Path:
        """Entries by what made them; see ``Index``."""
        return self.root / "entries.index"

    @property
    def corpora(self) -> Path:
        """What corpora hold; scans of corpora may lie beside it, and are pruned with it."""
        return self.root / "corpora"

    def entry_folders(self) -> Iterator[Path]:
        """Yield the folder of every entry, in order of keys."""
        for group in children(self.entries):
            yield from children(group)

    def entry(self, key: Digest) -> Path:
        """Return the folder of one entry."""
        return self.entries / key[:2] / key

    def lock(self, key: Digest, part: str = "") -> Path:
        """Return the lock file for making one entry, or a part of it."""
        return self.locks / f"{key}.{part}.lock" if part else self.locks / f"{key}.lock"


def check_format(layout: StoreLayout) -> bool:
    """Refuse a store of another version.

    Returns:
        Whether the store is there.

    Raises:
        StoreError: the store is of another version, or does not say of which.
        OSError: it cannot be read.
    """
    root, path = layout.root, layout.store_json
    fix = f"set MOLSPACE_CACHE to another folder, or remove {path} and {layout.entries}"
    try:
        # The file has a few bytes: one this large is not ours, and is not read into memory.
        if path.stat().st_size > _MAX_RECORD_BYTES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        version = json.loads(path.read_text(encoding="utf-8"))["format"]
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise StoreError(
            f"cannot tell the version of the store at {root}",
            why=f"{path} is damaged ({error!r})",
            fix=fix,
            path=str(root),
        ) from error
    if version != FORMAT:
        raise StoreError(
            f"the store at {root} has format {version}, this version reads format {FORMAT}",
            why="it was written by another version of molspace",
            fix=fix,
            path=str(root),
            found=version,
            expected=FORMAT,
        )
    return True


def children(folder: Path) -> list[Path]:
    """Return the folders within a folder, by name; none where it does not exist."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
