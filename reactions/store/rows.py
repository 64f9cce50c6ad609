"""Arrays read by rows from several memory-mapped files."""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.store.places import RowSource

# Python keeps a file descriptor for each memory map. These bound them for each array, and for
# all arrays together: a plan may read hundreds, and a process may have 256 files open or less.
_OPEN_SHARDS = 8
_OPEN_SHARDS_IN_ALL = 24

# One for all arrays: a shard may have to go for that of another array. Reentrant: __del__ takes
# it too, and may run in the middle of ``_shard``.
_lock = threading.RLock()
_recent: OrderedDict[tuple[int, int], weakref.ref[ShardedRows]] = OrderedDict()
"""Open shards of all arrays, as (id of the array, shard), least recently read first."""


class ShardedRows:
    """One array whose rows lie in consecutive shards, each opened when it is first read.

    Args:
        shape: overall shape, rows first.
        dtype: element type of every shard.
        shards: (rows, open) pairs in order; ``open()`` returns the (rows, *shape[1:])
            array of one shard, usually a memory map, or what reads slices of it.
        owner: anything that must stay alive while the rows can be read.

    Raises:
        ValueError: the shards' rows do not add up to ``shape[0]``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        shards: Sequence[tuple[int, Callable[[], RowSource]]],
        *,
        owner: object = None,
    ) -> None:
        self._shape = shape
        self._dtype = dtype
        self._opens = [opener for _, opener in shards]
        self._starts = [0, *accumulate(rows for rows, _ in shards)]
        if self._starts[-1] != shape[0]:
            raise ValueError(f"shards hold {self._starts[-1]} rows, the array has {shape[0]}")
        self._opened: OrderedDict[int, RowSource] = OrderedDict()
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
            TypeError: ``rows`` is not a slice.
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
        first, end = self._starts[index : index + 2]
        if stop <= end:
            return self._shard(index)[start - first : stop - first]
        # One shard after the other: a part of each would keep every one of them open.
        out = np.empty((stop - start, *self._shape[1:]), self._dtype)
        n_done = 0
        while n_done < len(out):
            first, end = self._starts[index : index + 2]
            if end > first:
                part = self._shard(index)[start + n_done - first : min(stop, end) - first]
                out[n_done : n_done + len(part)] = part
                n_done += len(part)
            index += 1
        return out

    def to_array(self) -> NDArray[Any]:
        """Return all rows: a read-only view when they lie in one shard, else a copy."""
        return self[:]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.to_array()
        return array.astype(dtype or array.dtype, copy=bool(copy))

    def __getstate__(self) -> dict[str, Any]:
        # By the files' paths: what is open here stays here, and so does the hold on the entry.
        # The process that runs a plan holds its entries while other processes work for it.
        return {**self.__dict__, "_opened": OrderedDict(), "_owner": None}

    def __repr__(self) -> str:
        return f"ShardedRows(shape={self._shape}, dtype={self._dtype}, shards={len(self._opens)})"

    def _shard(self, index: int) -> RowSource:
        with _lock:  # several steps may read one array at a time
            mark = (id(self), index)
            if index in self._opened:
                self._opened.move_to_end(index)
                _recent.move_to_end(mark)
                return self._opened[index]
            opened = self._opens[index]()
            self._opened[index] = opened
            _recent[mark] = weakref.ref(self)
            if len(self._opened) > _OPEN_SHARDS:
                self._close(next(iter(self._opened)))
            while len(_recent) > _OPEN_SHARDS_IN_ALL:
                oldest, reference = next(iter(_recent.items()))
                if (rows := reference()) is None:  # between its end and its __del__
                    _recent.pop(oldest, None)
                else:
                    rows._close(oldest[1])
            return opened

    def _close(self, index: int) -> None:
        # A memory map is closed once no slice of it is in use any more.
        del self._opened[index]
        _recent.pop((id(self), index), None)

    def __del__(self) -> None:
        with _lock:
            # Where __init__ raised there is no ``_opened``.
            for index in list(getattr(self, "_opened", ())):
                self._close(index)
