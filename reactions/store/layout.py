"""What lies where in a store.

Under the root::

    store.json                    format version
    entries/<2 hex>/<key>/        manifest.json, written last, and .npy files
    entries.index                 entries by what made them but the corpus
    partial/<key>/<start>-<stop>/ finished shards of entries in the making
    partial/<key>/checkpoint.npz  what a step that is made whole has saved on its way
    locks/<key>.lock              held while a process makes the entry, or several share it
    locks/<key>.<part>.lock       held while a process makes a shard of it, or joins the shards
    leases/<process>.lease        keys of the entries that a living process uses
    tmp/                          folders being written, before they are renamed
    quarantine/                   damaged entries, out of the way

Behind a URL the same names are objects (see ``bucket``), and ``entries.index`` and ``tmp`` lie in
the folder of this machine's copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reactions.core.types import Digest

FORMAT = 1
"""Version of the layout of the store; raised when older versions could misread it."""

MANIFEST_JSON = "manifest.json"


@dataclass(frozen=True)
class StoreLayout:
    """Paths under a store's root.

    Attributes:
        root: folder of the store; of one behind a URL, the folder of this machine's copies.
    """

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

    def entry(self, key: Digest) -> Path:
        """Return the folder of one entry."""
        return self.entries / key[:2] / key

    def lock(self, key: Digest, part: str = "") -> Path:
        """Return the lock file for making one entry, or a part of it."""
        return self.locks / f"{key}.{part}.lock" if part else self.locks / f"{key}.lock"
