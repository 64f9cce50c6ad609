"""Weighted sums of values for a set of queries, by threads that each take tiles of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy
from typing import Self

import torch
from torch import Tensor

from reactions.ops.threads import share_among, shared_among
from reactions.ops.tiles import Matrix, Tiling, stream_tiles

_MOST_OCTAVES = 126.0
"""By which sums are scaled up: only sums of nothing are, and 0 times infinity is no number."""


class RowSums(ABC):
    """For each query, the weights of the keys so far and their values, weighted.

    Weights reach from 2^-1000 to 2^1000 where temperatures are low: each row holds its own
    relative to a unit, which may move.

    Attributes:
        unit: (n,) base-2 logarithm of what a weight of one stands for.
        total: (n,) sums of the weights.
        sums: (n, d_v) weighted sums of each value matrix.

    Args:
        like: a tensor on the device.
        n: queries.
        widths: of the values.
    """

    def __init__(self, like: Tensor, n: int, widths: Sequence[int]) -> None:
        self.unit = like.new_zeros(n, dtype=torch.float32)
        self.total = torch.zeros_like(self.unit)
        self.sums = [self.unit.new_zeros((n, width)) for width in widths]

    @abstractmethod
    def add(self, first: int, keys: Tensor, values: Sequence[Tensor]) -> None:
        """Take one tile in.

        Args:
            first: place of its first key among all.
            keys: (k, d) raw rows on the device.
            values: each (k, d_v), likewise.
        """

    def another(self) -> Self:
        """Return the same without a tile yet, for another thread."""
        other = copy(self)
        other.unit, other.total = self.unit.clone(), torch.zeros_like(self.total)
        other.sums = [torch.zeros_like(sums) for sums in self.sums]
        return other

    def move(self, rows: slice | Tensor, unit: Tensor) -> Tensor:
        """Hold rows relative to other units; return the factors by which their sums changed."""
        by = torch.exp2((self.unit[rows] - unit).clamp_(max=_MOST_OCTAVES))
        self.unit[rows] = unit
        self.total[rows] *= by
        for sums in self.sums:
            sums[rows] *= by.unsqueeze(1)
        return by

    def merge(self, other: Self) -> None:
        """Take in what another thread has summed; it is spent."""
        unit, every = torch.maximum(self.unit, other.unit), slice(None)
        self.move(every, unit)
        other.move(every, unit)
        self.total += other.total
        for sums, more in zip(self.sums, other.sums, strict=True):
            sums += more

    def means(self) -> list[Tensor]:
        """Return the weighted means, not rescaled: one (n, d_v) fp32 a value matrix."""
        return [sums / self.total.unsqueeze(1) for sums in self.sums]


def sum_up(
    sums: RowSums,
    matrices: Sequence[Matrix],
    tiling: Tiling,
    device: torch.device,
    progress: Callable[[int], None] = lambda rows: None,
) -> None:
    """Add all tiles of keys and values, in as many threads as the tiling has lanes.

    Lane i of n takes the tiles i, i + n, i + 2n, ..., converts them in its core's cache, and has
    sums of its own: threads meet once, at the end, and not at every product, where each would
    wait for the slowest. Which lane takes a tile depends on no clock, so nor does the result.

    Args:
        sums: of no tile yet.
        matrices: keys and values.
        tiling: how they are cut.
        device: where the products are computed.
        progress: called by this thread with how many keys all lanes have added.
    """
    n_tiles = -(-len(matrices[0]) // tiling.key_rows)
    n_lanes = min(tiling.lanes, n_tiles)
    lanes = [sums, *(sums.another() for _ in range(n_lanes - 1))]
    added, stopped = [0] * n_lanes, [False]

    def run(lane: int) -> None:
        try:
            tiles = stream_tiles(matrices, tiling.key_rows, device, first=lane, every=n_lanes)
            for start, (keys, *values) in tiles:
                if stopped[0]:
                    return
                lanes[lane].add(start, keys, values)
                added[lane] += len(keys)
                if lane == 0:
                    progress(sum(added))
        except BaseException:
            stopped[0] = True  # the others need not go on
            raise

    with ExitStack() as stack:
        others = []
        if n_lanes > 1:
            share = max(1, torch.get_num_threads() // n_lanes)
            stack.enter_context(shared_among(share))
            pool = ThreadPoolExecutor(n_lanes - 1, "retrieval", share_among, (share,))
            stack.enter_context(pool)
            others = [pool.submit(run, lane) for lane in range(1, n_lanes)]
        run(0)
        for other in others:
            other.result()
    for other_sums in lanes[1:]:
        sums.merge(other_sums)
    if n_lanes > 1:
        progress(sum(added))
