"""What an adjustment makes of a product in one modality: what is mixed, and in which shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from reactions.core.types import Fusion, Leaf, Modality, Space, Tuned
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    acting_mean,
    coefficients,
    effective_factors,
    effective_means,
    fit_adjustment,
    tuned_leaf,
    tunes,
)

Shares: TypeAlias = "tuple[object, ...]"
"""Nested shares, and how experts are averaged: equal ones give equal embeddings."""


def acting_shares(
    space: Space, modality: Modality, adjustment: Adjustment = NO_ADJUSTMENT
) -> Shares:
    """Return the shares that act in one modality, as nested tuples: () for a leaf.

    Whatever lies within a side without a share is left out, for it cannot matter.

    Raises:
        UsageError: no space is left that embeds this modality.
    """
    if isinstance(space, Leaf):
        return ()
    if not isinstance(space, Fusion):
        return acting_shares(space.base, modality, adjustment)
    base_share, shares = coefficients(space, modality, adjustment)
    sides = [(base_share, space.base)]
    sides += [(share, e.space) for share, e in zip(shares, space.experts, strict=True)]
    return acting_mean(space, shares), *(
        (share, acting_shares(side, modality, adjustment) if share > 0 else ())
        for share, side in sides
    )


def acting_adjustment(space: Space, adjustment: Adjustment) -> dict[str, Any]:
    """Return factors, experts and the means that are not equation 10's, as they act: JSON-able."""
    adjustment = fit_adjustment(space, adjustment)  # an expert within another brings it along
    experts = adjustment.experts
    means = effective_means(space, adjustment)
    return {
        "factors": effective_factors(space, adjustment),
        "experts": None if experts is None else sorted(experts),
        **({"means": means} if means else {}),
    }


def reachable_leaves(space: Space, modality: Modality) -> tuple[Leaf, ...]:
    """Return the leaves that have a share in one modality at some factors, in order.

    ``tree.needed_leaves`` are those of certain factors.
    """

    def walk(node: Space) -> Iterator[Leaf]:
        if modality not in node.modalities:
            return
        if isinstance(node, Leaf):
            yield node
            return
        if isinstance(node, Tuned) and tunes(node, modality):
            yield tuned_leaf(node)
            return
        yield from walk(node.base)
        if isinstance(node, Fusion):
            for expert in node.experts:
                yield from walk(expert.space)

    return tuple(dict.fromkeys(walk(space)))
