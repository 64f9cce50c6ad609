"""sample: some rows, chosen by a seed, for what is drawn or estimated rather than scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.hashing import bytes_digest
from reactions.core.step import (
    NOT_IN_KEY,
    Artifact,
    Context,
    Cost,
    Rows,
    Step,
    entering,
    inputs_from,
)
from reactions.core.types import Modality, Space
from reactions.products.bundles.trained import Trained
from reactions.products.parts import NO_PARTS
from reactions.products.tree import needed_leaves
from reactions.products.tree_json import tree_to_json
from reactions.steps.raw_rows import stored_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def choose_rows(n: int, sample: int, seed: int = 0) -> NDArray[np.int64]:
    """Return at most ``sample`` of n row numbers, ascending; equal seeds choose the same."""
    if n <= sample:
        return np.arange(n, dtype=np.int64)
    rows = np.random.default_rng(seed).choice(n, size=sample, replace=False)
    return np.sort(rows).astype(np.int64)


def take(rows: Rows, index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return single rows of an array that may be memory-mapped and in shards.

    Args:
        rows: (n, d).
        index: (k,) row numbers.

    Returns:
        (k, d) float32.
    """
    taken_rows = np.empty((len(index), rows.shape[1]), np.float32)
    for place, row in enumerate(index):
        taken_rows[place] = rows[slice(int(row), int(row) + 1)][0]
    return taken_rows


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbedSample(Step):
    """Embeds some rows of a corpus in a product, or in a leaf of it.

    Its artifact is ``embeddings``: (number of rows, width of the space) float32, unit-norm.

    Attributes:
        name: of the space and the corpus, for people.
        modality: of the corpus.
        chosen: (k,) row numbers.
        embedded: leaf's label to embed step of the corpus, for every leaf with a share.
        sampled: the space.
        trained: where the product's trained parts are; None for a leaf.
    """

    KIND = "sample"
    VERSION = 1

    name: str = field(metadata=NOT_IN_KEY)
    modality: Modality
    chosen: NDArray[np.int64] = field(
        metadata=entering(by=lambda step: bytes_digest(step.chosen.astype("<i8").tobytes()))
    )
    embedded: Mapping[str, Step] = field(metadata=inputs_from())
    sampled: Space = field(metadata=entering("tree", lambda step: tree_to_json(step.sampled)))
    trained: Trained | None = field(
        metadata=entering("heads", lambda step: step.trained.digest if step.trained else "")
    )

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"sample {self.name}"

    @cached_property
    def cost(self) -> Cost:
        """Estimates: what is read and kept."""
        size_bytes = 4 * len(self.chosen) * self.sampled.dim
        return Cost(size_bytes=size_bytes, memory_bytes=4 * size_bytes)

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Read the rows of each leaf and fuse them."""
        from reactions.products.fuse import embed_product

        parts = self.trained.load(context.device) if self.trained else NO_PARTS
        rows = embed_product(
            self.sampled,
            self.modality,
            {
                leaf: take(stored_rows(inputs[leaf.label]), self.chosen)
                for leaf in needed_leaves(self.sampled, self.modality)
            },
            parts,
            device=context.device,
            on_rows=lambda done, total: context.progress(done, total, "items"),
        )
        return Artifact({"embeddings": rows})
