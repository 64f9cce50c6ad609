"""Data to choose by, apart from those that the result is scored on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, ClassificationData, RetrievalData, part_of
from reactions.labs.lab import Lab

FOLDS = 10
"""Random parts of the items to choose by, from which its errors are estimated."""


@dataclass(frozen=True)
class PartLab(Lab):
    """A lab that has parts of its evaluation sets in their place.

    Attributes:
        held: task to its data.
    """

    held: Mapping[str, BenchmarkData] = field(default_factory=dict, repr=False)

    def benchmark(self, task: str) -> BenchmarkData:
        """Return the part of a set."""
        return self.held[task] if task in self.held else super().benchmark(task)


@dataclass(frozen=True, slots=True)
class TuningData:
    """Where settings are chosen, and where the chosen one is scored.

    Attributes:
        choose: a lab with the data to choose by.
        score: a lab with other data of the same tasks.
        origins: task to what the data to choose by are, in words.
    """

    choose: Lab
    score: Lab
    origins: Mapping[str, str]


def tuning_data(lab: Lab, tasks: Sequence[Task], seed: int) -> TuningData:
    """Return data to choose by: scenes of their own in the mini world, else half of each set.

    Args:
        lab: where the tasks' data are.
        tasks: which.
        seed: of the halves.

    Raises:
        DataError: a set is too small to be divided.
    """
    tuning_parts: dict[str, BenchmarkData] = {}
    other_parts: dict[str, BenchmarkData] = {}
    origins: dict[str, str] = {}
    for task in tasks:
        data = lab.benchmark(task.name)
        if lab.world_tasks and not lab.data.of(task.name) and task.name not in lab.own_tasks:
            from reactions.labs import mini

            tuning_parts[task.name] = mini.benchmark(task.name, seed=lab.seed, part="validation")
            origins[task.name] = "scenes of their own, which no evaluation set has"
            continue
        first = _first_half(task, data, seed)
        tuning_parts[task.name], other_parts[task.name] = (
            part_of(data, first),
            part_of(data, ~first),
        )
        origins[task.name] = (
            f"{int(first.sum())} of its {len(first)} items, drawn with seed {seed}; scores are of "
            f"the other {int((~first).sum())}"
        )
    return TuningData(_with(lab, tuning_parts), _with(lab, other_parts), origins)


def _first_half(task: Task, data: BenchmarkData, seed: int) -> NDArray[np.bool_]:
    """Draw half of the left items or queries; of single-label classes, half of each."""
    rng = np.random.default_rng(seed)
    n = len(data.left if isinstance(data, RetrievalData) else data.queries)
    if n < 4 * FOLDS:
        raise DataError(
            f"{task.name} has {n} items: too few to choose by one half and to score the other",
            why=f"each half is divided into {FOLDS} folds",
            task=task.name,
        )
    first = np.zeros(n, np.bool_)
    if isinstance(data, ClassificationData):
        # Every other item of each class, the classes one after the other in random order.
        order = rng.permutation(n)
        first[order[np.argsort(data.labels[order], kind="stable")][::2]] = True
    else:
        first[rng.permutation(n)[: n // 2]] = True
    return first


def _with(lab: Lab, parts: Mapping[str, BenchmarkData]) -> Lab:
    if not parts:
        return lab
    lab_fields = {entry.name: getattr(lab, entry.name) for entry in fields(Lab) if entry.init}
    return PartLab(**lab_fields, held=dict(parts))
