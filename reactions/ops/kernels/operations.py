"""The operations beside matrix products that take time on a GPU: eagerly, compiled and fused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from reactions.ops.kernels.choice import Compute, Operation

# --- soft retrieval ------------------------------------------------------------------


def weights_of(logits: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return 2^logits in a 16-bit type, and the sums of its rows.

    Args:
        logits: (n, m) float32.
        dtype: of the weights.

    Returns:
        (n, m) of ``dtype`` and (n,) float32, of the rounded weights.
    """
    # One kernel reads fp32 and writes 16 bits.
    weights = torch.exp2(logits, out=torch.empty_like(logits, dtype=dtype))
    return weights, weights.sum(dim=1, dtype=torch.float32)


# --- InfoNCE -------------------------------------------------------------------------


def exponentials(weights: Tensor, t: int, n: int, first: int) -> tuple[Tensor, Tensor, Tensor]:
    """Exponentiate base-2 logits in place, and add up all but the matched, which become 0.

    Args:
        weights: (modalities * rows, t * n): logits of some rows of one or several modalities, with
            all rows of all t target modalities.
        t: target modalities.
        n: rows of each.
        first: place of the first of the rows within its modality.

    Returns:
        (modalities, t, rows) float32 matched logits; (modalities, t, rows) sums over the others of
        a row; (modalities, t, n) sums over the others of a column.
    """
    grid = weights.view(-1, _rows(weights, n, first), t, n)
    diagonal = _matched(grid, first)
    matched = diagonal.to(torch.float32, copy=True)
    weights.exp2_()
    # Summed without the matched, the others give their gradient with nothing to cancel.
    diagonal.zero_()
    return matched, _sum(grid, 3).transpose(1, 2), _sum(grid, 1)


def logit_gradients(
    weights: Tensor,
    per_row: Tensor,
    per_column: Tensor,
    match: Tensor,
    first: int,
    scratch: Tensor,
) -> tuple[()]:
    """Turn exponentials into gradients of their logits, in place: E / r + E / c.

    Args:
        weights: as ``exponentials`` left them.
        per_row: (modalities, rows, t) one over the sum of a row, of the weights' type.
        per_column: (modalities, t, n) one over the sum of a column.
        match: (modalities, t, rows) gradients of the matched.
        first: place of the first of the rows within its modality.
        scratch: memory like ``weights``, of whatever content: fresh memory costs time on CPUs.
    """
    _, t, n = per_column.shape
    grid = weights.view(len(per_row), -1, t, n)
    factors = scratch.view(grid.shape)
    torch.add(per_row.unsqueeze(3), per_column.unsqueeze(1), out=factors)
    grid.mul_(factors)
    _matched(grid, first).copy_(match)
    return ()


def _rows(weights: Tensor, n: int, first: int) -> int:
    """Return how many rows of each modality there are: a part of one's, or all of several."""
    return min(len(weights), n) if first == 0 else len(weights)


def _matched(grid: Tensor, first: int) -> Tensor:
    """Return the (modalities, t, rows) view of a (modalities, rows, t, n) grid's matched pairs."""
    inside = slice(first, first + grid.shape[1])
    return grid[..., inside].diagonal(dim1=1, dim2=3)


def _sum(weights: Tensor, dim: int) -> Tensor:
    """Sum in float32; on CPUs the 16-bit result spares a float32 copy of all the weights."""
    if weights.device.type == "cpu":
        return weights.sum(dim)
    return weights.sum(dim, dtype=torch.float32)


# --- the ways ------------------------------------------------------------------------


def _ways(eager: Compute, fused: str) -> Mapping[str, Callable[[], Compute]]:
    def compiled() -> Compute:
        compute: Compute = torch.compile(eager, dynamic=True)
        return compute

    def by_triton() -> Compute:
        from reactions.ops.kernels import fused as kernels  # Triton, where there is one

        kernel: Compute = getattr(kernels, fused)
        return kernel

    return {"torch.compile": compiled, "triton": by_triton}


WEIGHTS = Operation(
    "weights of soft retrieval",
    weights_of,
    _ways(weights_of, "weights_of"),
    # Half of what float16 may be off at the widest embeddings (``retrieval.FAST_ERROR``).
    apart=2.0**-12,
)
EXPONENTIALS = Operation(
    "exponentials of InfoNCE",
    exponentials,
    _ways(exponentials, "exponentials"),
    # Half a step of bfloat16, which logits and weights are rounded to anyway.
    apart=2.0**-9,
    changed=(0,),
)
LOGIT_GRADIENTS = Operation(
    "gradients of InfoNCE",
    logit_gradients,
    _ways(logit_gradients, "logit_gradients"),
    # A step: the eager code rounds twice, and what torch.compile makes of it once.
    apart=2.0**-8,
    changed=(0,),
)
OPERATIONS = (WEIGHTS, EXPONENTIALS, LOGIT_GRADIENTS)
