"""Hyper-parameters of training one projector. Labs and plans need these without torch."""

from __future__ import annotations

from dataclasses import dataclass

from reactions.core.settings import Hyperparameters


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings(Hyperparameters):
    """How a projector is trained.

    Attributes:
        hidden_dim: width of the projector's hidden layer.
        temperature: of InfoNCE.
        batch_size: rows a step.
        epochs: passes over the subset.
        seed: of initial weights and of the order of rows.
    """

    hidden_dim: int
    temperature: float
    batch_size: int
    epochs: int
    seed: int
