"""The content-addressed store: what steps made, on disk, by key."""

from reactions.store.layout import FORMAT
from reactions.store.maintenance import EntryInfo, EntryProblem, Freed
from reactions.store.partial import Partial
from reactions.store.rows import ShardedRows
from reactions.store.store import Store

__all__ = [
    "FORMAT",
    "EntryInfo",
    "EntryProblem",
    "Freed",
    "Partial",
    "ShardedRows",
    "Store",
]
