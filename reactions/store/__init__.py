"""The content-addressed store: what steps made, on disk, by key."""

from reactions.store.maintenance import EntryInfo, Freed, Problem
from reactions.store.manifest import FORMAT
from reactions.store.partial import Partial
from reactions.store.rows import ShardedRows
from reactions.store.store import Store, store_root

__all__ = [
    "FORMAT",
    "EntryInfo",
    "Freed",
    "Partial",
    "Problem",
    "ShardedRows",
    "Store",
    "store_root",
]
