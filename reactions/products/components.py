"""Rows in a product at many factors, of which only the mixing is done again for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reactions.core.types import Modality, Space
from reactions.products.parts import Parts
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, needed_leaves

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.core.step import Rows
    from reactions.products.fuse import Projected


class Components:
    """Stored embeddings of one modality's items, projected once.

    Rows at any factors are those of ``fuse.embed_product``, bit for bit: the same code makes them,
    chunk by chunk, of the same projected rows.

    Args:
        space: the product.
        modality: what the rows are.
        stored: embeddings of the leaves, as ``embed_product`` takes them.
        parts: what was trained, on ``device``.
        device: where to compute.
    """

    def __init__(
        self,
        space: Space,
        modality: Modality,
        stored: Mapping[Space, Rows],
        parts: Parts,
        *,
        device: str = "cpu",
    ) -> None:
        self._space = space
        self._modality = modality
        self._stored = stored
        self._parts = parts
        self._device = device
        self._projected: dict[int, Projected] = {}

    def rows(self, adjustment: Adjustment = NO_ADJUSTMENT) -> NDArray[np.float32]:
        """Return the rows at some factors: (n, space.dim) float32, unit norm."""
        from reactions.products.fuse import embed_product

        needed = needed_leaves(self._space, self._modality, adjustment)
        return embed_product(
            self._space,
            self._modality,
            {leaf: self._stored[leaf] for leaf in needed},
            self._parts,
            adjustment,
            device=self._device,
            projected=self._projected,
        )
