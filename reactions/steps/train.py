"""train: one projector on one subset of the pseudo sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.hashing import digest
from reactions.core.memory_budget import SHARE, TABLE_SHARE, budget_bytes
from reactions.core.step import (
    NOT_IN_KEY,
    Artifact,
    Context,
    Cost,
    Step,
    entering,
    parameters,
)
from reactions.ops.architectures import Layer, size
from reactions.ops.recipe import PAPER
from reactions.ops.recipes import recipe_of
from reactions.ops.training_settings import TrainingSettings
from reactions.steps.projector import ProjectorStep
from reactions.steps.subsets import subset_name

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.ops.precision import Precision


@dataclass(frozen=True, eq=False, kw_only=True)
class Train(ProjectorStep):
    """Trains one projector.

    Its artifact holds the projector's tensors by their state-dict names, and in ``meta``
    the number of pairs and the loss of each epoch (the paper's: nats, the sum over pairs of
    modalities).

    Attributes:
        precision: of the products.
        settings: hyper-parameters. Each subset derives a seed of its own from the reaction's, for
            Dr and for Cr and for each pair of spaces, so that parallel experts of equal widths
            neither start from the same weights nor see rows in the same order.
        recipe: whose projector and loss; its ``params`` enter the key.

    Source: Molecule-Space, eq. 7 and 8, section 4.1.
    """

    KIND = "train"
    VERSION = 3

    precision: Precision = field(metadata=entering(by=lambda step: step.acting_precision))
    settings: TrainingSettings = field(
        metadata=entering("", lambda step: recipe_of(step.recipe).params(parameters(step.settings)))
    )
    recipe: str = field(default=PAPER, metadata=NOT_IN_KEY)  # beside the settings

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"train {self.spaces} on {subset_name(self.anchors)}"

    @property
    def acting_precision(self) -> Precision:
        """The precision asked for, where the recipe has more than one."""
        return self.precision if "precision" in recipe_of(self.recipe).uses else "exact"

    @cached_property
    def own_seed(self) -> int:
        """The seed of this projector, which depends on its two spaces, its subset and ``op``."""
        encoders = _encoders(step for _, step in self.inputs)
        drawn = digest("seed", [self.settings.seed, self.op, list(self.anchors), encoders])
        return int(drawn[:12], 16)

    @cached_property
    def cost(self) -> Cost:
        """Estimates: forward and backward of the head, and the logits of every batch."""
        (d_in, d_out), (sources, targets) = self.widths, map(len, self.sides)
        n = sum(self.rows[anchor] for anchor in self.anchors)
        batch = min(self.settings.batch_size, max(n, 1))
        recipe = recipe_of(self.recipe)
        head = recipe.layers(d_in, d_out, self.settings.hidden_dim)
        parameters = size(head)
        # A multiply-add a weight, three times: forward, and the gradients of input and weight. Of
        # the logits' products there are two, for the frozen side needs no gradient.
        per_row = 6.0 * parameters * sources + 4.0 * batch * sources * targets * d_out
        autograd_bytes = (
            0 if recipe.name == PAPER else _kept_by_autograd(head, batch, sources, targets)
        )
        return Cost(
            flops=per_row * n * self.settings.epochs,
            size_bytes=4 * parameters,
            memory_bytes=4 * n * (sources * d_in + targets * d_out)
            + 4 * batch * batch * sources * targets
            + 16 * parameters  # weights, gradients, Adam's two moments
            + autograd_bytes,
        )

    @cached_property
    def shares(self) -> str:
        """Names the table of pairs of the whole mixture."""
        columns = [
            [f"{anchor}.{side}.{m}", self.pseudo_sets[anchor][side, m].key]
            for anchor in self.rows
            for side, m in self.columns
        ]
        return digest("table", [self.op, self.acting_precision, *columns])

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Train on the pairs of the subset.

        Raises:
            DataError: there are fewer than two pairs, or the loss is not finite.
        """
        from reactions.ops.fit import PseudoTable, fit

        sets = self.pseudo_pairs(inputs)
        # The projectors of one mixture read the same pairs: the first of them makes the table,
        # and each brings the anchors that are not in it yet.
        table = context.shared(
            lambda: PseudoTable(
                [sets.get(anchor, n_rows) for anchor, n_rows in self.rows.items()],
                device=context.device,
                precision=self.acting_precision,
                budget_bytes=budget_bytes(
                    context.device, TABLE_SHARE if context.device.startswith("cuda") else SHARE
                ),
            )
        )
        projected, frozen = self.sides
        places = {anchor: place for place, anchor in enumerate(self.rows)}
        for anchor, pairs in sets.items():
            table.provide(places[anchor], pairs)
        projector, history = fit(
            table,
            replace(self.settings, seed=self.own_seed),
            chosen=[places[anchor] for anchor in self.anchors],
            recipe=self.recipe,
            shared=[(i, frozen.index(m)) for i, m in enumerate(projected) if m in frozen],
            progress=lambda done, total: context.progress(done, total, "steps"),
            measure=context.measure,
        )
        arrays = {name: np.asarray(value) for name, value in projector.state().items()}
        products = str(table.dtype).removeprefix("torch.")
        meta = {"pairs": sum(map(len, sets.values())), "loss": history, "products": products}
        return Artifact(arrays, meta)


def _kept_by_autograd(head: Sequence[Layer], batch: int, sources: int, targets: int) -> int:
    """Estimate the bytes between forward and backward, beyond one batch of logits.

    Each linear layer's output and what its BatchNorm makes of it, with a gradient for the one
    being worked on; and twice the logits, for two gradients on their way to each.
    """
    rows, widest = batch * sources, max(max(layer.n_in, layer.n_out) for layer in head)
    activations = rows * (sum(2 * layer.n_out for layer in head) + 2 * widest)
    return 4 * (activations + 2 * batch * batch * sources * targets)


def _encoders(steps: Iterable[Step]) -> list[str]:
    """Return the digests of all encoders upstream of some steps, sorted.

    They say which two spaces a projector joins, and nothing else: not names, corpora, precision
    or stored type. All of them are in the keys of the steps, so equal keys give equal seeds.
    """
    encoders: set[str] = set()
    keys: set[str] = set()
    stack = list(steps)
    while stack:
        step = stack.pop()
        if step.key in keys:
            continue
        keys.add(step.key)
        if step.space is not None and step.corpus is not None:
            encoders.add(digest("encoder", step.space.identity(step.corpus.modality)))
        stack.extend(child for _, child in step.inputs)
    return sorted(encoders)


def tensors(artifact: Artifact) -> dict[str, Tensor]:
    """Return a train step's arrays as CPU tensors of their own."""
    import torch

    return {
        name: torch.from_numpy(np.array(array[slice(None)]))
        for name, array in artifact.arrays.items()
    }
