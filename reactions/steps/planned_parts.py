"""Parts of a product that other steps of a plan make, as steps get them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.step import Artifact
from reactions.core.types import Leaf, Modality, Space
from reactions.products.tree import mixtures

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.products.parts import Place, TrainedPart


def load_planned_mixtures(
    product: Space,
    heads: Sequence[Mapping[str, object]],
    inputs: Mapping[str, Artifact],
    device: str,
) -> dict[Place, TrainedPart]:
    """Load the projectors of a product from inputs ``head.<mixture>.<subset>``.

    Args:
        product: whose.
        heads: each mixture's, by subset, in the order of ``tree.mixtures``.
        inputs: of the step.
        device: where they go.
    """
    from reactions.products.parts import load_mixture
    from reactions.steps.train import tensors

    return {
        (fusion, i): load_mixture(
            fusion,
            i,
            [tensors(inputs[f"head.{index}.{subset}"]) for subset in mixture_heads],
            device,
        )
        for index, ((fusion, i), mixture_heads) in enumerate(
            zip(mixtures(product), heads, strict=True)
        )
    }


def load_planned_means(
    leaves: Iterable[Leaf],
    means: Mapping[str, Iterable[Modality]],
    inputs: Mapping[str, Artifact],
    device: str,
) -> dict[tuple[Leaf, Modality], Tensor]:
    """Load the (d,) means of leaves from inputs ``mean.<leaf>.<modality>``.

    Args:
        leaves: whose.
        means: leaf's label to the modalities that have one.
        inputs: of the step.
        device: where they go.
    """
    import torch

    return {
        (leaf, modality): torch.from_numpy(
            np.array(inputs[f"mean.{leaf.label}.{modality}"].arrays["mean"][slice(None)])
        ).to(device)
        for leaf in leaves
        for modality in means.get(leaf.label, ())
    }
