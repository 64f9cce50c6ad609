"""How much each leaf counts in a product, and in the sum of cosines that its factors stand for."""

from __future__ import annotations

from collections.abc import Iterator

from reactions.core.types import Fusion, Leaf, Modality, Space
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, coefficients, embedded_by


def leaf_shares(
    space: Space, modality: Modality, adjustment: Adjustment = NO_ADJUSTMENT
) -> dict[Leaf, float]:
    """Return each leaf's share in one modality, as the factors act; they sum to 1.

    A leaf's share is the product of the shares along its path through the tree; where it takes
    part several times, they are added. Leaves without a share are absent.

    Raises:
        UsageError: no space that is kept embeds the modality.
    """
    shares: dict[Leaf, float] = {}

    def walk(node: Space, share: float) -> None:
        if isinstance(node, Leaf):
            shares[node] = shares.get(node, 0.0) + share
        elif isinstance(node, Fusion):
            base, expert_shares = coefficients(node, modality, adjustment)
            if base > 0:
                walk(node.base, share * base)
            for expert, part in zip(node.experts, expert_shares, strict=True):
                if part > 0:
                    walk(expert.space, share * part)
        else:
            walk(node.base, share)  # what is tuned keeps its place

    walk(space, 1.0)
    return shares


def leaves_of_both(
    space: Space, first: Modality, second: Modality, adjustment: Adjustment = NO_ADJUSTMENT
) -> tuple[Leaf, ...]:
    """Return the leaves that embed both modalities, whatever their factors, in order.

    Leaves within experts that are left out are absent.
    """

    def walk(node: Space) -> Iterator[Leaf]:
        if isinstance(node, Leaf):
            yield node
            return
        yield from walk(node.base)
        if isinstance(node, Fusion):
            for expert in node.experts:
                # An expert that is left out embeds nothing; see ``tree.embedded_by``.
                if adjustment.keeps(expert) and embedded_by(expert.space, adjustment):
                    yield from walk(expert.space)

    able = (leaf for leaf in walk(space) if {first, second} <= set(leaf.modalities))
    return tuple(dict.fromkeys(able))


def cosine_weights(
    space: Space, first: Modality, second: Modality, adjustment: Adjustment = NO_ADJUSTMENT
) -> dict[Leaf, float]:
    """Return the weights of the leaves' cosines between two modalities; they sum to 1.

    A fused similarity is the sum, over pairs of leaves, of the one's share in the first modality
    times the other's in the second times the cosine of their rows. Where a leaf meets itself, that
    cosine is its own and needs no projector: the weights are those products, rescaled. Empty if no
    leaf has a share in both modalities.

    Args:
        space: the product.
        first: modality of the queries.
        second: modality of what is found.
        adjustment: factors and experts.

    Source: Molecule-Space, eq. 1-3, 9, 10, without the projectors.
    """
    shares, other_shares = (
        leaf_shares(space, first, adjustment),
        leaf_shares(space, second, adjustment),
    )
    weights = {
        leaf: share * other_shares[leaf] for leaf, share in shares.items() if leaf in other_shares
    }
    total = sum(weights.values())
    return {leaf: weight / total for leaf, weight in weights.items()}
