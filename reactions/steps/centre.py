"""centre: the mean of a modality over training rows, and embeddings less their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from reactions.core.errors import DataError
from reactions.core.step import ITEM_BYTES, NOT_IN_KEY, Artifact, Context, Cost, Step
from reactions.core.types import Modality

_BLOCK_ROWS = 1 << 14

LEAST_SPREAD = 1e-2
"""Rows nearer than this to their mean are alike up to half precision's rounding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ModalityMean(Step):
    """Averages the training rows of one modality.

    Its artifact is ``mean``: (dim,) float32, the mean of the unit-norm rows, not rescaled.

    Attributes:
        name: of the space, for people.
        modality: of the rows, for people.
        dim: their width.
        rows: embeddings as the encoder gives them.
    """

    KIND = "mean"
    VERSION = 1

    name: str = field(metadata=NOT_IN_KEY)
    modality: Modality = field(metadata=NOT_IN_KEY)
    dim: int = field(metadata=NOT_IN_KEY)
    rows: Step

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"average {self.name} {self.modality}"

    @cached_property
    def cost(self) -> Cost:
        """Estimates: two operations an element."""
        return Cost(
            flops=2.0 * (self.rows.n_rows or 0) * self.dim,
            size_bytes=4 * self.dim,
            memory_bytes=8 * _BLOCK_ROWS * self.dim,
        )

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Sum in float64, block by block."""
        rows = inputs["rows"].arrays["embeddings"]
        n, dim = len(rows), rows.shape[1]
        total = np.zeros(dim, np.float64)
        for first in range(0, n, _BLOCK_ROWS):
            block = np.asarray(rows[first : first + _BLOCK_ROWS], np.float64)
            # Rows may be stored in half precision: their norms are one only up to rounding.
            total += (block / np.linalg.norm(block, axis=1, keepdims=True)).sum(axis=0)
            context.progress(min(n, first + _BLOCK_ROWS), n, "items")
        return Artifact({"mean": (total / n).astype(np.float32)}, {"rows": n})


@dataclass(frozen=True, eq=False, kw_only=True)
class CentreRows(Step):
    """Takes the mean out of embeddings.

    Its artifact is ``embeddings``: as many unit-norm rows as there were.

    Attributes:
        name: of the space, for people.
        modality: of the rows, for people.
        dim: their width.
        rows: embeddings as the encoder gives them.
        mean: from ``ModalityMean``.
        dtype: as stored.
        shard_rows: rows a shard.
    """

    KIND = "embed"
    VERSION = 1

    name: str = field(metadata=NOT_IN_KEY)
    modality: Modality = field(metadata=NOT_IN_KEY)
    dim: int = field(metadata=NOT_IN_KEY)
    rows: Step
    mean: Step
    centre: bool = field(default=True, init=False)
    dtype: str
    shard_rows: int = field(metadata=NOT_IN_KEY)

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"centre {self.name} {self.modality}"

    @cached_property
    def n_rows(self) -> int:
        """Those of the embeddings."""
        return self.rows.n_rows or 0

    @cached_property
    def cost(self) -> Cost:
        """Estimates: a subtraction and a norm."""
        item_bytes = ITEM_BYTES[self.dtype]
        return Cost(
            flops=4.0 * self.n_rows * self.dim,
            size_bytes=self.n_rows * self.dim * item_bytes,
            memory_bytes=min(self.n_rows, self.shard_rows) * self.dim * (8 + item_bytes),
        )

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Subtract the mean and rescale to unit norm.

        Raises:
            DataError: most rows of the shard are alike.
        """
        import torch

        from reactions.ops.tensors import centred, load_rows, unit

        mean = torch.from_numpy(np.array(inputs["mean"].arrays["mean"][slice(None)]))
        rows = unit(load_rows(inputs["rows"].arrays["embeddings"], start, stop, "cpu"))
        alike = int(((rows - mean).norm(dim=1) < LEAST_SPREAD).sum())
        if alike > (stop - start) / 2:
            raise DataError(
                f"'{self.name}' cannot be centred: {alike} of {stop - start} {self.modality} rows "
                "are alike",
                why="nothing but rounding is left of them without their mean",
                fix="embed them again; molspace spaces doctor finds a collapsed tower",
                modality=self.modality,
            )
        embeddings = centred(rows, mean).numpy().astype(self.dtype)
        context.progress(stop - start, stop - start, "items")
        return Artifact({"embeddings": embeddings})
