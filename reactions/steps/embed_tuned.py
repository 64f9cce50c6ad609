"""embed: a corpus into what an Ft tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reactions.core.encoder_paths import path_of
from reactions.core.step import (
    NOT_IN_KEY,
    Artifact,
    Context,
    Cost,
    Rows,
    Step,
    inputs_from,
)
from reactions.core.types import Encoder, Space, Tuned
from reactions.products.bundles.trained import TunedFile
from reactions.products.tree import tuned_leaf, tunes
from reactions.steps.align_text import layer_tensors
from reactions.steps.embed import EmbedLeaf, projecting_cost


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbedTunedLeaf(EmbedLeaf):
    """Encodes a corpus with an encoder that an Ft tuned.

    Its ``space`` tells what was tuned by ``tuned``: the key of the step, or the digest of the file.

    Attributes:
        name: of the encoder, for people.
        tune: what tuned it; None where a file has the result.
        file: that file.
    """

    name: str = field(metadata=NOT_IN_KEY)
    tune: Step | None = None
    file: TunedFile | None = field(default=None, metadata=NOT_IN_KEY)  # its digest is in space

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return " ".join(filter(None, ("embed", self.name, self.corpus.modality, self.purpose)))

    def load(self, context: Context, inputs: Mapping[str, Artifact]) -> Encoder:
        """Return the encoder with what was tuned.

        Raises:
            BundleError: the file is another one by now, or does not fit the encoder.
        """
        return context.encoder(self.space, lambda encoder: self._give(encoder, inputs))

    def _give(self, encoder: Encoder, inputs: Mapping[str, Artifact]) -> None:
        from reactions.encoders.tuned_towers import give_weights
        from reactions.products.tuned import ENCODER
        from reactions.steps.train import tensors

        if self.file is not None:
            part = self.file.load("cpu")
            weights, rank = part.encoder, part.rank
        else:
            tuned_tensors = tensors(inputs["tune"])
            weights = {
                n.removeprefix(ENCODER): t
                for n, t in tuned_tensors.items()
                if n.startswith(ENCODER)
            }
            rank = inputs["tune"].meta["lora"]
        give_weights(encoder, self.corpus.modality, weights, rank=rank)


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbedTuned(Step):
    """Brings embeddings of the tuned modality from their encoder into a tuned product.

    Its artifact is ``embeddings``: (rows of ``rows``, node.dim), unit-norm.

    Attributes:
        node: the tuned product.
        rows: embeddings of a corpus by the encoder, tuned or as it is; of a centred space, less
            their mean.
        tune: what was tuned.
        heads: where the projectors on the way are not tuned, they, outermost mixture first: subset
            to train step.
        aligned: what trained the layers of Lcl on the way, by their places in its ``aligned``.
        dtype: as stored.
        shard_rows: rows a shard.
    """

    KIND = "embed"
    VERSION = 1

    node: Tuned = field(metadata=NOT_IN_KEY)  # the way is in the keys of the inputs
    rows: Step
    tune: Step
    heads: tuple[Mapping[str, Step], ...] = field(default=(), metadata=inputs_from("head"))
    aligned: Mapping[str, Step] = field(default_factory=dict, metadata=inputs_from("aligned"))
    dtype: str
    shard_rows: int = field(metadata=NOT_IN_KEY)

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"embed {self.node.label} {self.node.arguments[0]}"

    @cached_property
    def n_rows(self) -> int:
        """Those of the embeddings."""
        return self.rows.n_rows or 0

    @cached_property
    def cost(self) -> Cost:
        """Estimates: two operations for each parameter, of four bytes, and row."""
        trained = [
            self.tune,
            *(step for mixture_heads in self.heads for step in mixture_heads.values()),
        ]
        trained += self.aligned.values()
        return projecting_cost(trained, self.n_rows, self.node.dim, self.dtype, self.shard_rows)

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Project rows by what was tuned, as ``products.fuse`` does."""
        from reactions.products.aligned import load_layers
        from reactions.products.fuse import embed_product
        from reactions.products.parts import Place, Stored, TrainedPart, load_mixture
        from reactions.products.tuned import load_tuned
        from reactions.steps.train import tensors

        modality, path = self.node.arguments[0], path_of(self.node)
        leaf = tuned_leaf(self.node) if tunes(self.node, modality) else path.leaf
        trained = {n: t.to(context.device) for n, t in tensors(inputs["tune"]).items()}
        parts: dict[Place, TrainedPart] = {
            (self.node, None): load_tuned(self.node, trained, inputs["tune"].meta["lora"])
        }
        if leaf.spec.centre:
            parts[leaf, None] = Stored()
        for number, (_, inner) in enumerate(path.aligned):
            layer = inputs.get(f"aligned.{number}")  # none where the modality has no layer
            layers = layer_tensors({modality: layer} if layer else {}, context.device)
            parts[inner, None] = load_layers(inner, layers)
        for hop, heads in enumerate(self.heads):
            fusion, index = path.projected[hop]
            states = [tensors(inputs[f"head.{hop}.{subset}"]) for subset in heads]
            parts[fusion, index] = load_mixture(fusion, index, states, context.device)
        stored: dict[Space, Rows] = {leaf: inputs["rows"].arrays["embeddings"]}
        embeddings = embed_product(
            self.node,
            modality,
            stored,
            parts,
            start=start,
            stop=stop,
            chunk_rows=max(1, stop - start),
            device=context.device,
        )
        context.progress(stop - start, stop - start, "items")
        return Artifact({"embeddings": embeddings.astype(self.dtype)})
