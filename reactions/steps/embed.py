"""embed: a corpus into a space, by rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.left_out import Tally
from reactions.core.step import (
    ITEM_BYTES,
    NOT_IN_KEY,
    Artifact,
    Context,
    Cost,
    Rows,
    Step,
    entering,
    inputs_from,
)
from reactions.core.types import Corpus, Encoder, Fusion, Leaf, Modality, Space, SpaceSpec
from reactions.encoding.items import Batch, CorpusRange
from reactions.encoding.stream import encode
from reactions.products.tree import acting_mean, coefficients

UNIT_SLACK = 1e-2
"""Norms may be this far from one: half precision leaves 1e-3, a mistake far more."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbedLeaf(Step):
    """Encodes a corpus.

    Its artifact is ``embeddings``: (len(corpus), space.dim), unit-norm rows.

    Attributes:
        space: whose encoder.
        corpus: items of a modality the space has.
        dtype: ``"float16"`` or ``"float32"``, as stored.
        shard_rows: rows a shard: what a killed run may lose.
        purpose: says in the label what the corpus is, "" for nothing.
    """

    KIND = "embed"
    VERSION = 1

    space: SpaceSpec = field(
        metadata=entering(by=lambda step: step.space.identity(step.corpus.modality))
    )
    corpus: Corpus = field(metadata=entering(by=lambda step: step.corpus.digest))
    dtype: str
    shard_rows: int = field(metadata=NOT_IN_KEY)
    purpose: str = field(default="", metadata=NOT_IN_KEY)

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return " ".join(
            filter(None, ("embed", self.space.name, self.corpus.modality, self.purpose))
        )

    @cached_property
    def n_rows(self) -> int:
        """One an item."""
        return len(self.corpus)

    @cached_property
    def cost(self) -> Cost:
        """Estimates: what the space says an item takes."""
        n, dim = self.n_rows, self.space.dim
        flops = dict(self.space.flops_per_item).get(self.corpus.modality, 0.0)
        return Cost(
            flops=flops * n,
            size_bytes=n * dim * ITEM_BYTES[self.dtype],
            memory_bytes=min(n, self.shard_rows) * dim * (4 + ITEM_BYTES[self.dtype]),
        )

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Encode rows, batch by batch.

        Raises:
            DimensionMismatch: the encoder gave embeddings of another shape.
            DataError: it gave one that is zero, not finite or not of unit norm.
        """
        encoder = self.load(context, inputs)
        rows = np.empty((stop - start, self.space.dim), dtype=self.dtype)
        done, tally = 0, Tally()
        items = CorpusRange(self.corpus, start, stop)
        with closing(encode(encoder, items, device=context.device, tally=tally)) as batches:
            for batch in batches:
                check_shape(batch, self.space)
                _check_norms(batch, self.space, self.corpus.modality)
                # Batches are sorted by length within a window, to pad little: out of order.
                rows[np.array(batch.places) - start] = batch.rows
                done += len(batch.places)
                context.progress(done, stop - start, "items")
        left_out = tally.of(self.space.name, self.corpus.modality, stop - start)
        return Artifact({"embeddings": rows}, left_out=left_out)

    def load(self, context: Context, inputs: Mapping[str, Artifact]) -> Encoder:
        """Return the encoder."""
        return context.encoder(self.space)


def check_shape(batch: Batch, spec: SpaceSpec) -> None:
    """Check what an encoder gave: anybody can write one.

    Raises:
        DimensionMismatch: not (number of items, spec.dim).
    """
    rows, n = batch.rows, len(batch.ids)
    if rows.shape != (n, spec.dim):
        raise DimensionMismatch(
            f"'{spec.name}' gave embeddings of shape {rows.shape} for {n} items",
            why=f"{(n, spec.dim)} was promised",
        )


def _check_norms(batch: Batch, spec: SpaceSpec, modality: Modality) -> None:
    """Check what an encoder gave.

    Raises:
        DataError: a row is zero, not finite or not of unit norm.
    """
    norms = np.linalg.norm(batch.rows.astype(np.float32), axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1) < UNIT_SLACK))  # NaN is bad too
    if bad.size:
        id = batch.ids[bad[0]]
        raise DataError(
            f"'{spec.name}' gave no usable embedding for {modality} '{id}'",
            why=f"its norm is {norms[bad[0]]:g}, not 1",
            fix="leave the item out, or repair the encoder",
            id=id,
        )


def projecting_cost(
    heads: Iterable[Step], n_rows: int, dim: int, dtype: str, shard_rows: int
) -> Cost:
    """Estimate what bringing stored rows through trained parts takes.

    Args:
        heads: the steps that train the parts, of four bytes a parameter.
        n_rows: rows of the corpus.
        dim: width of the result.
        dtype: as the result is stored.
        shard_rows: rows a shard.
    """
    head_bytes = sum(step.cost.size_bytes for step in heads)
    return Cost(
        flops=n_rows * head_bytes / 2,
        size_bytes=n_rows * dim * ITEM_BYTES[dtype],
        memory_bytes=min(n_rows, shard_rows) * dim * 16 + head_bytes,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbedProduct(Step):
    """Brings a corpus, embedded on both sides, into a product.

    Its artifact is ``embeddings``: (n_rows, fusion.dim), unit-norm rows.

    Attributes:
        fusion: the product, with the factors it is trained on.
        modality: of the corpus.
        sides: ``"base"`` and ``"expert.<i>"`` to their embeddings of the corpus; sides
            without a share in the modality are absent.
        heads: the same names to the train steps, by subset, that project that side.
        n_rows: rows of the corpus.
        dtype: as stored.
        shard_rows: rows a shard.
    """

    KIND = "embed"
    VERSION = 1

    fusion: Fusion = field(metadata=entering("", lambda step: step.mixing))
    modality: Modality = field(metadata=NOT_IN_KEY)
    sides: Mapping[str, Step] = field(metadata=inputs_from())
    heads: Mapping[str, Mapping[str, Step]] = field(
        metadata=inputs_from("head", lambda step: step.side_heads)
    )
    n_rows: int = field(metadata=NOT_IN_KEY)
    dtype: str
    shard_rows: int = field(metadata=NOT_IN_KEY)

    @cached_property
    def side_shares(self) -> dict[str, float]:
        """The share of each side in the modality, by the side's name."""
        base_share, expert_shares = coefficients(self.fusion, self.modality)
        shares = {"base": base_share, **{f"expert.{i}": s for i, s in enumerate(expert_shares)}}
        return {name: shares[name] for name in sorted(self.sides)}

    @property
    def mixing(self) -> dict[str, Any]:
        """What of the fusion can change the rows, given both sides."""
        shares = self.side_shares
        mean = acting_mean(self.fusion, [shares[name] for name in shares if name != "base"])
        return {
            "op": self.fusion.op,
            "shares": shares,
            **({} if mean == "eq10" else {"mean": mean}),
        }

    @property
    def side_heads(self) -> dict[str, Mapping[str, Step]]:
        """The heads of the sides that have a share."""
        return {name: heads for name, heads in self.heads.items() if name in self.sides}

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"embed {self.fusion.label} {self.modality}"

    @cached_property
    def cost(self) -> Cost:
        """Estimates: two operations for each parameter, of four bytes, and row."""
        heads = [step for heads in self.side_heads.values() for step in heads.values()]
        return projecting_cost(heads, self.n_rows, self.fusion.dim, self.dtype, self.shard_rows)

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Project rows of each side by the mean of its heads, and mix the sides."""
        from reactions.products.fuse import embed_product
        from reactions.products.parts import Place, Stored, TrainedPart, load_mixture
        from reactions.steps.train import tensors

        stored: dict[Space, Rows] = {}
        parts: dict[Place, TrainedPart] = {}
        for name in self.sides:
            index = None if name == "base" else int(name.removeprefix("expert."))
            side = self.fusion.base if index is None else self.fusion.experts[index].space
            stored[side] = inputs[name].arrays["embeddings"]
            if isinstance(side, Leaf) and side.spec.centre:
                parts[side, None] = Stored()
            if name in self.side_heads:
                # Displacement has one expert, and projects the base by its recipe.
                states = [tensors(inputs[f"head.{name}.{s}"]) for s in self.side_heads[name]]
                place = self.fusion, index or 0
                parts[place] = load_mixture(*place, states, context.device)
        embeddings = embed_product(
            self.fusion,
            self.modality,
            stored,
            parts,
            start=start,
            stop=stop,
            chunk_rows=stop - start,
            device=context.device,
        )
        context.progress(stop - start, stop - start, "items")
        return Artifact({"embeddings": embeddings.astype(self.dtype)})
