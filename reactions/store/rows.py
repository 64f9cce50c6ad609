"""Arrays read by rows from several memory-mapped files."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Python keeps a file descriptor for each memory map; this bounds them for each array.
_OPEN_SHARDS = 8


class ShardedRows:
    """One array whose rows lie in consecutive shards, each opened when it is first read.

    Args:
        shape: overall shape, rows first.
        dtype: element type of every shard.
        shards: (rows, open) pairs in order; ``open()`` returns the (rows, *shape[1:])
            array of one shard, usually a memory map.
        owner: anything that must stay alive while the rows can be read.

    Raises:
        ValueError: the shards' rows do not add up to ``shape[0]``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        shards: Sequence[tuple[int, Callable[[], NDArray[Any]]]],
        *,
        owner: object = None,
    ) -> None:
        self._shape = shape
        self._dtype = dtype
        self._opens = [opener for _, opener in shards]
        self._starts = [0, *accumulate(rows for rows, _ in shards)]
        if self._starts[-1] != shape[0]:
            raise ValueError(f"shards hold {self._starts[-1]} rows, the array has {shape[0]}")
        self._opened: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()  # several steps may read one array at a time
        self._owner = owner

    @property
    def shape(self) -> tuple[int, ...]:
        """Overall shape, rows first."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of every shard."""
        return self._dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows together."""
        return int(np.prod(self._shape, dtype=np.int64)) * self._dtype.itemsize

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return contiguous rows, read-only; copies only where they span shards.

        Raises:
            TypeError: ``rows`` is no slice.
            ValueError: the slice has a step other than 1.
        """
        if not isinstance(rows, slice):
            raise TypeError(f"rows are read by slice, not by {type(rows).__name__}")
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"rows are contiguous: a slice step of {step} is not supported")
        if stop <= start:
            return np.empty((0, *self._shape[1:]), self._dtype)
        index = bisect_right(self._starts, start) - 1
        parts = []
        while start < stop:
            first, end = self._starts[index], self._starts[index + 1]
            if end > start:
                parts.append(self._shard(index)[start - first : min(stop, end) - first])
                start = min(stop, end)
            index += 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def to_array(self) -> NDArray[Any]:
        """Return all rows: a read-only view when they lie in one shard, else a copy."""
        return self[:]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.to_array()
        return array.astype(dtype or array.dtype, copy=bool(copy))

    def __repr__(self) -> str:
        return f"ShardedRows(shape={self._shape}, dtype={self._dtype}, shards={len(self._opens)})"

    def _shard(self, index: int) -> NDArray[Any]:
        with self._lock:
            if index in self._opened:
                self._opened.move_to_end(index)
                return self._opened[index]
            opened = np.asarray(self._opens[index]())  # not the memmap subclass
            self._opened[index] = opened
            if len(self._opened) > _OPEN_SHARDS:
                self._opened.popitem(last=False)
            return opened
