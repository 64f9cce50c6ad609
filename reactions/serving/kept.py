"""Things that are kept while there is room, and that go by how long ago they were used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")


class Kept(Generic[V]):
    """A cache bounded by the size of its values; threads may share it.

    Args:
        most: sum of sizes.
        size: of a value.
        count: how many values, at most.
    """

    def __init__(
        self, most: int, size: Callable[[V], int] = lambda value: 1, count: int | None = None
    ) -> None:
        self._most = most
        self._size = size
        self._count = count
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._size_held = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> V | None:
        """Return a value, which becomes the one that was used last; None if it is not there."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value, unless it is too large for all the room there is."""
        size = self._size(value)
        if size > self._most:
            return
        with self._lock:
            if key in self._values:
                self._size_held -= self._size(self._values.pop(key))
            self._values[key] = value
            self._size_held += size
            while self._size_held > self._most or (
                self._count is not None and len(self._values) > self._count
            ):
                _, oldest = self._values.popitem(last=False)
                self._size_held -= self._size(oldest)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def held(self) -> int:
        """Sum of the sizes of what is kept."""
        return self._size_held
