"""Encoders as their models are: rows of the norm that a model gives, not of norm 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from reactions.core.errors import UsageError
from reactions.core.left_out import Limits, limits_of
from reactions.core.types import Encoder, Item, Modality, Prepared, Space, SpaceSpec, StagedEncoder
from reactions.encoders.registry import gives_norms
from reactions.products.tree import raw_leaves

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class RawEncoder(StagedEncoder, Protocol):
    """An encoder that also gives rows of the norm that its model gives them."""

    def forward_raw(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch as ``forward`` does, without rescaling its rows.

        Returns:
            (len(inputs), spec.dim) float32, in order; those of ``forward``, but for their norms.
        """


class RawView:
    """An encoder of which ``forward`` gives rows of the norm that the model gives them.

    Args:
        encoder: a ``RawEncoder``.

    Raises:
        UsageError: it is not.
    """

    def __init__(self, encoder: Encoder) -> None:
        if not isinstance(encoder, RawEncoder):
            raise no_norms(encoder.spec)
        self._encoder: RawEncoder = encoder
        self.spec = encoder.spec

    def preprocess(self, modality: Modality, item: Item) -> Prepared:
        """Decode and prepare one item."""
        return self._encoder.preprocess(modality, item)

    def limits(self, modality: Modality) -> Limits:
        """Return what the encoder looks out for in items."""
        return limits_of(self._encoder, modality)

    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch of prepared items: (n, dim) float32 of any norm."""
        return self._encoder.forward_raw(modality, inputs)

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items: (n, dim) float32 of any norm."""
        return self.forward(modality, [self.preprocess(modality, item) for item in items])


def no_norms(spec: SpaceSpec) -> UsageError:
    """Return the error for a space whose rows are asked for with the norm of its model."""
    return UsageError(
        f"norms=published for '{spec.name}', which gives rows of norm 1 alone",
        why=f"the adapter '{spec.adapter}' does not say which norm its model gives",
        fix="leave norms out: layers are then trained on rows of norm 1",
        space=spec.name,
    )


def refuse_unit_rows(space: Space) -> None:
    """Refuse layers on rows of the model's own norm, of spaces that give rows of norm 1 alone.

    Raises:
        UsageError: there is one.
        MissingError: an adapter is not there.
    """
    for leaf in sorted(raw_leaves(space), key=lambda leaf: leaf.label):
        if not gives_norms(leaf.spec):
            raise no_norms(leaf.spec)
