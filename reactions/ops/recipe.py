"""What a recipe of training is: which projector, which objective. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from reactions.ops.architectures import Layer
from reactions.ops.training_settings import TrainingSettings

if TYPE_CHECKING:
    import torch

    from reactions.ops.projector import Head

PAPER = "paper"

OURS = ("hidden_dim", "temperature", "precision")
"""Settings of the paper's projector and loss, which other recipes need not use."""


class Trainer(Protocol):
    """A head, its objective and its optimiser."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Update the head on one batch and return the loss before the update.

        Args:
            x: (sources, n, in_dim), unit-norm rows of the modalities that are projected.
            y: (targets, n, out_dim), unit-norm rows of those of the frozen side. Rows of the
                same number belong together in all of them.

        Returns:
            () float32, on the device.
        """


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What a trainer needs to know beside the head.

    Attributes:
        recipe: its name.
        settings: hyper-parameters; ``temperature`` and ``hidden_dim`` mean something only to
            recipes that use them.
        sources: how many modalities are projected.
        targets: how many the frozen side has.
        shared: (place among the sources, place among the targets) of modalities that both have.
        batch_size: rows a modality in a batch.
        dtype: of matrix products; float32 unless the recipe uses ``precision``.
    """

    recipe: str
    settings: TrainingSettings
    sources: int
    targets: int
    shared: Sequence[tuple[int, int]]
    batch_size: int
    dtype: torch.dtype


def _no_layers(in_dim: int, out_dim: int, hidden_dim: int) -> tuple[Layer, ...]:
    raise TypeError("a recipe that is solved for in closed form has no layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How projectors are built and trained, or solved for in closed form.

    Attributes:
        name: as written in ``recipe=NAME``.
        layers: ``layers(in_dim, out_dim, hidden_dim)`` of a projector, first to last.
        trainer: ``"module:function"``, imported when training begins:
            ``function(head, job) -> Trainer``. The head is in train mode, on the device.
        solver: ``"module:function"`` instead of layers and a trainer:
            ``function(cross) -> (matrix, rank)``, where ``cross`` is the (in_dim, out_dim) float64
            cross-covariance of the pseudo-pairs, less their means, and ``matrix`` maps rows of the
            one side to the other. No setting of training changes it: none enters its key.
        uses: which of ``OURS`` it uses; the others do not change its results.
        constants: numbers of its own that change results: they are part of the cache key.
        version: raised whenever its code changes results; part of the cache key, too.
        is_mixture: whether a projector is trained on every subset of the pseudo sets, and not a
            single one on all.
        notice: what users should know before it runs; "" for nothing.
    """

    name: str
    layers: Callable[[int, int, int], tuple[Layer, ...]] = _no_layers
    trainer: str = ""
    solver: str = ""
    uses: tuple[str, ...] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    version: int = 1
    is_mixture: bool = False
    notice: str = ""

    def __post_init__(self) -> None:
        if bool(self.solver) == bool(self.trainer) or (self.layers is _no_layers) == (
            not self.solver
        ):
            raise TypeError(f"recipe '{self.name}' has either layers and a trainer, or a solver")
        if self.solver and (self.uses or self.is_mixture):
            raise TypeError(f"recipe '{self.name}' is solved for: it has no settings, no mixture")

    def solve(self, cross: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Solve for the matrix of a closed form; returns it and its rank."""
        module, _, function = self.solver.partition(":")
        solution: tuple[torch.Tensor, int] = getattr(import_module(module), function)(cross)
        return solution

    def make_trainer(self, head: Head, job: TrainingJob) -> Trainer:
        """Return what trains a head."""
        module, _, function = self.trainer.partition(":")
        trainer: Trainer = getattr(import_module(module), function)(head, job)
        return trainer

    def params(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that enter a key: those that are used, and the recipe's own."""
        used = {k: v for k, v in settings.items() if k not in OURS or k in self.uses}
        if self.solver:
            used = {}
        if self.name == PAPER:
            return used  # the key is older than recipes: stored results must be found by it
        versioned = {} if self.version == 1 else {"recipe_version": self.version}
        return {**used, "recipe": self.name, **versioned, **self.constants}
