"""embed: a corpus into what an Lcl aligned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reactions.core.step import NOT_IN_KEY, Artifact, Context, Cost, Step
from reactions.core.types import Modality, Tuned
from reactions.steps.align_text import layer_tensors
from reactions.steps.embed import projecting_cost
from reactions.steps.raw_rows import stored_rows


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbedAligned(Step):
    """Passes embeddings of one modality through the layer that an Lcl trained.

    Its artifact is ``embeddings``: (rows of ``rows``, node.dim), unit-norm.

    Attributes:
        node: the aligned product.
        modality: of the corpus.
        rows: the corpus embedded in the node's base.
        layer: what trained the layer.
        dtype: as stored.
        shard_rows: rows a shard.
    """

    KIND = "embed"
    VERSION = 1

    node: Tuned = field(metadata=NOT_IN_KEY)  # what it is made of are the inputs
    modality: Modality = field(metadata=NOT_IN_KEY)
    rows: Step
    layer: Step
    dtype: str
    shard_rows: int = field(metadata=NOT_IN_KEY)

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"embed {self.node.label} {self.modality}"

    @cached_property
    def n_rows(self) -> int:
        """Those of the embeddings."""
        return self.rows.n_rows or 0

    @cached_property
    def cost(self) -> Cost:
        """Estimates: two operations for each parameter, of four bytes, and row."""
        return projecting_cost(
            [self.layer], self.n_rows, self.node.dim, self.dtype, self.shard_rows
        )

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Pass rows through the layer, as ``products.fuse`` does."""
        import torch

        from reactions.ops.tensors import load_rows, unit
        from reactions.products.aligned import load_layers

        layers = layer_tensors({self.modality: inputs["layer"]}, context.device)
        part = load_layers(self.node, layers)
        base_rows = load_rows(stored_rows(inputs["rows"]), start, stop, context.device)
        with torch.inference_mode():
            rows = part.apply(self.modality, base_rows if part.is_raw else unit(base_rows))
        context.progress(stop - start, stop - start, "items")
        return Artifact({"embeddings": rows.cpu().numpy().astype(self.dtype)})
