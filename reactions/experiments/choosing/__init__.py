"""Tuned settings: factors and experts chosen on data that nothing is scored on."""

from reactions.experiments.choosing.tune import Choice, tune

__all__ = ["Choice", "tune"]
