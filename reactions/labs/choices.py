"""What a plan chooses where the lab file is silent: batch size, hidden width, epochs.

The paper's values (hidden width 2048, batches of 4096, 5 and 20 epochs) belong to corpora of
millions. With some hundred rows they make batches of everything there is, and as many steps as
epochs. The rule below reaches them at ``PAPER_ROWS`` rows and keeps them beyond; towards smaller
numbers it narrows the projector slowly and the batches faster, so that an epoch still has steps,
and repeats the rows until there are ``LEAST_STEPS`` of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from reactions.core.settings import Hyperparameters, ReactionSettings
from reactions.core.types import Op
from reactions.ops.training_settings import TrainingSettings

PAPER_ROWS = 1 << 20
"""From here on all is the paper's, whose smallest corpus has 1.3 million rows."""

LEAST_STEPS = 120
"""Optimiser steps that a projector gets at least, however few its rows.

Twice as many, and epochs by the hundred, learnt the rows of small corpora by heart: held-out
items were found less often.
"""

PAPER_EPOCHS = {"dr": 5, "cr": 20}

_HIDDEN_PER_ROOT = 64  # 64 n^(1/4) is 2048 at 2^20 rows
_BATCH_PER_ROOT = 4  # 4 n^(1/2) is 4096 there
_LEAST_BATCH = 16

RULE = "hidden 64 n^1/4, batch 4 n^1/2 (at most the paper's), the paper's epochs or 120 steps"
"""The rule in words, n being the rows that a projector is trained on."""


@dataclass(frozen=True, slots=True)
class Training:
    """The numbers one projector is trained with.

    Attributes:
        hidden_dim: of the projector.
        batch_size: pseudo-pairs a step.
        epochs: passes over its rows.
        chosen: which of these the rule chose, by the names of ``[reaction]``; the lab said
            the others.
    """

    hidden_dim: int
    batch_size: int
    epochs: int
    chosen: tuple[str, ...] = ()


def choose(settings: ReactionSettings, op: Op, n_rows: int) -> Training:
    """Return what a projector is trained with: what the lab says, the rule for the rest.

    Args:
        settings: the lab's; None where its file says nothing.
        op: displacement or combination, which differ in epochs.
        n_rows: pseudo-pairs that it is trained on, > 0.
    """
    epochs_key = f"{op}_epochs"
    said_epochs: int | None = getattr(settings, epochs_key)
    n = min(n_rows, PAPER_ROWS)
    hidden_dim = settings.hidden_dim
    if hidden_dim is None:
        hidden_dim = 16 * round(_HIDDEN_PER_ROOT * n**0.25 / 16)
    batch_size = settings.batch_size
    if batch_size is None:
        batch_size = max(_LEAST_BATCH, 4 * round(_BATCH_PER_ROOT * n**0.5 / 4))
    epochs = said_epochs
    if epochs is None:
        # As training counts them: an epoch leaves out the rows that fill no batch.
        steps = max(1, n_rows // min(batch_size, n_rows))
        epochs = max(PAPER_EPOCHS[op], math.ceil(LEAST_STEPS / steps))
    from_lab = {
        "hidden_dim": settings.hidden_dim,
        "batch_size": settings.batch_size,
        epochs_key: said_epochs,
    }
    return Training(
        hidden_dim,
        batch_size,
        epochs,
        tuple(key for key, value in from_lab.items() if value is None),
    )


def training_settings(
    settings: ReactionSettings, training: Training, seed: int
) -> TrainingSettings:
    """Return all that one projector is trained with.

    Args:
        settings: the lab's.
        training: what ``choose`` returned for the projector.
        seed: the lab's.
    """
    return TrainingSettings(
        hidden_dim=training.hidden_dim,
        temperature=settings.info_nce_temperature,
        batch_size=training.batch_size,
        epochs=training.epochs,
        seed=seed,
        **{entry.name: getattr(settings, entry.name) for entry in fields(Hyperparameters)},
    )
