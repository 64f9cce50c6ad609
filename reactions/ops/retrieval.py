"""Soft retrieval: softmax-weighted means over a corpus, without the n x m matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reactions.errors import DimensionMismatch
from reactions.ops.tensors import load_rows, unit

if TYPE_CHECKING:
    from reactions.graph import Rows

QUERY_ROWS = 2048
KEY_ROWS = 8192
"""Default tile: 64 MiB of fp32 logits, small beside any machine's memory."""

_LOG2_E = math.log2(math.e)


def soft_retrieve(
    queries: Rows | Tensor,
    keys: Rows | Tensor,
    values: Sequence[Rows | Tensor],
    *,
    temperature: float,
    device: str | torch.device = "cpu",
    query_rows: int = QUERY_ROWS,
    key_rows: int = KEY_ROWS,
) -> list[Tensor]:
    """Return unit(softmax(Q K^T / temperature) V) for several V at the cost of one Q K^T.

    Streams over tiles of keys with a running row maximum, so memory does not grow with
    the corpus. The mean of unit vectors is shorter than one; the papers leave its norm
    open, and we rescale it to one, because the next hop uses it as a query at the same
    temperature.

    Args:
        queries: (n, d) unit-norm rows.
        keys: (m, d) unit-norm rows, m >= 1.
        values: each (m, d_v), row i belonging to key i.
        temperature: > 0; logits are cosines divided by it.
        device: where the products are computed.
        query_rows: query rows a tile.
        key_rows: key rows a tile.

    Returns:
        One (n, d_v) float32 tensor of unit-norm rows on the CPU for each of ``values``.

    Raises:
        DimensionMismatch: widths of queries and keys, or row counts of keys and values, differ.

    Source: Molecule-Space, eq. 4-6 and 11-13 (temperature 1/100).
    """
    n, m = len(queries), len(keys)
    if queries.shape[1] != keys.shape[1]:
        raise DimensionMismatch(
            f"queries have {queries.shape[1]} dimensions, keys {keys.shape[1]}",
            why="soft retrieval compares embeddings of one space",
        )
    for value in values:
        if len(value) != m:
            raise DimensionMismatch(f"{m} keys but {len(value)} values")
    # exp2 is much cheaper than exp on CPUs; log2(e) is folded into the queries.
    scale = _LOG2_E / temperature
    outputs: list[list[Tensor]] = [[] for _ in values]
    for start in range(0, n, query_rows):
        q = load_rows(queries, start, min(n, start + query_rows), device) * scale
        for out, block in zip(outputs, _retrieve_block(q, keys, values, key_rows), strict=True):
            out.append(unit(block).cpu())
    widths = [value.shape[1] for value in values]
    return [
        torch.cat(blocks) if blocks else torch.empty((0, width))
        for blocks, width in zip(outputs, widths, strict=True)
    ]


def _retrieve_block(
    q: Tensor, keys: Rows | Tensor, values: Sequence[Rows | Tensor], key_rows: int
) -> tuple[Tensor, ...]:
    """Return the unscaled weighted sums for one block of queries (base-2 logits)."""
    m = len(keys)
    peak = q.new_full((len(q), 1), -torch.inf)
    total = q.new_zeros((len(q), 1))
    sums = q.new_zeros((len(q), sum(value.shape[1] for value in values)))
    for start in range(0, m, key_rows):
        stop = min(m, start + key_rows)
        k = load_rows(keys, start, stop, q.device)
        v = torch.cat([load_rows(value, start, stop, q.device) for value in values], dim=1)
        weights = q @ k.T  # (block, tile) base-2 logits, then weights in place
        new_peak = torch.maximum(peak, weights.amax(dim=1, keepdim=True))
        weights.sub_(new_peak).exp2_()
        decay = torch.exp2(peak - new_peak)  # 0 at the first tile, where peak is -inf
        total.mul_(decay).add_(weights.sum(dim=1, keepdim=True))
        sums.mul_(decay).addmm_(weights, v)
        peak = new_peak
    return torch.split(sums / total, [value.shape[1] for value in values], dim=1)
