"""tune: an encoder and the projectors behind it, on pairs, against a frozen product."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reactions.core.hashing import digest
from reactions.core.settings import TuningSettings
from reactions.core.step import (
    NOT_IN_KEY,
    UNLESS_DEFAULT,
    Artifact,
    Context,
    Cost,
    Step,
    entering,
    inputs_from,
    parameters,
)
from reactions.core.tuning_options import Heads
from reactions.core.types import Corpus, Encoder, Modality, SpaceSpec
from reactions.products.tuned import ENCODER, HEAD
from reactions.steps.resuming import StateSaver, table_of

if TYPE_CHECKING:
    from torch import nn

    from reactions.ops.projector import Head
    from reactions.ops.tuning import Hop, TuningRun

_OF_ENCODERS = ("encoder_learning_rate", "micro_batch", "lora_rank")
"""Settings without effect where the projectors alone are tuned."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Tune(Step):
    """Tunes what lies between the items of one modality and a product.

    Its artifact holds the tensors that ``products.tuned`` describes, and in ``meta`` the number of
    pairs, steps, the rank of LoRA and the loss of each epoch (nats).

    Attributes:
        of: names the product.
        pair: the modality that is tuned, and that of the targets.
        targets: embeddings of the pairs' other halves in the product, which stays as it is.
        rows: embeddings of the tuned halves by the encoder as it is; None where it is tuned.
        items: the tuned halves themselves, where the encoder is tuned; else None.
        space: whose encoder is tuned; None where it is not.
        heads: the projectors on the way, innermost mixture first: subset to train step.
        aligned: the layers of Lcl on the way, which stay as they are: ``<mixtures before
            it>.<number>`` to what trained it, innermost first.
        recipes: whose projectors they are.
        tuned: what is tuned.
        settings: hyper-parameters.
        precision: of the forward pass on CUDA: ``"fast"`` computes in 16 bits.
        seed: the lab's.
    """

    KIND = "tune"
    VERSION = 1

    of: str = field(metadata=NOT_IN_KEY)
    pair: tuple[Modality, Modality]
    targets: Step
    rows: Step | None = None
    items: Corpus | None = field(
        default=None,
        metadata=entering(by=lambda step: "" if step.items is None else step.items.digest),
    )
    space: SpaceSpec | None = field(
        default=None,
        metadata=entering(
            by=lambda step: {} if step.space is None else step.space.identity(step.pair[0])
        ),
    )
    heads: Sequence[Mapping[str, Step]] = field(metadata=inputs_from("head"))
    aligned: Mapping[str, Step] = field(default_factory=dict, metadata=inputs_from("aligned"))
    recipes: Sequence[str]
    tuned: Heads
    settings: TuningSettings = field(metadata=entering("", lambda step: step.acting))
    precision: str = field(default="exact", metadata=UNLESS_DEFAULT)
    seed: int

    @property
    def acting(self) -> dict[str, Any]:
        """The settings that can change the result."""
        unused = {"heads"}
        if self.rows is not None:
            unused.update(_OF_ENCODERS)
        if not self.tuned:
            unused.add("learning_rate")  # the projectors' own
        settings = parameters(self.settings)
        return {name: value for name, value in settings.items() if name not in unused}

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"tune {self.pair[0]} of {self.of} on {self.pair[1]}"

    @property
    def encoded(self) -> Corpus | None:
        """The tuned halves, where the encoder is tuned."""
        return self.items

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return self.targets.n_rows or 0

    @cached_property
    def own_seed(self) -> int:
        """The seed of the order of pairs."""
        return int(digest("seed", [self.seed, "ft", *self.pair])[:12], 16)

    @cached_property
    def cost(self) -> Cost:
        """Estimates: forward and backward of the projectors, and the logits of every batch."""
        head_bytes = sum(
            step.cost.size_bytes for mixture_heads in self.heads for step in mixture_heads.values()
        )
        n, batch = self.pairs, min(self.settings.batch_size, max(self.pairs, 1))
        width = max((step.cost.size_bytes // max(n, 1) for step in self._tables), default=0)
        # The encoder runs forward twice and backward, which is twice as much as forward.
        encoder = 0.0
        if self.space is not None:
            encoder = 4 * dict(self.space.flops_per_item).get(self.pair[0], 0.0)
        per_row = encoder + 6.0 * head_bytes / 4 + 6.0 * batch * width / 2
        return Cost(
            flops=per_row * n * self.settings.epochs,
            size_bytes=head_bytes if self.tuned else 0,
            memory_bytes=sum(step.cost.size_bytes for step in self._tables)
            + 4 * head_bytes
            + 12 * batch * batch,
        )

    @property
    def _tables(self) -> list[Step]:
        return [self.targets, *([self.rows] if self.rows else [])]

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Tune on all pairs, from where an interrupted run of this step had come.

        Raises:
            DataError: the loss is not finite, or the encoder cannot be tuned.
            MediaError: an item cannot be decoded.
        """
        import torch

        from reactions.encoders.tuned_towers import changed_weights
        from reactions.ops.threads import fitting_threads
        from reactions.ops.tuning import EmbeddedRows, TunedItems, Tuner, half_type
        from reactions.steps.tuned_items import CorpusItems

        settings, tower, items = self.settings, None, None
        hops = self._load_heads(inputs, context.device)
        way = self._way([list(heads.values()) for heads in hops], inputs, context.device)
        targets = table_of(inputs["targets"], self.pairs, context.device)
        groups = []
        if self.tuned:
            head_parameters = [
                p for heads in hops for head in heads.values() for p in head.parameters()
            ]
            groups.append((settings.learning_rate, head_parameters))
        if self.space is None or self.items is None:
            rows = table_of(inputs["rows"], self.pairs, context.device)
            source: TunedItems = EmbeddedRows(rows, way, context.device)
        else:
            encoder, tower = self._tower(context, self.space)
            source = items = CorpusItems(encoder, tower, way, self.items, context.device)
            weights = [p for p in tower.parameters() if p.requires_grad]
            groups.append((settings.encoder_learning_rate, weights))
        half = half_type(context.device, self.precision)
        tuner = Tuner(source, groups, targets, self._how, device=context.device, half=half)
        saves = StateSaver(context, tuner, 60 * settings.checkpoint_minutes)
        goes_on = tuner.done > 0
        # Results then depend on no number of threads where projectors are small.
        with fitting_threads(torch.device(context.device), self._flops_together(way)):
            history = tuner.run(
                on_step=saves.step,
                on_epoch=lambda loss, epoch: context.measure("loss", loss, epoch),
            )
        # Hops of an artifact are counted from the outermost.
        arrays = {
            f"{HEAD}{hop}.{subset}.{name}": value.numpy()
            for hop, heads in enumerate(reversed(hops))
            for subset, head in heads.items()
            for name, value in head.state().items()
            if self.tuned
        }
        rank = settings.lora_rank if tower is not None else None
        if tower is not None:
            changed = changed_weights(tower, rank=rank)
            arrays |= {f"{ENCODER}{name}": value.numpy() for name, value in changed.items()}
        meta = {"pairs": self.pairs, "steps": tuner.steps, "lora": rank, "loss": history}
        left_out = None
        if items is not None and self.space is not None:
            n_elsewhere = self.pairs - items.n_counted if goes_on else 0
            left_out = items.left_out(self.space.name, n_elsewhere)
        return Artifact(arrays, meta, left_out)

    def _way(
        self, hops: Sequence[Hop], inputs: Mapping[str, Artifact], device: str
    ) -> Sequence[Hop]:
        """Return mixtures and layers in the order in which rows go through them."""
        from reactions.ops.lcl import frozen_layer
        from reactions.steps.train import tensors

        way: list[Hop] = []
        for position in range(len(hops) + 1):
            for name in sorted(self.aligned, key=lambda name: int(name.partition(".")[2])):
                if int(name.partition(".")[0]) == position:
                    way.append([frozen_layer(tensors(inputs[f"aligned.{name}"]), device)])
            way += hops[position : position + 1]
        return way

    def _flops_together(self, way: Sequence[Hop]) -> float:
        """Return the operations of a step that run one after the other by projector."""
        if self.space is not None:
            return float("inf")
        largest = max(
            (sum(p.numel() for p in head.parameters()) for h in way for head in h), default=0
        )
        return 6.0 * largest * min(self.settings.batch_size, self.pairs)

    @property
    def _how(self) -> TuningRun:
        from reactions.ops.tuning import TuningRun

        settings = self.settings
        return TuningRun(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            # Rows through projectors are small: a batch goes through at once.
            micro_batch=settings.batch_size if self.space is None else settings.micro_batch,
            temperature=settings.temperature,
            weight_decay=settings.weight_decay,
            warm_up=settings.warm_up,
            seed=self.own_seed,
        )

    def _tower(self, context: Context, space: SpaceSpec) -> tuple[Encoder, nn.Module]:
        """Load an encoder that nobody else uses, and return it with the tower to tune."""
        from reactions.encoders.tuned_towers import tower_to_tune

        # A name of its own each time: what a failed run left of the weights is not gone on from.
        alone = replace(space, tuned=f"being tuned {uuid.uuid4().hex}")
        encoder = context.encoder(alone)
        tower = tower_to_tune(
            encoder, self.pair[0], rank=self.settings.lora_rank, seed=self.own_seed
        )
        return encoder, tower

    def _load_heads(self, inputs: Mapping[str, Artifact], device: str) -> list[dict[str, Head]]:
        """Return the projectors of each hop, innermost first, to be tuned or to be passed."""
        from reactions.ops.heads import load_head
        from reactions.steps.train import tensors

        return [
            {
                # In one order everywhere: sums of projectors are rounded by it.
                subset: load_head(recipe, tensors(inputs[f"head.{hop}.{subset}"]))
                .to(device)
                .requires_grad_(bool(self.tuned))
                for subset in sorted(heads)
            }
            for hop, (heads, recipe) in enumerate(zip(self.heads, self.recipes, strict=True))
        ]
