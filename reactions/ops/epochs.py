"""Training by AdamW over whole batches, epoch by epoch, that goes on where it was interrupted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reactions.core.errors import DataError
from reactions.ops.precision import full_float32
from reactions.ops.training_state import SavedOptimiser, array_of, like, optimiser_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EpochTrainer(ABC):
    """Trains parameters one batch at a time; subclasses say how.

    Args:
        n: rows of an epoch, two at least.
        batch_size: of them a step; of fewer rows, all.
        epochs: passes over them.
        parameters: what is trained.
        optimiser: AdamW's.
        device: where losses are kept.

    Attributes:
        steps_per_epoch: whole batches alone: one of a few rows would have few negatives, and
            schedules are made up of them, too.
        steps: in all.
        done: steps so far.
        losses: (steps,) of each step so far, nats.
    """

    DIVERGED: str
    """The error's first line where the loss is not finite."""
    LOWER_RATE: str
    """A learning rate to try then, as in a reaction."""

    def __init__(
        self,
        n: int,
        batch_size: int,
        epochs: int,
        parameters: Sequence[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        device: str,
    ) -> None:
        self._batch = min(batch_size, n)
        self._parameters, self._optimiser = parameters, optimiser
        self.steps_per_epoch = n // self._batch
        self.steps = epochs * self.steps_per_epoch
        self.done = 0
        self.losses = torch.zeros(self.steps, device=device)

    @abstractmethod
    def _generator(self) -> torch.Generator:
        """Return what epochs are drawn from: on the CPU, so that devices draw alike."""

    @abstractmethod
    def _epoch(self, generator: torch.Generator, first: int) -> Iterator[Tensor]:
        """Draw an epoch, take its steps from the first of those that are left, and yield losses.

        An epoch of which no step is left is drawn all the same, for the sake of those behind it.
        """

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
        generator, n_steps = self._generator(), self.steps_per_epoch
        history: list[float] = []
        with full_float32():
            for begin in range(0, self.steps, n_steps):
                first = min(max(0, self.done - begin), n_steps)
                for loss in self._epoch(generator, first):
                    self.losses[self.done] = loss
                    self.done += 1
                    on_step()
                history.append(float(self.losses[begin : begin + n_steps].mean()))
                if not np.isfinite(history[-1]):
                    raise DataError(
                        f"{self.DIVERGED}: the loss is not finite",
                        fix=f"a lower learning rate: lr={self.LOWER_RATE}",
                        epoch=len(history),
                    )
                if first < n_steps:
                    on_epoch(history[-1], len(history))
        return history

    # --- going on after an interruption ----------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the next step depends on, as arrays of its own."""
        progress = {"done": np.array([self.done]), "losses": array_of(self.losses)}
        return progress | optimiser_arrays(self._parameters, self._optimiser)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``state`` returned; where that fails, nothing is changed.

        Raises:
            LookupError, RuntimeError, TypeError, ValueError: it is of another training.
        """
        done = int(arrays["done"][0])
        if not 0 <= done <= self.steps:
            raise ValueError(f"{done} steps of {self.steps} are done")
        losses = like(self.losses, arrays["losses"])
        saved = SavedOptimiser(self._parameters, arrays)
        self.done = done
        self.losses.copy_(losses)
        saved.restore(self._optimiser)
