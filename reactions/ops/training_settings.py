"""Hyper-parameters of training one projector. Labs and plans need these without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Those that a lab file gives under ``[reaction]`` and that no plan chooses.

    A further one is a field here, and what ``ops.fit`` does with it: labs, plans and keys take
    it from this class. With ``metadata=UNLESS_DEFAULT`` it leaves the keys of earlier results
    as they are.

    Attributes:
        learning_rate: Adam's, constant.
    """

    learning_rate: float = 1e-3


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
