"""Tuning what lies between items and a product, against frozen embeddings of their pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from reactions.ops.epochs import EpochTrainer
from reactions.ops.losses import info_nce
from reactions.ops.precision import gemm_dtype
from reactions.ops.tensors import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_RATE = 1 / 25
LAST_RATE = FIRST_RATE / 1e4
"""Shares of the peak learning rate at the first and the last step: those of torch's OneCycleLR."""

Hop = Sequence[nn.Module]
"""The projectors of one mixture, or one other layer: rows of unit norm to (n, d) rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRun:
    """How a tuning runs.

    Attributes:
        epochs: passes over the pairs.
        batch_size: pairs a step.
        micro_batch: pairs that go through ``TunedItems.embed`` at once.
        temperature: of InfoNCE.
        weight_decay: AdamW's.
        warm_up: share of the steps in which the learning rate rises.
        seed: of the order of pairs.
    """

    epochs: int
    batch_size: int
    micro_batch: int
    temperature: float
    weight_decay: float
    warm_up: float
    seed: int


def half_type(device: str, precision: str) -> torch.dtype | None:
    """Return the 16-bit type of an encoder's forward pass, or None for float32.

    bfloat16 where the device multiplies it fast, else float16 with scaled losses; on CUDA alone.

    Args:
        device: where it runs.
        precision: ``"exact"`` always gives None.
    """
    if precision == "exact" or not device.startswith("cuda"):
        return None
    if (dtype := gemm_dtype(device, "training")) is not None:
        return dtype
    return torch.float16 if torch.cuda.get_device_capability(device) >= (7, 0) else None


class TunedItems(Protocol):
    """The items that are tuned, and what embeds them."""

    def batches(self, rows: Sequence[NDArray[np.int64]]) -> Iterator[Any]:
        """Yield what ``embed`` takes for each batch of rows, in order; slices give its rows."""

    def embed(self, batch: Any) -> Tensor:
        """Return (n, d) unit-norm rows with gradients to what is tuned."""


class EmbeddedRows:
    """Stored embeddings on their way through the projectors that follow their encoder.

    Args:
        rows: (n, d_in), of any float type; where they are, they stay.
        hops: the mixtures that they go through, innermost first.
        device: where the projectors are.
    """

    def __init__(self, rows: Tensor, hops: Sequence[Hop], device: str) -> None:
        self._rows = rows
        self._hops = hops
        self._device = device

    def batches(self, rows: Sequence[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Yield the chosen rows as float32 of unit norm, on the device."""
        for batch_rows in rows:
            yield unit(taken(self._rows, batch_rows, self._device))

    def embed(self, batch: Tensor) -> Tensor:
        """Project rows."""
        return through(self._hops, batch)


def through(hops: Sequence[Hop], rows: Tensor) -> Tensor:
    """Project rows by one mixture after another, with gradients.

    Args:
        hops: innermost first; modules in eval mode.
        rows: (n, d) unit-norm rows.

    Returns:
        (n, d') unit-norm rows, those of ``projector.project`` for each hop.
    """
    for heads in hops:
        total = heads[0](rows)
        for head in heads[1:]:
            total = total + head(rows)
        rows = unit(total)
    return rows


def taken(rows: Tensor, chosen: NDArray[np.int64], device: str) -> Tensor:
    """Return chosen rows as float32 on a device."""
    index = torch.from_numpy(chosen).to(rows.device)
    return rows.index_select(0, index).to(device).float()


def one_cycle(step: int, steps: int, warm_up: float) -> float:
    """Return the learning rate of a step as a share of its peak.

    Cosines from ``FIRST_RATE`` up to 1 and down to ``LAST_RATE``, as torch's OneCycleLR has them;
    in closed form, so that a run that goes on in the middle needs no history.

    Args:
        step: from 0.
        steps: in all.
        warm_up: share of them in which it rises.
    """
    top = max(0.0, warm_up * steps - 1)
    if step <= top:
        begin, end, share = FIRST_RATE, 1.0, step / top if top else 1.0
    else:
        begin, end, share = 1.0, LAST_RATE, (step - top) / (steps - 1 - top)
    return end + (begin - end) / 2 * (math.cos(math.pi * share) + 1)


class Tuner(EpochTrainer):
    """Tunes parameters by AdamW and symmetric InfoNCE, one batch at a time.

    The gradient of a batch is that of all its negatives, however few items fit into memory at
    once: micro-batches are embedded without gradients, the loss gives the gradient of every
    embedding, and each micro-batch is embedded again to pass its own on. So nothing may differ
    between two passes: dropout and batch statistics are off.

    Args:
        source: what is tuned.
        groups: (peak learning rate, parameters) pairs.
        targets: (n, d) frozen unit-norm rows; row i belongs to item i of the source.
        run: how.
        device: where embeddings are.
        half: 16-bit type of the forward pass on CUDA; None computes in float32.
    """

    DIVERGED = "tuning diverged"
    LOWER_RATE = "0.0003"

    def __init__(
        self,
        source: TunedItems,
        groups: Sequence[tuple[float, Sequence[nn.Parameter]]],
        targets: Tensor,
        run: TuningRun,
        *,
        device: str = "cpu",
        half: torch.dtype | None = None,
    ) -> None:
        n = len(targets)
        if min(run.batch_size, n) < 2:
            raise ValueError(f"{n} pairs: a pair is told from others, so two are the least")
        self._source = source
        self._targets = targets
        self._run = run
        self._device = device
        self._half = half
        self._scaler = torch.amp.GradScaler("cuda", enabled=half is torch.float16)
        self._peaks = [rate for rate, _ in groups]
        optimiser = torch.optim.AdamW(
            [{"params": list(group), "lr": rate} for rate, group in groups],
            weight_decay=run.weight_decay,
        )
        parameters = [parameter for _, group in groups for parameter in group]
        super().__init__(n, run.batch_size, run.epochs, parameters, optimiser, device)

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._run.seed)

    def _epoch(self, generator: torch.Generator, first: int) -> Iterator[Tensor]:
        order = torch.randperm(len(self._targets), generator=generator).numpy()
        starts = range(first * self._batch, self.steps_per_epoch * self._batch, self._batch)
        rows = [order[start : start + self._batch] for start in starts]
        for batch_rows, batch in zip(rows, self._source.batches(rows), strict=True):
            yield self._step(batch, taken(self._targets, batch_rows, self._device))

    def _step(self, batch: Any, targets: Tensor) -> Tensor:
        share = one_cycle(self.done, self.steps, self._run.warm_up)
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share
        self._optimiser.zero_grad(set_to_none=True)
        loss = self._backward(batch, unit(targets))
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return loss

    def _backward(self, batch: Any, targets: Tensor) -> Tensor:
        """Add the gradient of a batch to the parameters; return its loss."""
        n, micro = len(targets), self._run.micro_batch
        temperature = self._run.temperature
        if n <= micro:
            loss = info_nce(self._embed(batch), targets, temperature=temperature)
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            return loss.detach()
        places = range(0, n, micro)
        with torch.no_grad():
            rows = torch.cat([self._embed(batch[first : first + micro]) for first in places])
        rows.requires_grad_()
        loss = info_nce(rows, targets, temperature=temperature)
        (gradient,) = torch.autograd.grad(self._scaler.scale(loss), rows)
        for first in places:
            part = self._embed(batch[first : first + micro])
            part.backward(gradient[first : first + micro])  # type: ignore[no-untyped-call]
        return loss.detach()

    def _embed(self, batch: Any) -> Tensor:
        casting: AbstractContextManager[Any] = nullcontext()
        if self._half is not None:
            casting = torch.autocast("cuda", dtype=self._half)
        with casting:
            return self._source.embed(batch).float()

    # --- going on after an interruption ----------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the next step depends on, as arrays of its own."""
        arrays = super().state()
        if self._scaler.is_enabled():
            scaler = self._scaler.state_dict()
            arrays["scaler"] = np.array([scaler["scale"], scaler["_growth_tracker"]], np.float64)
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``state`` returned; where that fails, nothing is changed.

        Raises:
            LookupError, RuntimeError, TypeError, ValueError: it is of another tuning, or of a
                device that computes in another type.
        """
        if not self._scaler.is_enabled():
            super().restore(arrays)
            return
        scale, growth = arrays["scaler"]
        scaler = self._scaler.state_dict() | {"scale": scale, "_growth_tracker": int(growth)}
        super().restore(arrays)
        self._scaler.load_state_dict(scaler)
