"""LLM-augmented contrastive learning: one linear layer, between items and their descriptions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from reactions.core.errors import DimensionMismatch
from reactions.ops.epochs import EpochTrainer
from reactions.ops.tensors import unit
from reactions.ops.tuning import taken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.core.described import DescribedItems
    from reactions.core.lcl_options import Init

EPSILON = 1e-8
"""AdamW's. Source: UniBind's released code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRun:
    """How a layer is trained.

    Attributes:
        epochs: passes over the items.
        batch_size: items a step.
        learning_rate: of the first step; it falls linearly, and would be 0 one after the last.
        temperature: of the logits.
        symmetric: whether texts are asked for items, too.
        masked: whether items with the same text are left out of each other's negatives.
        init: how the layer begins.
        weight_decay: AdamW's, of weight and bias.
        clip_norm: largest norm of a step's gradient.
        seed: of the layer's beginning, of the order of items, and of which text is drawn.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    temperature: float
    symmetric: bool
    masked: bool
    init: Init
    weight_decay: float
    clip_norm: float
    seed: int


def description_loss(
    items: Tensor,
    texts: Tensor,
    *,
    temperature: float,
    same: Tensor | None = None,
    symmetric: bool = False,
) -> Tensor:
    """Cross entropy of items over the texts of their batch.

    Args:
        items: (n, d) float, unit-norm rows; row i belongs to row i of ``texts``.
        texts: (n, d) float, unit-norm rows.
        temperature: > 0; logits are items @ texts.T / temperature.
        same: (n,) numbers of the texts: items of equal ones are not negatives of each other. None:
            they are, as published.
        symmetric: take the mean with the cross entropy of texts over items.

    Returns:
        () float, nats.

    Raises:
        DimensionMismatch: the shapes differ.

    Source: UniBind's released code (train.py), which has temperature 1 and one direction.
    """
    if items.shape != texts.shape:
        raise DimensionMismatch(f"losses of {tuple(items.shape)} and {tuple(texts.shape)}")
    logits = items @ texts.T / temperature
    if same is not None:
        twins = (same[:, None] == same[None, :]).fill_diagonal_(False)
        logits = logits.masked_fill(twins, -math.inf)
    match_logits = logits.diagonal()
    loss = (logits.logsumexp(dim=1) - match_logits).mean()
    if symmetric:
        loss = 0.5 * (loss + (logits.logsumexp(dim=0) - match_logits).mean())
    return loss


def least_loss(batch_size: int, temperature: float = 1.0) -> float:
    """Return what the loss of a batch of different texts can never fall below, in nats.

    Cosines lie within -1 and 1, so the logits of right and wrong answers are at most
    2 / temperature apart.
    """
    return math.log1p((batch_size - 1) * math.exp(-2 / temperature))


def align(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Pass rows through a layer, and rescale them to unit norm.

    Args:
        rows: (n, d) float; unit-norm, unless the layer was trained on others.
        weight: (d, d).
        bias: (d,).
    """
    return unit(nn.functional.linear(rows, weight, bias))


def frozen_layer(state: Mapping[str, Tensor], device: str) -> nn.Module:
    """Return a trained layer as a module on a device, which nothing tunes any further.

    Args:
        state: its weight and bias.
        device: where it goes.
    """
    out_dim, in_dim = state["weight"].shape
    layer = nn.Linear(in_dim, out_dim)
    layer.load_state_dict(dict(state))
    return layer.requires_grad_(False).eval().to(device)


def linear_rate(step: int, steps: int) -> float:
    """Return the learning rate of a step, from 0, as a share of the first one's."""
    return (steps - step) / steps


class LayerTrainer(EpochTrainer):
    """Trains one linear layer by AdamW, one batch at a time.

    Args:
        rows: (n, d) embeddings of the items; frozen, of any float type.
        texts: (k, d) embeddings of the distinct texts; frozen.
        described: which of them describe which item.
        run: how.
        device: where the layer is.
        is_raw: whether rows are taken as they are, not rescaled to unit norm.
    """

    DIVERGED = "training diverged"
    LOWER_RATE = "0.0005"

    def __init__(
        self,
        rows: Tensor,
        texts: Tensor,
        described: DescribedItems,
        run: LayerRun,
        *,
        device: str = "cpu",
        is_raw: bool = False,
    ) -> None:
        n, d = rows.shape
        if min(run.batch_size, n) < 2:
            raise ValueError(f"{n} items: an item is told from others, so two are the least")
        self._rows, self._texts, self._described = rows, texts, described
        self._run, self._device, self._is_raw = run, device, is_raw
        # On the CPU, from the seed alone, so that it is the same on every device.
        generator = torch.Generator().manual_seed(run.seed)
        bound = 1 / math.sqrt(d)
        drawn = [
            torch.empty(shape).uniform_(-bound, bound, generator=generator)
            for shape in ((d, d), (d,))
        ]
        begin = [torch.eye(d), torch.zeros(d)] if run.init == "identity" else drawn
        layer = [nn.Parameter(value.to(device)) for value in begin]
        optimiser = torch.optim.AdamW(
            layer, lr=run.learning_rate, eps=EPSILON, weight_decay=run.weight_decay
        )
        super().__init__(n, run.batch_size, run.epochs, layer, optimiser, device)

    @property
    def layer(self) -> dict[str, Tensor]:
        """Copies of weight and bias on the CPU."""
        names = ("weight", "bias")
        return {n: p.detach().cpu().clone() for n, p in zip(names, self._parameters, strict=True)}

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._run.seed + 1)

    def _epoch(self, generator: torch.Generator, first: int) -> Iterator[Tensor]:
        n = len(self._rows)
        order = torch.randperm(n, generator=generator).numpy()
        shares = torch.rand(n, generator=generator, dtype=torch.float64)
        texts = self._described.drawn(shares.numpy())
        for position in range(first, self.steps_per_epoch):
            rows = order[position * self._batch : (position + 1) * self._batch]
            yield self._step(rows, texts[rows])

    def _step(self, rows: NDArray[np.int64], texts: NDArray[np.int64]) -> Tensor:
        run = self._run
        for group in self._optimiser.param_groups:
            group["lr"] = run.learning_rate * linear_rate(self.done, self.steps)
        items = taken(self._rows, rows, self._device)
        items = align(items if self._is_raw else unit(items), *self._parameters)
        same = torch.from_numpy(texts).to(self._device) if run.masked else None
        loss = description_loss(
            items,
            unit(taken(self._texts, texts, self._device)),
            temperature=run.temperature,
            same=same,
            symmetric=run.symmetric,
        )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, run.clip_norm)
        self._optimiser.step()
        return loss.detach()
