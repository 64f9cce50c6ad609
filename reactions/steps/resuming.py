"""What steps share that train for long: tables in memory, and states that are saved."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from reactions.core.memory_budget import TABLE_SHARE, budget_bytes
from reactions.core.step import Artifact, Context

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Resumable(Protocol):
    """A training whose state can be saved, and restored by a later run."""

    done: int
    steps: int

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the next step depends on, as arrays of its own."""

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``state`` returned; where that fails, nothing is changed.

        Raises:
            LookupError, RuntimeError, TypeError, ValueError: it is of another training, or of a
                device that computes in another type.
        """


class StateSaver:
    """Takes up a training where an interrupted run left it, and saves its state now and then.

    Args:
        context: of the step.
        training: fresh.
        every_s: how much work may be lost.
    """

    def __init__(self, context: Context, training: Resumable, every_s: float) -> None:
        self._context = context
        self._training = training
        self._every_s = every_s
        if (saved := context.saved()) is not None:
            try:
                training.restore(saved)
            except (LookupError, RuntimeError, TypeError, ValueError) as error:
                context.drop_saved(
                    f"it is of another kind of device, or of another version ({error!r:.200})"
                )
        self._saved_s = time.monotonic()

    def step(self) -> None:
        """Take note of a step that is done."""
        training = self._training
        if training.done < training.steps and time.monotonic() - self._saved_s >= self._every_s:
            self._context.save(training.state())
            self._saved_s = time.monotonic()
        self._context.progress(training.done, training.steps, "steps")


def table_of(artifact: Artifact, n: int, device: str) -> Tensor:
    """Return stored embeddings as a tensor, on the device if it has room for them."""
    from reactions.ops.tiles import raw_rows
    from reactions.steps.raw_rows import stored_rows

    rows = raw_rows(stored_rows(artifact), 0, n)
    fits = rows.numel() * rows.element_size() < budget_bytes(device, TABLE_SHARE) / 2
    return rows.to(device) if fits else rows
