"""Pseudo-pairs as training reads them: loaded once for many projectors, or streamed."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reactions.ops.precision import Precision, gemm_dtype
from reactions.ops.tensors import unit

if TYPE_CHECKING:
    from reactions.core.step import Rows

BLOCK_ROWS = 256
WINDOW_ROWS = 1 << 17
"""Rows are shuffled within a window of blocks: 1.2 GB at the paper's widths in 16 bits."""

LOAD_ROWS = 1024
"""Rows loaded at a time: what is copied is still in the cache when it is scaled."""

_Block: TypeAlias = tuple[int, int, int]
"""(pseudo set, first row, one past the last row)"""

_Sides: TypeAlias = tuple[Tensor, Tensor]
"""Source and target, each (rows, modalities, dim): a gather finds a pseudo-pair in one place."""


@dataclass(frozen=True, slots=True)
class PseudoSet:
    """Pseudo-pairs collected from one anchor; row i of every array belongs together.

    Attributes:
        source: the side that is projected, one (n, d_in) array a modality.
        target: the frozen side, one (n, d_out) array a modality.
    """

    source: Sequence[Rows]
    target: Sequence[Rows]

    def __len__(self) -> int:
        return len(self.source[0])


class PseudoTable:
    """The pseudo sets of all anchors of one expert, from which any subset is trained on.

    Kept on the device if they fit; otherwise windows of rows are read from the arrays, which
    may be memory-mapped and larger than memory, the next one while the last is trained on.
    That bounds memory to two windows. Either way gives the same batches, and a subset
    gives the same batches as a table of that subset alone.

    Args:
        sets: one for each anchor, all with the same modalities in the same order. A number
            stands for a set of that many rows that ``provide`` brings later.
        device: where training happens.
        precision: ``fast`` keeps rows in 16 bits where the device multiplies those fast.
        budget_bytes: the table is kept on the device if it takes no more; None sets no limit.
            Sets no larger than two windows are kept in any case.
    """

    def __init__(
        self,
        sets: Sequence[PseudoSet | int],
        *,
        device: str | torch.device = "cpu",
        precision: Precision = "exact",
        budget_bytes: int | None = None,
    ) -> None:
        self._sizes = [pairs if isinstance(pairs, int) else len(pairs) for pairs in sets]
        self._sets = {i: pairs for i, pairs in enumerate(sets) if isinstance(pairs, PseudoSet)}
        self.device = torch.device(device)
        self.dtype = gemm_dtype(device, "training", precision) or torch.float32
        some = next(iter(self._sets.values()))
        self.source_dim, self.target_dim = some.source[0].shape[1], some.target[0].shape[1]
        self.modalities = len(some.source), len(some.target)
        # One for all windows: what a stream has freed, only that stream can reuse.
        on_cuda = self.device.type == "cuda"
        self._aside = torch.cuda.Stream(self.device) if on_cuda else None  # type: ignore[no-untyped-call]
        self._resident: _Sides | None = None
        if budget_bytes is None or self.size_bytes <= budget_bytes:
            self._resident = self._allocate(sum(self._sizes))
            for which in self._sets:
                self._fill(which)

    def provide(self, which: int, pairs: PseudoSet) -> None:
        """Bring a set that was announced by its number of rows; the first one brought stays.

        Args:
            which: its place.
            pairs: has as many rows as announced.
        """
        if which not in self._sets:
            self._sets[which] = pairs
            self._fill(which)

    def _fill(self, which: int) -> None:
        if self._resident is not None:
            first = sum(self._sizes[:which])
            part = slice(first, first + self._sizes[which])
            source, target = self._resident
            self._load(self._blocks([which]), (source[part], target[part]))

    @property
    def size_bytes(self) -> int:
        """What all rows take on the device."""
        widths = zip(self.modalities, (self.source_dim, self.target_dim), strict=True)
        row_bytes = self.dtype.itemsize * sum(count * dim for count, dim in widths)
        return sum(self._sizes) * row_bytes

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def resident(self) -> bool:
        """Whether all rows are on the device."""
        return self._resident is not None

    def rows(self, chosen: Sequence[int]) -> int:
        """Return the number of pseudo-pairs in the chosen sets."""
        return sum(self._sizes[which] for which in chosen)

    def batches(
        self, chosen: Sequence[int], batch_size: int, epochs: int, generator: torch.Generator
    ) -> Generator[_Sides, None, None]:
        """Yield shuffled batches: exactly ``rows // batch_size`` of them an epoch.

        Rows are shuffled as large corpora are: blocks of contiguous rows in random order, then
        row by row within a window of blocks. Sets no larger than a window are shuffled fully.

        Args:
            chosen: which sets.
            batch_size: at most the rows of the chosen sets.
            epochs: passes over them; the rows left over by whole batches differ every time.
            generator: on the CPU; decides the order.

        Yields:
            (source modalities, batch_size, source_dim) and (target modalities, batch_size,
            target_dim) unit-norm rows, valid until the next batch.
        """
        widths = self.source_dim, self.target_dim
        source, target = (
            torch.empty((modalities, batch_size, dim), dtype=self.dtype, device=self.device)
            for modalities, dim in zip(self.modalities, widths, strict=True)
        )
        batch = source, target
        # A batch may span windows but not epochs: each epoch gives ``whole`` rows.
        whole = self.rows(chosen) // batch_size * batch_size
        rows_left, filled = 0, 0
        with closing(self._windows(chosen, epochs, generator)) as windows:
            for begins_epoch, sides, order in windows:
                rows_left = whole if begins_epoch else rows_left
                order = order[:rows_left].to(self.device)
                rows_left -= len(order)
                while len(order):
                    take, order = torch.tensor_split(order, [batch_size - filled])
                    _gather(sides, take, batch, filled)
                    filled += len(take)
                    if filled == batch_size:
                        yield batch
                        filled = 0
                del sides  # or three windows would be alive while the next is awaited

    def _windows(
        self, chosen: Sequence[int], epochs: int, generator: torch.Generator
    ) -> Generator[tuple[bool, _Sides, Tensor], None, None]:
        """Yield (begins an epoch, rows on the device, order in which to take them)."""
        sets: Sequence[int] = range(len(self))
        loaded = self._resident
        if loaded is None and self.rows(chosen) <= 2 * WINDOW_ROWS:
            sets, loaded = chosen, self._load(self._blocks(chosen))
        plan = self._plan(chosen, epochs, generator)
        if loaded is not None:
            ends = list(accumulate((self._sizes[which] for which in sets), initial=0))
            # ``ends`` is longer by one: it begins with 0, so a set is paired with its first row.
            firsts = dict(zip(sets, ends, strict=False))
            for begins_epoch, blocks, order in plan:
                places = [torch.arange(a, b) + firsts[which] for which, a, b in blocks]
                yield begins_epoch, loaded, torch.cat(places)[order]
            return
        with ThreadPoolExecutor(1, thread_name_prefix="window") as ahead:
            waiting = None
            for begins_epoch, blocks, order in plan:
                following = begins_epoch, ahead.submit(self._load_aside, blocks), order
                if waiting is not None:
                    yield waiting[0], self._taken(waiting[1].result()), waiting[2]
                waiting = following
                del following
            if waiting is not None:
                yield waiting[0], self._taken(waiting[1].result()), waiting[2]

    def _plan(
        self, chosen: Sequence[int], epochs: int, generator: torch.Generator
    ) -> Iterator[tuple[bool, list[_Block], Tensor]]:
        """Yield the windows of all epochs: whether one begins, its blocks, its rows' order."""
        blocks = self._blocks(chosen)
        for _ in range(epochs):
            shuffled = torch.randperm(len(blocks), generator=generator)
            for i, window in enumerate(torch.split(shuffled, WINDOW_ROWS // BLOCK_ROWS)):
                window_blocks = [blocks[which] for which in window.tolist()]
                rows = sum(stop - start for _, start, stop in window_blocks)
                yield i == 0, window_blocks, torch.randperm(rows, generator=generator)

    def _blocks(self, chosen: Sequence[int]) -> list[_Block]:
        return [
            (which, start, min(self._sizes[which], start + BLOCK_ROWS))
            for which in chosen
            for start in range(0, self._sizes[which], BLOCK_ROWS)
        ]

    def _load_aside(self, blocks: Sequence[_Block]) -> _Sides:
        """Load in the background; on CUDA on a stream of its own, to the end."""
        if self._aside is None:
            return self._load(blocks)
        with torch.cuda.stream(self._aside):
            sides = self._load(blocks)
            # Waited for in this thread, so that training need not wait for the copy.
            self._aside.synchronize()
        return sides

    def _taken(self, sides: _Sides) -> _Sides:
        """Tell the allocator that the training stream now uses what was loaded aside."""
        if self.device.type == "cuda":
            for side in sides:
                side.record_stream(torch.cuda.current_stream(self.device))
        return sides

    def _allocate(self, rows: int) -> _Sides:
        source, target = (
            torch.empty((rows, modalities, dim), dtype=self.dtype, device=self.device)
            for modalities, dim in zip(
                self.modalities, (self.source_dim, self.target_dim), strict=True
            )
        )
        return source, target

    def _load(self, blocks: Sequence[_Block], into: _Sides | None = None) -> _Sides:
        """Copy blocks to the device as unit rows, into tensors of their own if none are given."""
        if into is None:
            into = self._allocate(sum(stop - start for _, start, stop in blocks))
        source, target = into
        sources = {which: pairs.source for which, pairs in self._sets.items()}
        targets = {which: pairs.target for which, pairs in self._sets.items()}
        place = 0
        step = LOAD_ROWS // BLOCK_ROWS
        for piece in (blocks[i : i + step] for i in range(0, len(blocks), step)):
            size = sum(stop - start for _, start, stop in piece)
            source[place : place + size] = self._read(sources, piece)
            target[place : place + size] = self._read(targets, piece)
            place += size
        return source, target

    def _read(self, sets: Mapping[int, Sequence[Rows]], blocks: Sequence[_Block]) -> Tensor:
        """Return one side's unit rows: (rows, modalities, dim) float32 on the device."""
        rows = sum(stop - start for _, start, stop in blocks)
        some = sets[blocks[0][0]]
        # float16 travels to the device as it is, in half the bytes, and is converted there.
        half = all(array.dtype == np.float16 for which, _, _ in blocks for array in sets[which])
        # Pinned memory is copied from while the next piece is read; torch keeps and reuses it.
        staged = torch.empty(
            (rows, len(some), some[0].shape[1]),
            dtype=torch.float16 if half else torch.float32,
            pin_memory=self.device.type == "cuda",
        )
        view, place = staged.numpy(), 0
        for which, start, stop in blocks:
            for m, array in enumerate(sets[which]):
                view[place : place + stop - start, m] = array[start:stop]
            place += stop - start
        table = staged.to(self.device, non_blocking=True).float()
        # Squares of very large and very small values would leave the range of float32.
        peak = torch.linalg.vector_norm(table, ord=torch.inf, dim=-1, keepdim=True)
        return unit(table.div_(peak.clamp_min_(torch.finfo(torch.float32).tiny)))


def _gather(sides: _Sides, rows: Tensor, batch: _Sides, place: int) -> None:
    """Copy rows of both sides into a batch, modalities outermost, from ``place`` on.

    A gather for each modality into memory of its own: three times as fast on CPUs as one for
    all of them and a transposed copy.
    """
    for side, out in zip(sides, batch, strict=True):
        for m in range(len(out)):
            torch.index_select(side[:, m], 0, rows, out=out[m, place : place + len(rows)])
