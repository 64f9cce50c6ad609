"""Evaluating a product: leaf embeddings in, fused embeddings out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from reactions.core.errors import NotSupportedYet, UsageError
from reactions.core.types import Fusion, Leaf, Modality, Space
from reactions.ops.projector import Head, mix, project
from reactions.ops.tensors import centred, unit
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, coefficients

Heads = Mapping[tuple[Fusion, int], Sequence[Head]]
"""The mixture of projectors of each (fusion, index of expert)."""


Means = Mapping[tuple[Leaf, Modality], Tensor]
"""(d,) mean over the training rows of each modality of the leaves that are centred."""

NO_MEANS: Means = MappingProxyType({})


def fuse(
    space: Space,
    modality: Modality,
    rows: Mapping[Leaf, Tensor],
    heads: Heads,
    adjustment: Adjustment = NO_ADJUSTMENT,
    means: Means = NO_MEANS,
) -> Tensor:
    """Embed rows of one modality in a product.

    Every representation is rescaled to unit norm before it is weighted: leaf embeddings
    (less their mean, where a leaf is centred), each head's output, the mean over heads, and
    the weighted sum.

    Args:
        space: the product.
        modality: what the rows are.
        rows: (n, d_leaf) rows of every leaf that ``needed_leaves`` names; storing them in
            half precision may have left them a little off unit norm.
        heads: projectors, in eval mode, on the rows' device.
        adjustment: factors and experts to use instead of the trained defaults.
        means: of the leaves that are centred, on the rows' device.

    Returns:
        (n, space.dim) unit-norm rows.

    Raises:
        UsageError: a leaf is centred, and its mean is not there.

    Source: Molecule-Space, eq. 1-3, 9, 10.
    """
    if isinstance(space, Leaf):
        own = unit(rows[space])
        return centred(own, mean_of(space, modality, means)) if space.spec.centre else own
    if not isinstance(space, Fusion):
        raise NotSupportedYet(f"{space.label} cannot be evaluated in this version")
    base_share, shares = coefficients(space, modality, adjustment)
    terms: list[tuple[float, Tensor]] = []
    for index, share in ((None, base_share), *enumerate(shares)):
        if share > 0:
            terms.append((share, part(space, index, modality, rows, heads, adjustment, means)))
    return mix(terms)


def part(
    fusion: Fusion,
    index: int | None,
    modality: Modality,
    rows: Mapping[Leaf, Tensor],
    heads: Heads,
    adjustment: Adjustment = NO_ADJUSTMENT,
    means: Means = NO_MEANS,
) -> Tensor:
    """Embed rows in the base or in one expert, projected to where the product is.

    Args:
        fusion: the product.
        index: of the expert; None for the base.
        modality: one that it embeds.
        rows: see ``fuse``, as are the others.
        heads: projectors.
        adjustment: of what is within the base or the expert.
        means: of centred leaves.

    Returns:
        (n, fusion.dim) unit-norm rows.
    """
    space = fusion.base if index is None else fusion.experts[index].space
    own = fuse(space, modality, rows, heads, adjustment, means)
    projected = (index is None) == (fusion.op == "dr")
    return project(heads[fusion, index or 0], own) if projected else own


def mean_of(leaf: Leaf, modality: Modality, means: Means) -> Tensor:
    """Return the mean of one modality of a centred leaf.

    Raises:
        UsageError: it is not there.
    """
    if (leaf, modality) not in means:
        raise UsageError(
            f"space '{leaf.label}' is centred, and its mean of {modality} is not known",
            why="means are those of a reaction's training rows",
            fix=f"a bundle that was trained on {modality}, or centre = false",
        )
    return means[leaf, modality]
