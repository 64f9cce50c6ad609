"""Arrays in files: small ones are read, large ones memory-mapped."""

from __future__ import annotations

import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALL_BYTES = 1 << 20
"""Shards up to this size are read whole: a memory map keeps a file descriptor open for as long
as anything refers to a part of it, and the heads of a product have hundreds of small tensors."""


def open_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Read a small ``.npy`` file, memory-map a large one.

    Args:
        path: the file.
        dtype: that it must hold.
        shape: likewise.

    Raises:
        StoreError: it cannot be read, or holds something else.
    """
    try:
        # Mapped first, so that a file of another shape is refused before it is read.
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    # numpy parses the header as a Python literal: hence the last two.
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise unreadable(path, str(error)) from error
    if array.dtype != dtype or array.shape != shape:
        raise unreadable(path, f"it holds {array.dtype} {array.shape}, not {dtype} {shape}")
    if array.nbytes > _SMALL_BYTES:
        return np.asarray(array)  # not the memmap subclass
    array = np.array(array)
    # As the memory map of a large one is.
    array.flags.writeable = False
    return array


def unreadable(path: Path, why: str) -> StoreError:
    """Return the error for an entry's file that cannot be read."""
    return StoreError(
        f"cannot read {path.name} of entry {path.parent.name[:12]} in the store",
        why=why,
        fix="molspace cache verify --repair   puts damaged entries aside; then run again",
        path=str(path),
    )
