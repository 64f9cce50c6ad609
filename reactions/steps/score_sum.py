"""score: one task on a weighted sum of several spaces' cosines, which needs no training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.step import Artifact, Rows, Step, entering, inputs_from
from reactions.core.types import Leaf, Modality
from reactions.products.parts import Parts
from reactions.steps.planned_parts import load_planned_means
from reactions.steps.score import ScoreRows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreSum(ScoreRows):
    """Scores a weighted sum of leaves' cosines.

    An item's rows in all leaves, each times the root of its leaf's weight, are put side by side:
    the cosine of two such rows is the weighted sum of the leaves' cosines. So whatever scores a
    space scores the sum.

    Attributes:
        weights: leaf to weight; they sum to 1.
        means: leaf's label and modality to the mean of training rows that is taken off; empty for
            the plain sum.
    """

    weights: Mapping[Leaf, float] = field(metadata=entering(by=lambda step: step.facts["weights"]))
    means: Mapping[str, Mapping[Modality, Step]] = field(
        default_factory=dict, metadata=inputs_from("mean")
    )

    @property
    def facts(self) -> dict[str, Any]:
        """The weights, by name of the leaf; a sum has neither factors nor experts."""
        weights = {leaf.label: weight for leaf, weight in self.weights.items()}
        return {"factors": {}, "experts": None, "weights": weights}

    @property
    def terms(self) -> dict[Leaf, float]:
        """The leaves as they are embedded, less their means or not, with their weights."""
        centred = bool(self.means)
        return {
            Leaf(replace(leaf.spec, centre=centred)): weight
            for leaf, weight in self.weights.items()
        }

    def parts(self, inputs: Mapping[str, Artifact], device: str) -> Parts:
        """Load the means."""
        from reactions.products.parts import load_centring

        return load_centring(load_planned_means(self.terms, self.means, inputs, device))

    def rows(
        self,
        modality: Modality,
        stored: Mapping[str, Rows],
        parts: Parts,
        *,
        device: str,
        on_rows: Callable[[int, int], None],
    ) -> NDArray[np.float32]:
        """Put the leaves' rows side by side: (n, sum of the leaves' widths), unit-norm."""
        from reactions.products.fuse import embed_product

        sides = [
            math.sqrt(weight)
            * embed_product(
                leaf, modality, {leaf: stored[leaf.label]}, parts, device=device, on_rows=on_rows
            )
            for leaf, weight in self.terms.items()
        ]
        return np.concatenate(sides, axis=1, dtype=np.float32)
