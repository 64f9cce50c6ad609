"""Evaluating a product: leaf embeddings in, fused embeddings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from reactions.errors import NotSupportedYet
from reactions.kinds import Fusion, Leaf, Modality, Space
from reactions.ops.projector import Head, mix, project
from reactions.ops.tensors import unit
from reactions.spaces.tree import NO_ADJUSTMENT, Adjustment, coefficients

Heads = Mapping[tuple[Fusion, int], Sequence[Head]]
"""The mixture of projectors of each (fusion, index of expert)."""


def fuse(
    space: Space,
    modality: Modality,
    rows: Mapping[Leaf, Tensor],
    heads: Heads,
    adjustment: Adjustment = NO_ADJUSTMENT,
) -> Tensor:
    """Embed rows of one modality in a product.

    Every representation is brought to unit norm before it is weighted: leaf embeddings,
    each head's output, the mean over heads, and the weighted sum.

    Args:
        space: the product.
        modality: what the rows are.
        rows: (n, d_leaf) rows of every leaf that ``needed_leaves`` names; storing them in
            half precision may have left them a little off unit norm.
        heads: projectors, in eval mode, on the rows' device.
        adjustment: factors and experts to use instead of the trained defaults.

    Returns:
        (n, space.dim) unit-norm rows.

    Source: Molecule-Space, eq. 1-3, 9, 10.
    """
    if isinstance(space, Leaf):
        return unit(rows[space])
    if not isinstance(space, Fusion):
        raise NotSupportedYet(f"{space.label} cannot be evaluated in this version")
    base_share, shares = coefficients(space, modality, adjustment)
    terms: list[tuple[float, Tensor]] = []
    if base_share > 0:
        base = fuse(space.base, modality, rows, heads, adjustment)
        terms.append((base_share, project(heads[space, 0], base) if space.op == "dr" else base))
    for i, (expert, share) in enumerate(zip(space.experts, shares, strict=True)):
        if share > 0:
            own = fuse(expert.space, modality, rows, heads, adjustment)
            terms.append((share, own if space.op == "dr" else project(heads[space, i], own)))
    return mix(terms)
