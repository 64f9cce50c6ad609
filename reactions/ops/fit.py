"""Training one projector on pseudo-pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np
import torch

from reactions.core.errors import DataError
from reactions.ops.heads import make_head
from reactions.ops.pairs import PseudoSet, PseudoTable
from reactions.ops.precision import Precision, full_float32
from reactions.ops.projector import Head
from reactions.ops.recipe import PAPER, TrainingJob
from reactions.ops.recipes import recipe_of
from reactions.ops.threads import fitting_threads
from reactions.ops.training_settings import TrainingSettings

__all__ = ["PseudoSet", "PseudoTable", "TrainingSettings", "fit"]


LOSS_EVERY_STEPS = 100
"""How often the loss is reported within an epoch: to read it is to wait for the device."""


def fit(
    pairs: PseudoTable | Sequence[PseudoSet],
    settings: TrainingSettings,
    *,
    chosen: Sequence[int] | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "exact",
    resident: bool = True,
    recipe: str = PAPER,
    shared: Sequence[tuple[int, int]] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    measure: Callable[[str, float, int], None] = lambda name, value, position: None,
) -> tuple[Head, list[float]]:
    """Train one projector on the union of pseudo sets.

    Args:
        pairs: a table, loaded once for all subsets, or the sets for a table of their own.
        settings: hyper-parameters.
        chosen: which sets of ``pairs`` to train on, in this order; all of them by default.
        device: where to train, if sets are given; as are the next two, a table brings its own.
        precision: ``exact`` computes in float32; ``fast`` multiplies in bfloat16 where the device
            does that fast, with float32 weights, statistics and Adam.
        resident: keep all rows on ``device`` rather than windows of them. Same result.
        recipe: name of the recipe whose projector and loss; see ``recipe.Recipe``.
        shared: places of the modalities that source and target both have.
        progress: called with (steps done, steps in all).
        measure: called with ("loss", the mean loss of the epoch in nats, epochs done); in epochs
            of at least twice ``LOSS_EVERY_STEPS`` steps also, every so many of them, with
            ("loss by step", the mean loss since, steps done).

    Returns:
        The projector in eval mode, and the mean loss of each epoch in nats.

    Raises:
        DataError: fewer than two rows (batch norm needs two), or the loss is not finite.

    Source: Molecule-Space, section 3.2.2, eq. 7 and 8; settings of section 4.1.
    """
    if not isinstance(pairs, PseudoTable):
        budget = None if resident else 0
        pairs = PseudoTable(pairs, device=device, precision=precision, budget_bytes=budget)
    chosen = range(len(pairs)) if chosen is None else chosen
    n = pairs.rows(chosen)
    batch_size = min(settings.batch_size, n)
    if batch_size < 2:
        raise DataError(f"{n} pseudo-pairs are too few to train on", why="batch norm needs 2")
    dims = pairs.source_dim, pairs.target_dim
    projector = make_head(recipe, *dims, settings.hidden_dim, seed=settings.seed)
    projector.to(pairs.device)
    job = TrainingJob(recipe, settings, *pairs.modalities, shared, batch_size, pairs.dtype)
    trainer = recipe_of(recipe).make_trainer(projector, job)
    # On the CPU, so that a seed gives the same order of rows on every device.
    generator = torch.Generator().manual_seed(settings.seed)
    # Whole batches alone: a trainer allocates its memory for one size of batch.
    steps = n // batch_size
    history: list[float] = []
    # Losses stay on the device until the epoch ends: to read one is to wait for it.
    losses = torch.zeros(steps, device=pairs.device)
    stream = pairs.batches(chosen, batch_size, settings.epochs, generator)
    parameters = sum(parameter.numel() for parameter in projector.parameters())
    # A multiply-add a weight and row, three times: forward, and the gradients of input and weight.
    flops = 6.0 * parameters * batch_size * pairs.modalities[0]
    with closing(stream) as batches, full_float32(), fitting_threads(pairs.device, flops):
        for done, (x, y) in enumerate(batches):
            place = done % steps
            losses[place] = trainer.step(x, y)
            progress(done + 1, settings.epochs * steps)
            if steps >= 2 * LOSS_EVERY_STEPS and (place + 1) % LOSS_EVERY_STEPS == 0:
                latest = losses[place + 1 - LOSS_EVERY_STEPS : place + 1]
                measure("loss by step", float(latest.mean()), done + 1)
            if place + 1 == steps:
                history.append(float(losses.mean()))
                measure("loss", history[-1], len(history))
                if not np.isfinite(history[-1]):
                    raise DataError("training diverged: the loss is not finite", epoch=len(history))
    return projector.eval(), history
