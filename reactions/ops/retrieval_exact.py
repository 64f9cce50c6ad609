"""Soft retrieval in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from reactions.ops.row_sums import RowSums
from reactions.ops.tensors import scratch, unit, unit_into

_REACH = 64.0
"""Octaves by which a row's largest logit may exceed its unit: a billion weights of 2^64 do not
overflow, and only keys that weigh less than 2^-62 of the largest are lost."""


class ExactTiles(RowSums):
    """Sums in fp32, relative to a unit of each row that follows its largest logit.

    Beside the products, a pair costs passes over its logit, few as can be: fp32 holds weights from
    2^-126 to 2^127 equally well, so a unit moves only when the largest logit leaves its reach,
    and nothing is subtracted as long as the logits themselves are within it.

    Args:
        queries: (n, d) fp32 unit rows on the device.
        widths: of the values.
        scale: log2(e) / temperature.
        block_rows: queries in one product.
    """

    def __init__(
        self, queries: Tensor, widths: Sequence[int], *, scale: float, block_rows: int
    ) -> None:
        super().__init__(queries, len(queries), widths)
        self._queries = queries * scale
        self._block_rows = block_rows
        self._unread = queries.is_cuda  # there, to read a unit is to wait for the device
        self._prepare()

    def another(self) -> Self:
        """Return the same without a tile yet, for another thread."""
        other = super().another()
        other._prepare()
        return other

    def _prepare(self) -> None:
        self._logits = self._queries.new_empty(0)
        self._memory = [self._logits] * (1 + len(self.sums))
        self._peak = torch.full_like(self.unit, -torch.inf)
        self._at_zero = not self._unread  # whether all units are, for certain

    def add(self, first: int, keys: Tensor, values: Sequence[Tensor]) -> None:
        """Take one tile in."""
        starts = range(0, len(self._queries), self._block_rows)
        k = self._converted(keys, 0)
        # Where one block is all, values that are not the keys take their place in turn: on a CPU
        # fresh memory for few queries costs as much as what is computed with it.
        in_turn = sorted(range(len(values)), key=lambda index: values[index] is not keys)
        v: dict[int, Tensor] = {}
        for start in starts:
            rows = slice(start, start + self._block_rows)
            queries = self._queries[rows]
            self._logits, place = scratch(self._logits, len(queries), len(k))
            weights = torch.mm(queries, k.T, out=place)  # (block, tile) base-2 logits
            self._reach(rows, weights)
            if not self._at_zero:
                weights.sub_(self.unit[rows].unsqueeze(1))
            self.total[rows] += weights.exp2_().sum(dim=1)
            for index in in_turn:
                if index not in v:
                    memory = 0 if len(starts) == 1 else 1 + index
                    value = values[index]
                    v[index] = k if value is keys else self._converted(value, memory)
                self.sums[index][rows].addmm_(weights, v[index])

    def _converted(self, rows: Tensor, memory: int) -> Tensor:
        """Return unit rows in fp32, on a CPU in memory that the next such call takes."""
        if self._unread:
            return unit(rows.float())
        self._memory[memory], place = scratch(self._memory[memory], *rows.shape)
        unit_into(place, rows)
        return place

    def _reach(self, rows: slice, logits: Tensor) -> None:
        """Move the units of a block that its largest logits have left out of reach."""
        peak = torch.maximum(self._peak[rows], logits.amax(dim=1))
        self._peak[rows] = peak
        old = self.unit[rows]
        far = (peak - old).abs_() > _REACH
        if self._unread or far.any():
            near_zero = peak.abs() <= _REACH
            self.move(rows, torch.where(far, peak.masked_fill(near_zero, 0.0), old))
            self._at_zero = False
