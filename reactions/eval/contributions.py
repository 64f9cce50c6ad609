"""A task's main score as a mean over items, so that parts of them can be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError
from reactions.eval.bootstrap import recall_by_item
from reactions.eval.score import Score
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, MultilabelData, RetrievalData


def contributions(task: Task, data: BenchmarkData, score: Score) -> NDArray[np.float64]:
    """Split the main score into contributions whose mean it is.

    Args:
        task: its main score is the one to split.
        data: of the task.
        score: with its arrays.

    Returns:
        (n,) in per cent: one for each left item, query, or, for mAP, class that is present.
    """
    arrays: dict[str, NDArray[Any]] = {k: np.asarray(v).ravel() for k, v in score.arrays.items()}
    if isinstance(data, RetrievalData):
        direction, _, k = task.main_score.rpartition(" R@")
        forward, backward = arrays["rank_forward"], arrays["rank_backward"]
        n, m = len(backward), len(forward)
        if direction == "mean":
            shares = recall_by_item(forward, backward, data.owner, int(k))
            return np.asarray(100 * shares, np.float64)
        if direction == task.directions[1]:
            return np.asarray(100.0 * (backward <= int(k)), np.float64)
        hits = np.bincount(data.owner, weights=forward <= int(k), minlength=n)
        return np.asarray(100 * hits * (n / m), np.float64)
    if "correct" in arrays:
        return np.asarray(100.0 * arrays["correct"], np.float64)
    values = 100.0 * arrays["average_precision"]
    return values[np.isfinite(values)]


def check_folds(task: Task, data: BenchmarkData, folds: int) -> None:
    """Refuse data that has fewer contributions to its main score than there are folds.

    Raises:
        DataError: some folds would be empty.
    """
    if isinstance(data, MultilabelData):
        n, what = int(data.targets.any(axis=0).sum()), "classes with items"
    elif isinstance(data, RetrievalData):
        n, what = len(data.left), "items"
    else:
        n, what = len(data.queries), "items"
    if n < folds:
        raise DataError(
            f"{task.name} has {n} {what}: too few for {folds} folds",
            why=f"its score is a mean over {what}, and standard errors come from parts of them",
            fix=f"a task with {folds} or more",
            task=task.name,
        )


def fold_means(values: NDArray[np.float64], folds: int) -> NDArray[np.float64]:
    """Return the mean of each of several random parts of contributions.

    The parts are as equal as they can be, and the same for as many values.

    Args:
        values: (n,), n >= folds.
        folds: how many.

    Returns:
        (folds,).

    Raises:
        ValueError: there are fewer values than folds.
    """
    if len(values) < folds:
        raise ValueError(f"{len(values)} values cannot be divided into {folds} folds")
    places = np.random.default_rng(0).permutation(len(values)) % folds
    sums = np.bincount(places, weights=values, minlength=folds)
    means: NDArray[np.float64] = sums / np.bincount(places, minlength=folds)
    return means
