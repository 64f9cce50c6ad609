"""align: a linear layer of one modality, on items' embeddings, against their descriptions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from reactions.core.described import DescribedItems
from reactions.core.hashing import digest
from reactions.core.lcl_settings import LclSettings
from reactions.core.step import (
    NOT_IN_KEY,
    UNLESS_DEFAULT,
    Artifact,
    Context,
    Cost,
    Step,
    entering,
    parameters,
)
from reactions.core.types import Modality
from reactions.steps.resuming import StateSaver, table_of

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.ops.lcl import LayerRun


@dataclass(frozen=True, eq=False, kw_only=True)
class AlignText(Step):
    """Trains the layer that an Lcl puts behind one modality of a product.

    Its artifact holds ``weight`` (dim, dim) and ``bias`` (dim,), float32, and in ``meta`` the
    number of steps and the loss of each epoch (nats).

    Attributes:
        of: names the product.
        modality: of the items.
        dim: of the product.
        rows: embeddings of the items in the product, which stays as it is.
        texts: embeddings of the distinct texts in the product.
        described: which of them describe which item.
        settings: hyper-parameters.
        is_raw: whether the layer takes rows of the norm that the encoder's model gives.
        seed: the lab's.
    """

    KIND = "align"
    VERSION = 1

    of: str = field(metadata=NOT_IN_KEY)
    modality: Modality
    dim: int = field(metadata=NOT_IN_KEY)  # that of the inputs
    rows: Step
    texts: Step
    described: DescribedItems = field(metadata=entering(by=lambda step: step.described.digest))
    settings: LclSettings = field(metadata=entering("", lambda step: parameters(step.settings)))
    is_raw: bool = field(default=False, metadata=UNLESS_DEFAULT)
    seed: int

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"align {self.modality} of {self.of} with text"

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        n = len(self.described)
        return self.settings.epochs * (n // min(self.settings.batch_size, n))

    @property
    def reach(self) -> float:
        """How far AdamW can take a weight, as a share of the range that PyTorch draws it from.

        A step moves a weight by about the learning rate, which falls linearly to 0;
        ``torch.nn.Linear`` draws weights from within 1 / sqrt(dim) of 0.
        """
        return self.settings.learning_rate * self.n_steps / 2 * math.sqrt(self.dim)

    @cached_property
    def own_seed(self) -> int:
        """The seed of the layer's beginning, and of the order of items."""
        return int(digest("seed", [self.seed, "lcl", self.modality])[:12], 16)

    @cached_property
    def cost(self) -> Cost:
        """Estimates: forward and backward of the layer and of the logits of every batch."""
        layer_bytes = 4 * (self.dim + 1) * self.dim
        batch = min(self.settings.batch_size, len(self.described))
        return Cost(
            flops=6.0 * batch * self.dim * (self.dim + batch) * self.n_steps,
            size_bytes=layer_bytes,
            memory_bytes=self.rows.cost.size_bytes
            + self.texts.cost.size_bytes
            + 4 * layer_bytes
            + 12 * batch * batch,
        )

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Train on all items, from where an interrupted run of this step had come.

        Raises:
            DataError: the loss is not finite.
        """
        import torch

        from reactions.ops.lcl import LayerTrainer
        from reactions.ops.threads import fitting_threads

        rows = table_of(inputs["rows"], len(self.described), context.device)
        texts = table_of(inputs["texts"], self.texts.n_rows or 0, context.device)
        trainer = LayerTrainer(
            rows, texts, self.described, self._how, device=context.device, is_raw=self.is_raw
        )
        saves = StateSaver(context, trainer, 60 * self.settings.checkpoint_minutes)
        # One thread: results then depend on no number of threads.
        with fitting_threads(torch.device(context.device), 0.0):
            history = trainer.run(
                on_step=saves.step,
                on_epoch=lambda loss, epoch: context.measure("loss", loss, epoch),
            )
        arrays = {name: value.numpy() for name, value in trainer.layer.items()}
        return Artifact(arrays, {"steps": trainer.steps, "loss": history})

    @property
    def _how(self) -> LayerRun:
        from reactions.ops.lcl import LayerRun

        settings = self.settings
        return LayerRun(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            temperature=settings.temperature,
            symmetric=settings.symmetric,
            masked=settings.duplicates == "masked",
            init=settings.init,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
            seed=self.own_seed,
        )


def layer_tensors(artifacts: Mapping[Modality, Artifact], device: str) -> dict[str, Tensor]:
    """Return the tensors of layers as ``products.aligned`` names them, on a device.

    Args:
        artifacts: of ``AlignText`` steps, by modality.
        device: where they go.
    """
    from reactions.steps.train import tensors

    return {
        f"{modality}.{name}": tensor.to(device)
        for modality, artifact in artifacts.items()
        for name, tensor in tensors(artifact).items()
    }
