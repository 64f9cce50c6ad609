"""The orthogonal Procrustes problem."""

from __future__ import annotations

import torch
from torch import Tensor

_ROUNDING = 1e-10
"""Singular values below this share of the largest are rounding, not directions of the pairs."""


def procrustes(cross: Tensor) -> tuple[Tensor, int]:
    """Return the rotation that brings one side nearest to the other, and its rank.

    Args:
        cross: (in_dim, out_dim) float64 centred cross-covariance.

    Returns:
        (in_dim, out_dim) float64 U V^T of its singular value decomposition, semi-orthogonal where
        the widths differ. Directions of which the pairs say nothing (fewer pairs than dimensions)
        are left out, where any rotation would be as good: the matrix maps them to zero.

    Source: the orthogonal Procrustes problem (Schoenemann, 1966).
    """
    u, values, vt = torch.linalg.svd(cross, full_matrices=False)
    rank = int((values > _ROUNDING * values[0]).sum()) if values[0] > 0 else 0
    return u[:, :rank] @ vt[:rank], rank
