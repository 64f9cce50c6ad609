"""LLM-augmented contrastive learning: one linear layer, between items and their descriptions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reactions.core.errors import DataError, DimensionMismatch
from reactions.ops.precision import full_float32
from reactions.ops.tensors import unit
from reactions.ops.training_state import SavedOptimiser, array_of, like, optimiser_arrays
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
        same: (n,) numbers of the texts: items of equal ones are no negatives of each other. None:
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
    own = logits.diagonal()
    loss = (logits.logsumexp(dim=1) - own).mean()
    if symmetric:
        loss = 0.5 * (loss + (logits.logsumexp(dim=0) - own).mean())
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


class LayerTrainer:
    """Trains one linear layer by AdamW, one batch at a time.

    Args:
        rows: (n, d) embeddings of the items; frozen, of any float type.
        texts: (k, d) embeddings of the distinct texts; frozen.
        described: which of them describe which item.
        run: how.
        device: where the layer is.
        is_raw: whether rows are taken as they are, not rescaled to unit norm.

    Attributes:
        done: steps so far.
        steps: in all.
        losses: (steps,) of each step so far, nats.
    """

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
        self._batch = min(run.batch_size, n)
        if self._batch < 2:
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
        self._layer = [nn.Parameter(value.to(device)) for value in begin]
        self._optimiser = torch.optim.AdamW(
            self._layer, lr=run.learning_rate, eps=EPSILON, weight_decay=run.weight_decay
        )
        # Whole batches alone, of which the schedule is made up, too.
        self.steps_per_epoch = n // self._batch
        self.steps = run.epochs * self.steps_per_epoch
        self.done = 0
        self.losses = torch.zeros(self.steps, device=device)

    @property
    def layer(self) -> dict[str, Tensor]:
        """Copies of weight and bias on the CPU."""
        names = ("weight", "bias")
        return {n: p.detach().cpu().clone() for n, p in zip(names, self._layer, strict=True)}

    def run(
        self,
        *,
        on_step: Callable[[], None] = lambda: None,
        on_epoch: Callable[[float, int], None] = lambda loss, epoch: None,
    ) -> list[float]:
        """Go on from where it stands to the end.

        Args:
            on_step: called after each step.
            on_epoch: called with the mean loss of an epoch, and epochs done.

        Returns:
            The mean loss of each epoch in nats.

        Raises:
            DataError: the loss is not finite.
        """
        n, each = len(self._rows), self.steps_per_epoch
        generator = torch.Generator().manual_seed(self._run.seed + 1)
        history: list[float] = []
        with full_float32():
            for epoch in range(self._run.epochs):
                order = torch.randperm(n, generator=generator).numpy()
                shares = torch.rand(n, generator=generator, dtype=torch.float64)
                texts = self._described.drawn(shares.numpy())
                first = min(max(0, self.done - epoch * each), each)
                for position in range(first, each):
                    chosen = order[position * self._batch : (position + 1) * self._batch]
                    self._step(chosen, texts[chosen])
                    on_step()
                history.append(float(self.losses[epoch * each : (epoch + 1) * each].mean()))
                if not np.isfinite(history[-1]):
                    raise DataError(
                        "training diverged: the loss is not finite",
                        fix="a lower learning rate: lr=0.0005",
                        epoch=len(history),
                    )
                if first < each:
                    on_epoch(history[-1], len(history))
        return history

    def _step(self, rows: NDArray[np.int64], texts: NDArray[np.int64]) -> None:
        run = self._run
        for group in self._optimiser.param_groups:
            group["lr"] = run.learning_rate * linear_rate(self.done, self.steps)
        items = taken(self._rows, rows, self._device)
        items = align(items if self._is_raw else unit(items), *self._layer)
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
        nn.utils.clip_grad_norm_(self._layer, run.clip_norm)
        self._optimiser.step()
        self.losses[self.done] = loss.detach()
        self.done += 1

    # --- going on after an interruption ----------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the next step depends on, as arrays of its own."""
        own = {"done": np.array([self.done]), "losses": array_of(self.losses)}
        return own | optimiser_arrays(self._layer, self._optimiser)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``state`` returned; where that fails, nothing is changed.

        Raises:
            LookupError, RuntimeError, TypeError, ValueError: it is of another training.
        """
        done = int(arrays["done"][0])
        if not 0 <= done <= self.steps:
            raise ValueError(f"{done} steps of {self.steps} are done")
        losses = like(self.losses, arrays["losses"])
        saved = SavedOptimiser(self._layer, arrays)
        self.done = done
        self.losses.copy_(losses)
        saved.restore(self._optimiser)
