"""What the recipes of training differ in: layers and constants. Plans need these without torch.

``paper`` is Molecule-Space's own pipeline. ``cmcr`` and ``exmcr`` put the projector structure
and the learning objective of C-MCR and Ex-MCR in its place. Which side is projected, the
pseudo-pairs and the optimiser stay as they are; those methods train one projector, on all
pseudo-pairs, so there is no mixture. (Table 9 does not say whether its rows had one.)

Source: Molecule-Space, section 4.4, Table 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PAPER = "paper"

EXPANSION = 2
"""Hidden layers of C-MCR's and Ex-MCR's MLPs are twice as wide as what enters (published heads:
512 - 1024 - 512)."""


@dataclass(frozen=True, slots=True)
class Constants:
    """Hyper-parameters of a learning objective, as its paper gives them.

    Attributes:
        temperature: of InfoNCE.
        noise_variance: of the Gaussian noise on each coordinate of an embedding.
        intra_weight: of the intra-space term, the papers' lambda.
    """

    temperature: float
    noise_variance: float
    intra_weight: float


CONSTANTS: Mapping[str, Constants] = {
    "cmcr": Constants(temperature=1 / 100, noise_variance=0.004, intra_weight=0.1),
    "exmcr": Constants(temperature=1 / 50, noise_variance=0.004, intra_weight=0.1),
}
"""C-MCR (arXiv 2305.14381) and Ex-MCR (arXiv 2310.08884), their sections on implementation.

Quoted from memory, for neither paper's full text was at hand, and neither's training code was
ever published. Least certain is Ex-MCR's noise, taken to be C-MCR's.
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer with bias.

    Attributes:
        n_in: width that enters.
        n_out: width that leaves.
        normalised: BatchNorm follows.
        activated: ReLU follows that.
        identity: starts as the identity, not from Xavier's distribution.
    """

    n_in: int
    n_out: int
    normalised: bool = True
    activated: bool = False
    identity: bool = False


def layers(recipe: str, in_dim: int, out_dim: int, hidden_dim: int) -> tuple[Layer, ...]:
    """Return the layers of a recipe's head, first to last.

    Args:
        recipe: ``paper``, or one of ``CONSTANTS``.
        in_dim: width of the space that is projected.
        out_dim: width of the space it is projected into.
        hidden_dim: of the paper's projector; the others derive theirs from ``in_dim``.
    """
    if recipe == PAPER:
        return _mlp(in_dim, hidden_dim, out_dim)
    wide = EXPANSION * in_dim
    if recipe == "cmcr":
        return _mlp(in_dim, wide, out_dim)
    return (
        Layer(in_dim, in_dim, normalised=False, identity=True),
        *_mlp(in_dim, wide, in_dim),
        *_mlp(in_dim, wide, out_dim),
    )


def _mlp(n_in: int, hidden: int, n_out: int) -> tuple[Layer, Layer]:
    return Layer(n_in, hidden, activated=True), Layer(hidden, n_out)


def size(plan: tuple[Layer, ...]) -> int:
    """Return how many numbers a head stores: parameters and running statistics."""
    # A bias, and a normalisation's scale, shift, mean and variance.
    return sum(one.n_in * one.n_out + one.n_out * (5 if one.normalised else 1) for one in plan)
