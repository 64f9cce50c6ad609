"""InfoNCE: the plain definition, and all pairs of a reaction in one product."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from reactions.errors import DimensionMismatch

_LOG2_E = math.log2(math.e)
_LN_2 = math.log(2.0)

MIN_DIRECT_TEMPERATURE = 1 / 75
"""Down to here exp2(log2(e) * cosine / temperature) and its sums over a batch of up to
65,536 rows stay within fp32's exponent range without subtracting a maximum."""


def info_nce(x: Tensor, y: Tensor, *, temperature: float) -> Tensor:
    """InfoNCE over matched rows, mean of both directions.

    Args:
        x: (n, d) float, unit-norm rows; row i pairs with row i of y.
        y: (n, d) float, unit-norm rows.
        temperature: > 0; logits are x @ y.T / temperature.

    Returns:
        () float, nats.

    Raises:
        DimensionMismatch: x and y differ in shape.

    Source: Molecule-Space, the info(., .) of eq. 7 and 8.
    """
    if x.shape != y.shape:
        raise DimensionMismatch(f"info_nce of {tuple(x.shape)} and {tuple(y.shape)}")
    logits = x @ y.T / temperature
    rows = logits.logsumexp(dim=1)
    columns = logits.logsumexp(dim=0)
    return (0.5 * (rows + columns) - logits.diagonal()).mean()


def pairwise_info_nce(projected: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """Sum of InfoNCE over every (projected, target) pair of modalities.

    One product gives the logits of all pairs; each logit is exponentiated once and serves
    both directions; the gradient is written out by hand. Gradients flow to ``projected``
    only.

    Args:
        projected: (p, n, d) float32, unit-norm rows: p modalities out of the projector.
        targets: (t, n, d) float32, unit-norm rows: t modalities of the frozen side.
        temperature: > 0.

    Returns:
        () float32, nats: the sum of p * t terms.

    Raises:
        DimensionMismatch: the trailing shapes differ.

    Source: Molecule-Space, eq. 7 (displacement) and eq. 8 (combination). Equation 8 writes
    an image feature of the audio-text expert, which cannot exist: read as its audio feature.
    """
    if projected.shape[1:] != targets.shape[1:]:
        raise DimensionMismatch(f"losses of {tuple(projected.shape)} and {tuple(targets.shape)}")
    if temperature < MIN_DIRECT_TEMPERATURE:
        losses = [info_nce(x, y, temperature=temperature) for x in projected for y in targets]
        return torch.stack(losses).sum()
    # torch leaves Function.apply without types.
    loss: Tensor = _PairwiseInfoNCE.apply(projected, targets, temperature)  # type: ignore[no-untyped-call]
    return loss


class _PairwiseInfoNCE(torch.autograd.Function):
    """Loss and its gradient in one pass over the (p n) x (t n) matrix."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, targets: Tensor, temperature: float) -> Tensor:
        p, n, d = projected.shape
        t = len(targets)
        flat_targets = targets.reshape(t * n, d)
        logits = (projected.reshape(p * n, d) * (_LOG2_E / temperature)) @ flat_targets.T
        grid = logits.view(p, n, t, n)
        diagonal = grid.diagonal(dim1=1, dim2=3).clone()  # (p, t, n), base-2
        weights = grid.exp2_()
        rows = weights.sum(dim=3)  # (p, n, t)
        columns = weights.sum(dim=1)  # (p, t, n)
        nats = 0.5 * (rows.log2().sum() + columns.log2().sum()) - diagonal.sum()
        if ctx.needs_input_grad[0]:
            # d loss / d logit = (E / rowsum + E / colsum - 2 I) / (2 n temperature)
            weights.mul_(rows.reciprocal().unsqueeze(3) + columns.reciprocal().unsqueeze(1))
            weights.diagonal(dim1=1, dim2=3).sub_(2.0)
            gradient = (logits @ flat_targets).mul_(0.5 / (n * temperature))
            ctx.save_for_backward(gradient.view(p, n, d))
        return nats * (_LN_2 / n)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0], None, None
