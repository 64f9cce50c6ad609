"""Weighted sums of values for a set of queries, by threads that each take tiles of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from queue import SimpleQueue
from threading import Event
from typing import Self

import torch
from torch import Tensor

from reactions.ops.threads import own_threads
from reactions.ops.tiles import Matrix, Tiling, stream_tiles

_MOST_OCTAVES = 126.0
"""By which sums are scaled up: only sums of nothing are, and 0 times infinity is not a number."""


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
        """Return the weighted means, not rescaled: one (n, d_v) fp32 a value matrix.

        They take the place of the sums.
        """
        return [sums.div_(self.total.unsqueeze(1)) for sums in self.sums]


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
        progress: called by this thread, after each tile, with how many keys have been added. What
            it raises ends all lanes.
    """
    n_tiles = -(-len(matrices[0]) // tiling.key_rows)
    lanes = [sums, *(sums.another() for _ in range(min(tiling.lanes, n_tiles) - 1))]
    stopping = Event()
    # Of a tile, when it has been added; None when a lane ends.
    rows_added: SimpleQueue[int | None] = SimpleQueue()
    # torch holds these for each thread apart.
    is_inference, is_grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def tiles(lane: int) -> Iterator[int]:
        """Add the tiles of a lane, and yield the rows of each."""
        parts = stream_tiles(matrices, tiling.key_rows, device, first=lane, every=len(lanes))
        for start, (keys, *values) in parts:
            lanes[lane].add(start, keys, values)
            yield len(keys)

    def run(lane: int) -> None:
        try:
            with torch.inference_mode(is_inference), torch.set_grad_enabled(is_grad):
                for rows in tiles(lane):
                    rows_added.put(rows)
                    if stopping.is_set():
                        return
        except BaseException:
            stopping.set()
            raise
        finally:
            rows_added.put(None)

    done = 0
    if len(lanes) == 1:
        for rows in tiles(0):
            done += rows
            progress(done)
        return
    with own_threads(len(lanes)) as pool:
        try:
            runs = [pool.submit(run, lane) for lane in range(len(lanes))]
            running = len(runs)
            while running:
                added = rows_added.get()
                if added is None:
                    running -= 1
                else:
                    done += added
                    progress(done)
        finally:
            stopping.set()
    for lane_run in runs:
        lane_run.result()
    for other in lanes[1:]:
        sums.merge(other)
