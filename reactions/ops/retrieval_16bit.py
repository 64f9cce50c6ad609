"""Soft retrieval with 16-bit products, made accurate by what cancels in a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from reactions.ops.kernels.choice import computed
from reactions.ops.kernels.operations import WEIGHTS
from reactions.ops.row_sums import RowSums
from reactions.ops.tensors import scratch, unit
from reactions.ops.tiles import Matrix, sampled_rows

_EXTRA = 8
"""Columns appended to queries and keys: four in use, eight to keep rows aligned."""

_SUM_GROUP = 128
_BASE: dict[torch.dtype, float] = {torch.bfloat16: 0.0, torch.float16: 10.0}
"""Base-2 logarithm at which a row's sum of weights is held. float16 has no room below
2^-24, and a corpus has millions of small weights: it is held near the top of its range."""

_CONVERTED_ROWS = 256
"""Rows converted at once on a CPU: on their way they stay in its cache."""

_HEADROOM: dict[torch.dtype, float] = {torch.bfloat16: 3.0, torch.float16: 6.0}
"""How far, in base 2, the softmax of all keys is expected above the top of the sample."""

_SLACK = 5.0
"""A tile whose bfloat16 weights sum to 2^_SLACK times the target moves the row's shift. float16
weights, from fp32 logits, are as fine wherever they are: theirs moves when one overflows."""


class ShiftedTiles(RowSums):
    """Sums from 16-bit products of centred inputs, with a shift for each row.

    A 16-bit product rounds relative to the size of its operands and of its result, and a
    softmax at temperature 1/100 multiplies that by 100. Three things make both small, and
    all cancel:

    - Keys and values are centred, k = mean + k': q.mean is the same for every key, and the
      mean of the values is added back at the end. Embeddings of one modality lie in a cone,
      so most of their length is the mean.
    - Queries are centred too, q = mean + q': mean.k' is computed in fp32 and rides along in
      two 16-bit columns (its rounded value, and what was lost).
    - Each row's logits are shifted, again by two columns, to be near zero where the
      softmax has its mass: there rounding is finest. The shift starts at the largest
      logit of a sample of keys; a tile whose weights sum to far more raises it, and the
      row's logits are computed again. A row's unit is its shift.

    Weights are rounded once; sums are fp32.

    Args:
        queries: (n, d) fp32 unit rows on the device.
        keys: all keys, of which a sample is read here.
        values: all values, likewise.
        scale: log2(e) / temperature.
        block_rows: queries in one product.
        dtype: torch.bfloat16 or torch.float16.
    """

    def __init__(
        self,
        queries: Tensor,
        keys: Matrix,
        values: Sequence[Matrix],
        *,
        scale: float,
        block_rows: int,
        dtype: torch.dtype,
    ) -> None:
        n, dim = queries.shape
        super().__init__(queries, n, [value.shape[1] for value in values])
        self._dtype, self._base, self._block_rows = dtype, _BASE[dtype], block_rows
        samples = {id(x): unit(sampled_rows(x, queries.device)) for x in (keys, *values)}
        self._key_mean = samples[id(keys)].mean(dim=0)
        self._value_means = [samples[id(value)].mean(dim=0) for value in values]
        query_mean = queries.nanmean(dim=0)  # a row of NaN spoils no other
        self._query_mean = query_mean * scale
        # The columns behind the first ``dim``, which multiply those of the keys (see ``add``):
        # [1, 1, shift, rest of shift, 0 ...] . [mean.k', rest of it, -1, -1 ...]
        self._queries = queries.new_ones((n, dim + _EXTRA), dtype=dtype)
        self._queries[:, :dim] = (queries - query_mean) * scale
        self._queries[:, dim + 4 :] = 0
        self._limit = 2.0 ** (self._base + _SLACK)
        if dtype == torch.float16:
            self._limit = torch.finfo(torch.float32).max
        self._scratch = self._queries.new_empty(0)
        few = samples[id(keys)][:: max(1, len(samples[id(keys)]) // 1024)] - self._key_mean
        along, few = few @ self._query_mean, few.to(dtype)
        for start in range(0, n, block_rows):
            rows = slice(start, start + block_rows)
            # 16 bits are enough: a shift need only be near.
            peak = (_mm(self._queries[rows, :dim], few.T) + along).amax(dim=1)
            self._set_shift(rows, peak + _HEADROOM[dtype] - self._base)

    def another(self) -> Self:
        """Return the same without a tile yet, for another thread."""
        other = super().another()
        other._queries = self._queries.clone()  # which hold the shifts
        other._scratch = self._scratch[:0].clone()
        return other

    def add(self, first: int, keys: Tensor, values: Sequence[Tensor]) -> None:
        """Take one tile in."""
        dim = keys.shape[1]
        k = self._queries.new_ones((len(keys), dim + _EXTRA))
        k[:, dim + 2 :] = -1
        along = _centre(keys, self._key_mean, k[:, :dim], self._query_mean)
        k[:, dim], k[:, dim + 1] = _split(along, self._dtype)
        v = []
        for value, mean in zip(values, self._value_means, strict=True):
            if value is keys:
                v.append(k[:, :dim])  # the same rows with the same mean: no second copy
            else:
                v.append(torch.empty_like(value, dtype=self._dtype))
                _centre(value, mean, v[-1])
        for start in range(0, len(self._queries), self._block_rows):
            self._add_block(slice(start, start + self._block_rows), k, v)

    def means(self) -> list[Tensor]:
        """Return the weighted means."""
        return [
            offset.add_(mean)
            for offset, mean in zip(super().means(), self._value_means, strict=True)
        ]

    def _add_block(self, rows: slice, k: Tensor, v: Sequence[Tensor]) -> None:
        queries = self._queries[rows]
        weights, totals = self._weights(queries, k, self._place(len(queries), len(k)))
        while len(far := (totals > self._limit).nonzero().squeeze(1)):
            which = far + rows.start
            old = self.unit[which]
            if self._dtype == torch.float16:
                # The weights overflowed, so their sum says nothing; the largest logit is finite.
                step = _mm(queries[far], k.T).amax(dim=1).float() - self._base
                step += _HEADROOM[self._dtype]
            else:
                # The logarithm of an overflowed sum is infinite: the loop then takes steps of 100.
                step = totals[far].log2().clamp(max=100.0) - self._base
            self._set_shift(which, old + step)
            # Not into the scratch memory: on a CPU that holds the weights of the other rows.
            weights[far], totals[far] = self._weights(self._queries[which], k)
        self.total[rows] += totals
        for sums, value in zip(self.sums, v, strict=True):
            sums[rows] += _mm(weights, value)

    def _weights(
        self, queries: Tensor, k: Tensor, place: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return 2^(logit - shift) in 16 bits, and its row sums in fp32."""
        logits = _mm(queries, k.T, place)
        if logits.dtype != self._dtype:
            weights, sums = computed(WEIGHTS, logits, self._dtype)
            return weights, sums
        weights = logits.exp2_()
        return weights, _row_sums(weights)

    def _place(self, n: int, m: int) -> Tensor | None:
        """Return memory for a tile of logits, the same for all; None leaves it to the device."""
        if self._queries.is_cuda:
            return None
        self._scratch, place = scratch(self._scratch, n, m)
        return place

    def _set_shift(self, rows: slice | Tensor, shift: Tensor) -> None:
        """Store a shift as the sum of two 16-bit numbers, and that sum as the truth."""
        high, low = _split(shift, self._dtype)
        dim = self._queries.shape[1] - _EXTRA
        self._queries[rows, dim + 2], self._queries[rows, dim + 3] = high, low
        self.move(rows, high.float() + low.float())


def _centre(rows: Tensor, mean: Tensor, out: Tensor, along: Tensor | None = None) -> Tensor:
    """Write unit(rows) - mean into a 16-bit matrix, and return its fp32 product with a vector.

    Without a vector the product is zeros.
    """
    step = len(rows) if rows.is_cuda else _CONVERTED_ROWS
    offset = -mean
    products = []
    for start in range(0, len(rows), step):
        x = rows[start : start + step].float()
        norms = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_(min=1e-12)
        # x / norms - mean in one kernel.
        x = torch.addcdiv(offset, x, norms)
        out[start : start + step] = x
        products.append(x[:, :0].sum(dim=1) if along is None else x @ along)
    return torch.cat(products)


def _split(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return x as two numbers of a 16-bit type: rounded, and what the rounding lost."""
    high = x.to(dtype)
    return high, (x - high.float()).to(dtype)


def _mm(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply 16-bit matrices: into fp32 on CUDA, in their own type on a CPU."""
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32)
    return torch.mm(a, b, out=out)


def _row_sums(weights: Tensor) -> Tensor:
    """Return the sum of each row in fp32, on a CPU.

    torch's CPU kernel that sums 16-bit rows into fp32 is ten times slower than the one
    that stays in 16 bits: sums of short groups are rounded, and their sum is not.
    """
    whole = weights.shape[1] // _SUM_GROUP * _SUM_GROUP
    groups = weights[:, :whole].reshape(len(weights), -1, _SUM_GROUP).sum(dim=2)
    return groups.float().sum(dim=1) + weights[:, whole:].float().sum(dim=1)
