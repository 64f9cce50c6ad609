"""The first items of evaluation sets: enough to see that they are scored."""

from dataclasses import dataclass, fields, replace

import numpy as np

from reactions.data.holdout import subset
from reactions.eval.task_data import RetrievalData
from reactions.labs.lab import Lab
from reactions.labs.lab_file import load_lab

ITEMS = 40
"""Of each evaluation set."""


@dataclass(frozen=True)
class SmallLab(Lab):
    """A lab whose evaluation sets are cut short."""

    def benchmark(self, task):
        return first_items(super().benchmark(task), ITEMS)


def load_small_lab(path):
    lab = load_lab(str(path))
    return SmallLab(**{entry.name: getattr(lab, entry.name) for entry in fields(lab) if entry.init})


def first_items(data, n):
    if isinstance(data, RetrievalData):
        owned = np.flatnonzero(data.owner < n)
        left = subset(data.left, np.arange(n), "first")
        right = subset(data.right, owned, "first")
        return replace(data, left=left, right=right, owner=data.owner[owned])
    rows = {
        name: getattr(data, name)[:n]
        for name in ("labels", "targets", "folds")
        if getattr(data, name, None) is not None
    }
    return replace(data, queries=subset(data.queries, np.arange(n), "first"), **rows)
