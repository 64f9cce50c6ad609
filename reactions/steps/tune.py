"""tune: an encoder and the projectors behind it, on pairs, against a frozen product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.hashing import digest
from reactions.core.memory_budget import TABLE_SHARE, budget_bytes
from reactions.core.settings import TuningSettings
from reactions.core.step import (
    NOT_IN_KEY,
    Artifact,
    Context,
    Cost,
    Step,
    entering,
    inputs_from,
    parameters,
)
from reactions.core.tuning_options import Heads
from reactions.core.types import Modality

if TYPE_CHECKING:
    from torch import Tensor, nn

    from reactions.ops.projector import Head
    from reactions.ops.tuning import TunedItems

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
        heads: the projectors on the way, innermost mixture first: subset to train step.
        recipes: whose projectors they are.
        tuned: what is tuned.
        settings: hyper-parameters.
        seed: the lab's.
    """

    KIND = "tune"
    VERSION = 1

    of: str = field(metadata=NOT_IN_KEY)
    pair: tuple[Modality, Modality]
    targets: Step
    rows: Step | None = None
    heads: Sequence[Mapping[str, Step]] = field(metadata=inputs_from("head"))
    recipes: Sequence[str]
    tuned: Heads
    settings: TuningSettings = field(metadata=entering("", lambda step: step.acting))
    seed: int

    @property
    def acting(self) -> dict[str, Any]:
        """The settings that can change the result."""
        unused = ("heads", *(_OF_ENCODERS if self.rows is not None else ()))
        own = parameters(self.settings)
        return {name: value for name, value in own.items() if name not in unused}

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"tune {self.pair[0]} of {self.of} on {self.pair[1]}"

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
        head_bytes = sum(step.cost.size_bytes for own in self.heads for step in own.values())
        n, batch = self.pairs, min(self.settings.batch_size, max(self.pairs, 1))
        width = max((step.cost.size_bytes // max(n, 1) for step in self._tables), default=0)
        per_row = 6.0 * head_bytes / 4 + 6.0 * batch * width / 2
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
        """Tune on all pairs.

        Raises:
            DataError: there are fewer than two pairs, or the loss is not finite.
        """
        from reactions.ops.tuning import EmbeddedRows, Tuner, TuningRun

        hops = self._load_heads(inputs, context.device)
        tables = [_table(inputs[name], self.pairs, context.device) for name in ("targets", "rows")]
        targets, rows = tables
        settings = self.settings
        groups: list[tuple[float, list[nn.Parameter]]] = []
        if self.tuned:
            own = [p for heads in hops for head in heads.values() for p in head.parameters()]
            groups.append((settings.learning_rate, own))
        source: TunedItems = EmbeddedRows(
            rows, [list(hop.values()) for hop in hops], context.device
        )
        tuner = Tuner(
            source,
            groups,
            targets,
            TuningRun(
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                # Rows through projectors are small: a batch goes through at once.
                micro_batch=settings.batch_size,
                temperature=settings.temperature,
                weight_decay=settings.weight_decay,
                warm_up=settings.warm_up,
                seed=self.own_seed,
            ),
            device=context.device,
        )
        history = tuner.run(
            on_step=lambda: context.progress(tuner.done, tuner.steps, "steps"),
            on_epoch=lambda loss, epoch: context.measure("loss", loss, epoch),
        )
        # Hops of an artifact are counted from the outermost.
        arrays = {
            f"head.{hop}.{subset}.{name}": np.asarray(value)
            for hop, heads in enumerate(reversed(hops))
            for subset, head in heads.items()
            for name, value in head.state().items()
            if self.tuned
        }
        meta = {"pairs": self.pairs, "steps": tuner.steps, "lora": None, "loss": history}
        return Artifact(arrays, meta)

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


def _table(artifact: Artifact, n: int, device: str) -> Tensor:
    """Return stored embeddings as a tensor, on the device if it has room for them."""
    from reactions.ops.tiles import raw_rows

    rows = raw_rows(artifact.arrays["embeddings"], 0, n)
    fits = rows.numel() * rows.element_size() < budget_bytes(device, TABLE_SHARE) / 2
    return rows.to(device) if fits else rows
