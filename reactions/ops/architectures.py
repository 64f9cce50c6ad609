"""What projectors consist of, and the constants of two objectives; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


def paper_layers(in_dim: int, out_dim: int, hidden_dim: int) -> tuple[Layer, ...]:
    """Return the layers of Molecule-Space's projector (hidden_dim there: 2048)."""
    return _mlp(in_dim, hidden_dim, out_dim)


def cmcr_layers(in_dim: int, out_dim: int, hidden_dim: int) -> tuple[Layer, ...]:
    """Return the layers of C-MCR's head, whose hidden width follows from ``in_dim``."""
    return _mlp(in_dim, EXPANSION * in_dim, out_dim)


def exmcr_layers(in_dim: int, out_dim: int, hidden_dim: int) -> tuple[Layer, ...]:
    """Return the layers of Ex-MCR's head: a linear layer that starts as the identity, two MLPs."""
    wide = EXPANSION * in_dim
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
    return sum(
        layer.n_in * layer.n_out + layer.n_out * (5 if layer.normalised else 1) for layer in plan
    )


def map_shapes(in_dim: int, out_dim: int, n_modalities: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors of a map that is solved for in closed form.

    Args:
        in_dim: width of the space that is mapped.
        out_dim: width of the space it is mapped into.
        n_modalities: how many the mapped space embeds.
    """
    return {
        "map.matrix": (in_dim, out_dim),
        "map.source": (n_modalities, in_dim),
        "map.target": (n_modalities, out_dim),
        "map.known": (n_modalities,),
    }
