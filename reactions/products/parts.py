"""Trained parts of a product, by the node of its tree that they belong to.

A part maps embeddings to embeddings. The mixture of projectors of a fusion's expert joins two
spaces; what belongs to a node alone (the means of a centred leaf) acts on the node's own
embeddings. Projectors and means lie in the one tensor file that every bundle has; a part of any
other kind lies in a file of its own (``part_kinds``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from reactions.core.errors import UsageError
from reactions.core.types import Fusion, Leaf, Modality, Space
from reactions.ops.recipes import recipe_of
from reactions.products.tree import projected_side

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.ops.projector import Head


class TrainedPart(Protocol):
    """A trained part, loaded."""

    def apply(self, modality: Modality, rows: Tensor) -> Tensor:
        """Map embeddings of one modality.

        Args:
            modality: of the rows.
            rows: (n, d) unit-norm rows, on the part's device.

        Returns:
            (n, d') unit-norm rows.
        """


Place: TypeAlias = "tuple[Space, int | None]"
"""Where a part belongs: a node, and the index of the expert that it joins to the base; None for
what acts on the node's own embeddings."""

Parts: TypeAlias = Mapping[Place, TrainedPart]

NO_PARTS: Parts = MappingProxyType({})


class ProjectorMixture(tuple["Head", ...]):
    """The projectors that join an expert to its base, in eval mode: the mean of their outputs."""

    __slots__ = ()

    def apply(self, modality: Modality, rows: Tensor) -> Tensor:
        """Project rows of whatever modality.

        Source: Molecule-Space, section 3.2.2.
        """
        from reactions.ops.projector import project

        return project(self, rows)

    def mean(self, rows: Tensor) -> Tensor:
        """Return the mean of the projectors' outputs before it is rescaled to unit norm."""
        from reactions.ops.projector import project_mean

        return project_mean(self, rows)


@dataclass(frozen=True)
class Centring:
    """Takes the mean of each modality's training rows out of a leaf's embeddings.

    Attributes:
        name: of the leaf.
        means: modality to (d,) mean; modalities without training rows are absent.
    """

    name: str
    means: Mapping[Modality, Tensor]

    def apply(self, modality: Modality, rows: Tensor) -> Tensor:
        """Subtract the mean, and rescale to unit norm.

        Raises:
            UsageError: the mean is not there.
        """
        from reactions.ops.tensors import centred

        if modality not in self.means:
            raise UsageError(
                f"space '{self.name}' is centred, and its mean of {modality} is not known",
                why="means are those of a reaction's training rows",
                fix=f"a bundle that was trained on {modality}, or centre = false",
            )
        return centred(rows, self.means[modality])


@dataclass(frozen=True)
class Stored:
    """Leaves embeddings as they are: those of a centred leaf, stored less their mean."""

    def apply(self, modality: Modality, rows: Tensor) -> Tensor:
        """Return the rows."""
        return rows


def load_mixture(
    fusion: Fusion, index: int, states: Iterable[Mapping[str, Tensor]], device: str
) -> TrainedPart:
    """Return what joins an expert to its base on a device: a mixture of projectors, or a map.

    Args:
        fusion: the stage.
        index: of the expert, whose recipe says which it is.
        states: the tensors of each projector; of the one map, where it is in closed form.
        device: where they go.

    Raises:
        LookupError, RuntimeError, ValueError: one is not whole.
    """
    recipe = fusion.experts[index].recipe
    if recipe_of(recipe).solver:
        from reactions.ops.closed_form import AffineMap

        (state,) = states
        name = f"{fusion.base.label} + {fusion.op.capitalize()}({fusion.experts[index].label})"
        return AffineMap.load(name, projected_side(fusion, index).modalities, state, device)
    from reactions.ops.heads import load_head

    return ProjectorMixture(load_head(recipe, state).to(device) for state in states)


def load_centring(means: Mapping[tuple[Leaf, Modality], Tensor]) -> Parts:
    """Return the centring of each leaf that is centred, of the means of any leaves."""
    by_leaf: dict[Leaf, dict[Modality, Tensor]] = {}
    for (leaf, modality), mean in means.items():
        if leaf.spec.centre:
            by_leaf.setdefault(leaf, {})[modality] = mean
    return {(leaf, None): Centring(leaf.label, leaf_means) for leaf, leaf_means in by_leaf.items()}
