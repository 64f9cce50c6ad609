"""Where things lie in a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reactions.core.types import Digest

MANIFEST_JSON = "manifest.json"


@dataclass(frozen=True, slots=True)
class Layout:
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

    def entry(self, key: Digest) -> Path:
        """Return the folder of one entry."""
        return self.entries / key[:2] / key

    def lock(self, key: Digest) -> Path:
        """Return the lock file for making one entry."""
        return self.locks / f"{key}.lock"
