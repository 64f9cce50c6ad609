"""Triton kernels: each reads its tile once and writes it once.

What they compute, and their arguments, are those of the functions of the same names in
``operations``. Imported where they are tried, for Triton comes with CUDA builds of torch alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 2048
"""Columns of a row at a time."""

ROWS, COLUMNS = 32, 128
"""Of a block of logits."""


@triton.jit
def weigh(logits, weights, totals, m, logits_stride, weights_stride, wide: tl.constexpr):
    """Exponentiate and add up one row."""
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros((wide,), tl.float32)
    for start in range(0, m, wide):
        column = start + tl.arange(0, wide)
        inside = column < m
        logit = tl.load(logits + row * logits_stride + column, mask=inside, other=float("-inf"))
        weight = tl.exp2(logit).to(weights.dtype.element_ty)
        tl.store(weights + row * weights_stride + column, weight, mask=inside)
        total += weight.to(tl.float32)
    tl.store(totals + row, tl.sum(total, axis=0))


@triton.jit
def exponentiate(
    weights,
    matched,
    row_sums,
    column_sums,
    n,
    rows,
    first,
    stride,
    tall: tl.constexpr,
    wide: tl.constexpr,
):
    """Exponentiate some rows of one modality against all of another, and add up both ways.

    Sums of columns are left by blocks of rows: added by atomic operations, they would depend on
    the order in which blocks happen to end.
    """
    block, target, source = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    blocks, targets = tl.num_programs(0), tl.num_programs(1)
    row = block * tall + tl.arange(0, tall)
    in_rows = row < rows
    begin = weights + (source * rows + row).to(tl.int64)[:, None] * stride + target * n
    total = tl.zeros((tall,), tl.float32)
    match = tl.zeros((tall,), tl.float32)
    for start in range(0, n, wide):
        column = start + tl.arange(0, wide)
        inside = in_rows[:, None] & (column < n)[None, :]
        place = begin + column[None, :]
        logit = tl.load(place, mask=inside, other=float("-inf")).to(tl.float32)
        diagonal = column[None, :] == (first + row)[:, None]
        match += tl.sum(tl.where(diagonal & inside, logit, 0.0), axis=1)
        weight = tl.where(diagonal, 0.0, tl.exp2(logit)).to(weights.dtype.element_ty)
        tl.store(place, weight, mask=inside)
        total += tl.sum(weight.to(tl.float32), axis=1)
        part = ((source * blocks + block) * targets + target) * n
        tl.store(column_sums + part + column, tl.sum(weight.to(tl.float32), axis=0), column < n)
    out = (source * targets + target) * rows + row
    tl.store(matched + out, match, mask=in_rows)
    tl.store(row_sums + out, total, mask=in_rows)


@triton.jit
def differentiate(
    weights,
    per_row,
    per_column,
    match,
    n,
    rows,
    first,
    stride,
    tall: tl.constexpr,
    wide: tl.constexpr,
):
    """Turn exponentials of some rows of one modality into gradients."""
    block, target, source = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    targets = tl.num_programs(1)
    row = block * tall + tl.arange(0, tall)
    in_rows = row < rows
    begin = weights + (source * rows + row).to(tl.int64)[:, None] * stride + target * n
    by_row = tl.load(per_row + (source * rows + row) * targets + target, mask=in_rows, other=0.0)
    own_gradient = tl.load(
        match + (source * targets + target) * rows + row, mask=in_rows, other=0.0
    )
    kind = weights.dtype.element_ty
    for start in range(0, n, wide):
        column = start + tl.arange(0, wide)
        inside = in_rows[:, None] & (column < n)[None, :]
        place = begin + column[None, :]
        weight = tl.load(place, mask=inside, other=0.0).to(tl.float32)
        by_column = tl.load(
            per_column + (source * targets + target) * n + column, mask=column < n, other=0.0
        )
        # Rounded where the eager code rounds.
        factor = (by_row[:, None].to(tl.float32) + by_column[None, :].to(tl.float32)).to(kind)
        gradient = (weight * factor.to(tl.float32)).to(kind)
        diagonal = column[None, :] == (first + row)[:, None]
        tl.store(place, tl.where(diagonal, own_gradient[:, None], gradient), mask=inside)


def _device_of(tensor: Tensor) -> AbstractContextManager[None]:
    """Make a tensor's device the current one: Triton launches nowhere else."""
    guard: AbstractContextManager[None] = torch.cuda.device_of(tensor)  # type: ignore[no-untyped-call]
    return guard


def weights_of(logits: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """See ``operations.weights_of``."""
    n, m = logits.shape
    weights = torch.empty_like(logits, dtype=dtype)
    totals = logits.new_empty(n)
    strides = logits.stride(0), weights.stride(0)
    with _device_of(logits):
        weigh[(n,)](logits, weights, totals, m, *strides, wide=BLOCK)
    return weights, totals


def exponentials(weights: Tensor, t: int, n: int, first: int) -> tuple[Tensor, Tensor, Tensor]:
    """See ``operations.exponentials``."""
    rows = min(len(weights), n) if first == 0 else len(weights)
    modalities, blocks = len(weights) // rows, triton.cdiv(rows, ROWS)
    matched, row_sums = weights.new_empty((2, modalities, t, rows), dtype=torch.float32)
    parts = weights.new_empty((modalities, blocks, t, n), dtype=torch.float32)
    with _device_of(weights):
        exponentiate[(blocks, t, modalities)](
            weights,
            matched,
            row_sums,
            parts,
            n,
            rows,
            first,
            weights.stride(0),
            tall=ROWS,
            wide=COLUMNS,
        )
    return matched, row_sums, parts.sum(dim=1)


def logit_gradients(
    weights: Tensor,
    per_row: Tensor,
    per_column: Tensor,
    match: Tensor,
    first: int,
    scratch: Tensor,
) -> tuple[()]:
    """See ``operations.logit_gradients``; nothing has to be kept in ``scratch``."""
    modalities, rows, t = per_row.shape
    with _device_of(weights):
        differentiate[(triton.cdiv(rows, ROWS), t, modalities)](
            weights,
            per_row.contiguous(),
            per_column.contiguous(),
            match.contiguous(),
            per_column.shape[2],
            rows,
            first,
            weights.stride(0),
            tall=ROWS,
            wide=COLUMNS,
        )
    return ()
