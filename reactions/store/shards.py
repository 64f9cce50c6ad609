"""Arrays of entries, opened shard by shard when they are read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from reactions.store.manifest import ArrayRecord
from reactions.store.places import StorePlace
from reactions.store.rows import ShardedRows


def stored_rows(folder: Path, record: ArrayRecord, owner: object, place: StorePlace) -> ShardedRows:
    """Return an array of an entry; nothing is opened yet.

    Args:
        folder: of the entry.
        record: of the array.
        owner: stays alive while the rows can be read.
        place: what opens the files.
    """
    dtype = np.dtype(record.dtype)
    openers = [
        (
            shard.rows,
            partial(
                place.open_rows,
                folder / shard.file,
                shard.sha256,
                shard.size_bytes,
                dtype,
                (shard.rows, *record.shape[1:]),
            ),
        )
        for shard in record.shards
    ]
    return ShardedRows(record.shape, dtype, openers, owner=owner)
