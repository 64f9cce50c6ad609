"""Choosing a setting by cross-validation: what was chosen, from which frontier, at which loss.

Every setting has a value on each of several folds of the items. A setting may be chosen if all that
must be kept is kept even when it is one standard error worse than measured; of those, the one with
the highest mean is. How much the best of many is flattered by its own items is measured by choosing
on all folds but one, and scoring on that, in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.experiments.choosing.objective import Keep, Quantity


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over folds, and its standard error; both in points."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Figure:
        """Return the figure of (folds,) values."""
        return cls(float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5))

    def to_json(self) -> dict[str, float]:
        """Return both numbers."""
        return {"mean": self.mean, "standard_error": self.error}


@dataclass(frozen=True)
class FoldScores:
    """The folds' values of settings.

    Attributes:
        objective: (settings, folds).
        kept: for each thing to keep, (settings, folds) of what it has above its least value.
        choices: positions of the settings to choose from; the others are there to compare with.
    """

    objective: NDArray[np.float64]
    kept: tuple[NDArray[np.float64], ...]
    choices: tuple[int, ...]

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """(settings,): which keep everything, one standard error down."""
        return self._allowed(np.ones(self.objective.shape[1], np.bool_))

    def best(self) -> int | None:
        """Return the setting to choose; None where nothing keeps everything."""
        return self._best(np.ones(self.objective.shape[1], np.bool_))

    def expected(self) -> Figure | None:
        """Return the objective of what would have been chosen without the items it is scored on.

        None where some of the folds leave nothing to choose.
        """
        n = self.objective.shape[1]
        values = []
        for fold in range(n):
            setting = self._best(np.arange(n) != fold)
            if setting is None:
                return None
            values.append(self.objective[setting, fold])
        return Figure.of(np.array(values))

    def frontier(self) -> list[int]:
        """Return the settings that no other beats in everything, best objective first.

        Without anything to keep, that is the best one.
        """
        columns = np.stack([x.mean(axis=1) for x in (self.objective, *self.kept)], axis=1)
        order = np.lexsort(tuple(-columns.T[::-1]))
        frontier: list[int] = []
        for i in order[np.isin(order, self.choices)]:
            beaten = [(columns[j] >= columns[i]).all() for j in frontier]
            if not any(beaten):
                frontier.append(int(i))
        return frontier

    def _allowed(self, folds: NDArray[np.bool_]) -> NDArray[np.bool_]:
        allowed = np.ones(len(self.objective), np.bool_)
        for values in self.kept:
            fold_values = values[:, folds]
            error = fold_values.std(axis=1, ddof=1) / fold_values.shape[1] ** 0.5
            allowed &= fold_values.mean(axis=1) - error >= -1e-9
        return allowed

    def _best(self, folds: NDArray[np.bool_]) -> int | None:
        choices = np.array(self.choices)
        allowed = choices[self._allowed(folds)[choices]]
        if not len(allowed):
            return None
        # Of equal ones, the first of the grid.
        return int(allowed[np.argmax(self.objective[allowed][:, folds].mean(axis=1))])


def values_of(quantity: Quantity, folds: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return (settings, folds) of a weighted mean of tasks, from those of each task."""
    values: NDArray[np.float64] = sum(  # type: ignore[assignment]  # of at least one
        weight * folds[task] for task, weight in quantity.tasks.items()
    )
    return values


def make_board(
    objective: Quantity,
    keeps: Sequence[Keep],
    folds: Mapping[str, NDArray[np.float64]],
    base: Mapping[str, NDArray[np.float64]],
    *,
    own: int,
    choices: Sequence[int],
) -> FoldScores:
    """Return the values of all settings.

    Args:
        objective: what is chosen for.
        keeps: what must be kept.
        folds: task to (settings, folds).
        base: task to (folds,) of the last reaction's base, for the tasks that need it.
        own: position of the product's present factors.
        choices: see ``FoldScores``.
    """
    margins = []
    for keep in keeps:
        values = values_of(keep.quantity, folds)
        if keep.reference == "own":
            values = values - values[own]
        elif keep.reference == "base":
            alone = {task: base[task][None] for task in keep.quantity.tasks}
            values = values - values_of(keep.quantity, alone)
        margins.append(values - keep.least)
    return FoldScores(values_of(objective, folds), tuple(margins), tuple(choices))


def summary(board: FoldScores, keeps: Sequence[Keep], setting: int, chosen: int) -> dict[str, Any]:
    """Return what is known of a setting beside the chosen one, JSON-able."""
    difference = board.objective[setting] - board.objective[chosen]
    return {
        "objective": Figure.of(board.objective[setting]).to_json(),
        "loss": Figure.of(-difference).to_json(),
        "kept": [
            {"keep": keep.text, "margin": Figure.of(values[setting]).to_json()}
            for keep, values in zip(keeps, board.kept, strict=True)
        ],
        "allowed": bool(board.allowed[setting]),
    }
