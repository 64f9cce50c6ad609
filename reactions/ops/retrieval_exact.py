"""Soft retrieval in fp32."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reactions.ops.tensors import own_scratch, scratch, unit, unit_into
from reactions.ops.threads import BlockThreads

_REACH = 64.0
"""Octaves by which a row's largest logit may exceed its shift: a billion weights of 2^64 do not
overflow, and only keys that weigh less than 2^-62 of the largest are lost."""


class ExactTiles:
    """Sums in fp32, relative to a shift of each row that follows its largest logit.

    Beside the products, a pair costs passes over its logit, few as can be: fp32 holds weights from
    2^-126 to 2^127 equally well, so a shift moves only when the largest logit leaves its reach,
    and nothing is subtracted as long as the logits themselves are within it.

    Args:
        queries: (n, d) fp32 unit rows on the device.
        widths: of the values.
        scale: log2(e) / temperature.
        block_rows: queries in one product.
        threads: that take blocks.
    """

    def __init__(
        self,
        queries: Tensor,
        widths: Sequence[int],
        *,
        scale: float,
        block_rows: int,
        threads: BlockThreads,
    ) -> None:
        n = len(queries)
        self._threads = threads
        self._queries = queries * scale
        self._block_rows = block_rows
        self._unread = queries.is_cuda  # there, to read a shift is to wait for the device
        self._scratch: dict[int, Tensor] = {}  # by thread
        self._converts = [queries.new_empty(0) for _ in range(1 + len(widths))]
        self._peak = queries.new_full((n, 1), -torch.inf)
        self._shift = queries.new_full((n, 1), -torch.inf)
        self._total = queries.new_zeros((n, 1))
        self._sums = [queries.new_zeros((n, width)) for width in widths]

    def add(self, keys: Tensor, values: Sequence[Tensor]) -> None:
        """Take one tile in."""
        k, *v = self._converted([keys, *values])

        def add(start: int) -> None:
            rows = slice(start, start + self._block_rows)
            queries = self._queries[rows]
            place = own_scratch(self._scratch, queries, len(k))
            weights = torch.mm(queries, k.T, out=place)  # (block, tile) base-2 logits
            shift = self._reach(rows, weights)
            if self._unread or shift.count_nonzero():
                weights.sub_(shift)
            self._total[rows] += weights.exp2_().sum(dim=1, keepdim=True)
            for sums, value in zip(self._sums, v, strict=True):
                sums[rows].addmm_(weights, value)

        self._threads.each(add, range(0, len(self._queries), self._block_rows))

    def means(self) -> list[Tensor]:
        """Return the weighted means."""
        return [sums / self._total for sums in self._sums]

    def _converted(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """Return unit rows in fp32, each matrix in memory of its own that the next tile takes."""
        keys = matrices[0]
        if self._unread:
            k = unit(keys.float())
            return [k if rows is keys else unit(rows.float()) for rows in matrices]
        made: list[Tensor] = []
        for index, rows in enumerate(matrices):
            if index and rows is keys:
                made.append(made[0])
                continue
            self._converts[index], place = scratch(self._converts[index], *rows.shape)
            unit_into(place, rows)
            made.append(place)
        return made

    def _reach(self, rows: slice, logits: Tensor) -> Tensor:
        """Return the (block, 1) shifts for a block, having moved those that are out of reach."""
        peak = torch.maximum(self._peak[rows], logits.amax(dim=1, keepdim=True))
        old = self._shift[rows]
        shift = torch.where(peak - old > _REACH, peak, old)
        shift.masked_fill_(peak.abs() <= _REACH, 0.0)
        if self._unread or not torch.equal(shift, old):
            # What earlier tiles added was relative to the old shift: -inf at the first, so 0.
            decay = torch.exp2(old - shift)
            for sums in (self._total, *self._sums):
                sums[rows] *= decay
        self._peak[rows], self._shift[rows] = peak, shift
        return shift
