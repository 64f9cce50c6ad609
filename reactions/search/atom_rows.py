"""Embedding items as atoms: what an index keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.types import Leaf, Modality, Prepared
from reactions.encoding.items import Batch
from reactions.inference.embedder import Embedder
from reactions.products.acting import reachable_leaves
from reactions.products.atoms import Form, atom_rows, atoms_of, form_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class AtomEmbedder(Embedder):
    """An encoder whose row of an item has its atoms, one after another, and then their lengths.

    Its rows are (M d + M,) float32, M being the most atoms that an item of any modality has; the
    rest is 0. All leaves take part that have a share at some factors.
    """

    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed prepared items of one modality.

        Raises:
            DataError: a leaf's encoder gives no usable embedding.
        """
        import torch

        rows = self.leaf_rows(modality, inputs)
        with torch.inference_mode():
            units, lengths = atom_rows(self.form(modality), modality, rows, self.loaded.trained())
        n, n_atoms = lengths.shape
        packed = np.zeros((n, self._most * (self.dim + 1)), dtype=np.float32)
        packed[:, : n_atoms * self.dim] = units.flatten(1).cpu().numpy()
        packed[:, self._most * self.dim :][:, :n_atoms] = lengths.cpu().numpy()
        return packed

    @cached_property
    def _most(self) -> int:
        return max(len(atoms_of(self.form(m))) for m in self.target.space.modalities)

    def form(self, modality: Modality) -> Form:
        """Return how embeddings of a modality are made of atoms."""
        return form_of(self.target.space, modality)

    def unpack(
        self, modality: Modality, rows: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Take rows apart: (n, K, d) atoms and (n, K) lengths."""
        n_atoms = len(atoms_of(self.form(modality)))
        units = rows[:, : n_atoms * self.dim].reshape(len(rows), n_atoms, self.dim)
        return units, rows[:, self._most * self.dim :][:, :n_atoms]

    def _directions(self, batch: Batch) -> NDArray[np.float32]:
        units, _ = self.unpack(batch.modality, batch.rows)
        return units

    def _without_direction(self, norm: float) -> tuple[str, str]:
        return (
            "the projectors of one of its parts give it no direction, so that it cannot be found "
            "at all factors",
            "leave it out; if there are many, run the reaction again",
        )

    def _taking_part(self, modality: Modality) -> tuple[Leaf, ...]:
        return reachable_leaves(self.target.space, modality)
