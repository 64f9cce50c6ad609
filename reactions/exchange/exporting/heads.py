"""A product's arithmetic as a module of torch: embeddings of its spaces in, its own out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reactions.core.errors import UsageError
from reactions.core.types import Leaf, Modality, Space
from reactions.products.parts import Parts
from reactions.products.tree import Adjustment, needed_leaves, raw_leaves

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ModalityHeads:
    """What brings embeddings of one modality into the product.

    Attributes:
        modality: which.
        inputs: the spaces whose rows it takes, in order.
        raw: those of them whose rows must have the norm that their model gives.
        module: takes an (n, d_space) float32 tensor of each, and gives (n, dim) unit-norm rows.
    """

    modality: Modality
    inputs: tuple[Leaf, ...]
    raw: frozenset[Leaf]
    module: nn.Module

    def example(self, n: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Draw random rows of each input: unit-norm, but for those of ``raw``."""
        import torch

        from reactions.ops.tensors import unit

        generator = torch.Generator().manual_seed(seed)
        drawn = [torch.randn(n, leaf.dim, generator=generator) for leaf in self.inputs]
        return tuple(
            rows if leaf in self.raw else unit(rows)
            for leaf, rows in zip(self.inputs, drawn, strict=True)
        )

    def expected(self, given: Sequence[Tensor]) -> Tensor:
        """Return what the product makes of rows."""
        embedded: Tensor = self.module(*given)
        return embedded

    def facts(self) -> dict[str, Any]:
        """Return what ``config.json`` says of its inputs."""
        return {
            "inputs": [
                {
                    "name": leaf.label,
                    "dim": leaf.dim,
                    "norm": "as the model gives it" if leaf in self.raw else "any",
                }
                for leaf in self.inputs
            ]
        }


def heads_of(
    space: Space, modality: Modality, parts: Parts, adjustment: Adjustment
) -> ModalityHeads:
    """Return what brings one modality into a product at some factors.

    Args:
        space: the product.
        modality: one that it embeds.
        parts: what was trained, on the CPU.
        adjustment: factors and experts, which become fixed.

    Raises:
        UsageError: the product cannot embed the modality from rows, or not at these factors.
    """
    inputs = needed_leaves(space, modality, adjustment)
    tuned = [leaf.label for leaf in inputs if leaf.spec.tuned]
    if tuned:
        raise UsageError(
            f"{modality} cannot be exported",
            why=f"an Ft tuned the encoder of {', '.join(tuned)}, and encoders are not exported",
        )
    module = _module(space, modality, inputs, parts, adjustment)
    heads = ModalityHeads(
        modality, inputs, frozenset(raw_leaves(space).intersection(inputs)), module
    )
    module(*heads.example(1))  # a mean or a map that is missing shows here
    return heads


def _module(
    space: Space,
    modality: Modality,
    inputs: Sequence[Leaf],
    parts: Parts,
    adjustment: Adjustment,
) -> nn.Module:
    from torch import nn

    from reactions.products.fuse import fuse

    class Heads(nn.Module):
        def forward(self, *rows: Tensor) -> Tensor:
            return fuse(space, modality, dict(zip(inputs, rows, strict=True)), parts, adjustment)

    return Heads().eval()
