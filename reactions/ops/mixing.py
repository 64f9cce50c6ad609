"""Mixing the embeddings of a base with those of its parallel experts.

Two conventions. ``eq10`` is equation 10 as it is written: the mean of the experts' unit-norm
embeddings enters as it is, which is shorter than one wherever they differ. ``unit`` is what
FreeBind's published code does: the outputs of all projectors of all experts are averaged, and that
mean is rescaled to unit norm before it is weighted, so that the experts have their whole share.
For one expert the two are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reactions.core.types import Mean
from reactions.ops.tensors import unit


@torch.inference_mode()
def mix(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Weighted sum of representations of one modality, rescaled to unit norm.

    Args:
        terms: (coefficient, (n, d) rows) pairs; at least one.

    Returns:
        (n, d) unit-norm rows.

    Source: Molecule-Space, eq. 3 and 10.
    """
    return unit(_sum(terms))


@torch.inference_mode()
def mix_experts(
    base: Sequence[tuple[float, Tensor]], experts: Sequence[tuple[float, Tensor]], mean: Mean
) -> Tensor:
    """Mix a base with parallel experts in one modality.

    Args:
        base: (share, (n, d) unit-norm rows); empty where the base has no share.
        experts: (share, (n, d) rows) of each expert with a share. For ``"eq10"`` the rows have unit
            norm; for ``"unit"`` each is the mean of its expert's projectors at its own length.
        mean: the convention.

    Returns:
        (n, d) unit-norm rows.

    Source: Molecule-Space, eq. 10; for ``"unit"``, FreeBind's published code. Where the experts'
    factors differ, which that code has no way to say, the shares give the direction of the mean,
    and their sum its weight.
    """
    if mean == "unit" and experts:
        experts = [(sum(share for share, _ in experts), unit(_sum(experts)))]
    return mix([*base, *experts])


def _sum(terms: Sequence[tuple[float, Tensor]]) -> Tensor:
    (coefficient, rows), *rest = terms
    total = rows * coefficient
    for coefficient, rows in rest:
        total = total + rows * coefficient
    return total
