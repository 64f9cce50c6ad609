"""Random numbers by counter: each is a hash of a key and its index, the same on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAMMA = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, splitmix64's increment
_MASK = (1 << 64) - 1


def mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's finaliser of each element: 64 well-mixed bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def bits(key: int, counter: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 random bits for each counter of the stream named by ``key``."""
    return mix64(mix64(counter * np.uint64(_GAMMA) + np.uint64(key & _MASK)))


def uniform(key: int, n: int) -> NDArray[np.float64]:
    """Return (n,) numbers in [0, 1) of the stream named by ``key``."""
    upper = bits(key, np.arange(n, dtype=np.uint64)) >> np.uint64(11)
    return upper.astype(np.float64) * 2.0**-53


def random_rows(key: int, n: int, k: int) -> NDArray[np.int64]:
    """Return (k,) different numbers of 0 to n - 1, in random order; k <= n."""
    order = np.argsort(bits(key, np.arange(n, dtype=np.uint64)), kind="stable")
    return order[:k].astype(np.int64)
