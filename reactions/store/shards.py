"""Arrays of entries, opened shard by shard when they are read."""

from __future__ import annotations

import tokenize
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import StoreError
from reactions.store.manifest import ArrayRecord
from reactions.store.rows import ShardedRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALL_BYTES = 1 << 20
"""Shards up to this size are read whole: a memory map keeps a file descriptor open for as long
as anything refers to a part of it, and the heads of a product have hundreds of small tensors."""


def stored_rows(folder: Path, record: ArrayRecord, owner: object) -> ShardedRows:
    """Return an array of an entry; nothing is opened yet.

    Args:
        folder: of the entry.
        record: of the array.
        owner: stays alive while the rows can be read.
    """
    dtype = np.dtype(record.dtype)
    openers = [
        (shard.rows, partial(open_shard, folder / shard.file, dtype, record.shape, shard.rows))
        for shard in record.shards
    ]
    return ShardedRows(record.shape, dtype, openers, owner=owner)


def open_shard(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], rows: int) -> NDArray[Any]:
    """Read a small shard, memory-map a large one.

    Args:
        path: an ``.npy`` file.
        dtype: that it must hold.
        shape: of the whole array.
        rows: that it must hold.

    Raises:
        StoreError: it cannot be read, or is not what the manifest says.
    """
    expected = (rows, *shape[1:])
    try:
        # Mapped first, so that a file of another shape is refused before it is read.
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    # numpy parses the header as a Python literal: hence the last two.
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise _unreadable(path, str(error)) from error
    if array.dtype != dtype or array.shape != expected:
        raise _unreadable(path, f"it holds {array.dtype} {array.shape}, not {dtype} {expected}")
    if array.nbytes > _SMALL_BYTES:
        return array
    array = np.array(array)
    # As the memory map of a large one is.
    array.flags.writeable = False
    return array


def _unreadable(path: Path, why: str) -> StoreError:
    return StoreError(
        f"cannot read {path.name} of entry {path.parent.name[:12]} in the store",
        why=why,
        fix="molspace cache verify --repair   puts damaged entries aside; then run again",
        path=str(path),
    )
