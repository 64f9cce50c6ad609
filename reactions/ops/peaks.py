"""How peaked soft retrieval is: how many items share each query's weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reactions.core.errors import DataError, DimensionMismatch
from reactions.ops.precision import full_float32
from reactions.ops.tensors import load_rows, unit
from reactions.ops.tiles import Matrix

_KEY_ROWS = 8192


def softmax_peaks(
    queries: Tensor,
    keys: Matrix,
    *,
    temperature: float,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Tensor, Tensor]:
    """Return the entropy and the largest of each query's softmax weights over all keys.

    exp(entropy) is the effective number of items that a soft retrieval averages: 1 where one
    item has all the weight, m where all m weigh the same. Keys stream by, so memory does not
    grow with the corpus.

    Args:
        queries: (n, d); rows are rescaled to unit norm.
        keys: (m, d), m >= 1; rows are rescaled to unit norm.
        temperature: > 0; logits are cosines divided by it.
        device: where the products are computed.
        progress: called with (keys done, keys in all).

    Returns:
        Entropies in nats, from 0 to log(m), and top weights, from 1 / m to 1: both (n,) float32
        on the CPU.

    Raises:
        DimensionMismatch: widths differ.
        DataError: there are no keys.
    """
    m = len(keys)
    if queries.shape[1] != keys.shape[1]:
        raise DimensionMismatch(f"queries have {queries.shape[1]} dimensions, keys {keys.shape[1]}")
    if not m:
        raise DataError("there are no keys to retrieve from")
    q = unit(queries.to(device).float()) / temperature
    peak = q.new_full((len(q), 1), -torch.inf)
    total, weighted = q.new_zeros((len(q), 1)), q.new_zeros((len(q), 1))
    with full_float32():
        for start in range(0, m, _KEY_ROWS):
            stop = min(m, start + _KEY_ROWS)
            logits = q @ unit(load_rows(keys, start, stop, device)).T  # (n, tile)
            new = torch.maximum(peak, logits.amax(dim=1, keepdim=True))
            # Relative to the largest logit so far, so that nothing overflows. What was summed
            # before moves along: its weights shrink, its logits fall by the same difference.
            decay = torch.exp(peak - new)
            fall = torch.where(decay > 0, peak - new, 0.0)
            below = logits - new
            weights = below.exp()
            weighted = decay * (weighted + fall * total) + (weights * below).sum(1, keepdim=True)
            total = decay * total + weights.sum(1, keepdim=True)
            peak = new
            progress(stop, m)
    # With p = exp(l - peak) / total: -sum p log p = log(total) - sum p (l - peak).
    entropy = (total.log() - weighted / total).clamp(min=0.0)
    return entropy.squeeze(1).cpu(), (1 / total).squeeze(1).cpu()
