"""sweep: one task on one product at many factors, a row for each cell of a grid."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from reactions.core.hashing import canonical, digest
from reactions.core.step import (
    NOT_IN_KEY,
    UNLESS_DEFAULT,
    Artifact,
    Context,
    Step,
    entering,
    inputs_from,
)
from reactions.core.types import Item, Space
from reactions.eval.contributions import contributions, fold_means
from reactions.eval.metrics import Ties
from reactions.eval.protocol import corpora, identity, score
from reactions.eval.score import Score
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData
from reactions.products.acting import acting_adjustment, reachable_leaves
from reactions.products.bundles.trained import Trained
from reactions.products.components import Components
from reactions.products.parts import NO_PARTS
from reactions.products.tree import Adjustment
from reactions.products.tree_json import tree_to_json
from reactions.steps.raw_rows import stored_rows
from reactions.steps.score import score_context
from reactions.steps.sweep_ranks import retrieval_scores

SHARD_CELLS = 128


class CellCorpus:
    """Cells of a grid as what a step's rows are made of, one cell each.

    A cell is known by its factors and experts as they act, so that rows made for one grid serve
    every other grid that has the same cell.

    Args:
        space: the product.
        adjustments: factors and experts of each cell.
    """

    name = "cells"
    modality = "cell"

    def __init__(self, space: Space, adjustments: Sequence[Adjustment]) -> None:
        self.adjustments = tuple(adjustments)
        self._tags = [
            canonical(acting_adjustment(space, adjustment)) for adjustment in self.adjustments
        ]

    @cached_property
    def digest(self) -> str:
        """Digest of what acts in each cell, in order."""
        return digest("cells", self._tags)

    def __len__(self) -> int:
        return len(self.adjustments)

    def items(self, start: int, stop: int) -> list[Item]:
        """Return the cells ``start`` to ``stop`` (exclusive)."""
        return [Item(tag, self.modality, json.loads(tag)) for tag in self._tags[start:stop]]

    def tags(self) -> Iterator[tuple[str, str]]:
        """Yield what acts in each cell, twice: it is the id and the content."""
        yield from zip(self._tags, self._tags, strict=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class SweepTask(Step):
    """Scores a product on a task at the factors of many cells.

    Its artifact holds ``metrics``: (cells, metrics) float64 in per cent, as ``ScoreTask`` at these
    factors has them, ``meta["metrics"]`` being their names; and with ``folds`` the main one of each
    random part of the items as ``folds``: (cells, folds) float64.

    Attributes:
        name: of the product, for people.
        task: the protocol.
        data: labels and corpora.
        ties: whether ties count against the model or for it.
        scored: the product.
        embedded: ``<corpus>/<leaf>`` to embed step, for every leaf that may have a share.
        trained: where the product's trained parts are.
        cells: factors and experts of each row.
        folds: random parts of the items, to be scored each; 0 for none.
    """

    KIND = "sweep"
    VERSION = 2

    name: str = field(metadata=NOT_IN_KEY)
    task: Task = field(metadata=entering(by=lambda step: step.identity))
    data: BenchmarkData = field(metadata=NOT_IN_KEY)  # in the task's identity, as are ties
    ties: Ties = field(default="strict", metadata=NOT_IN_KEY)
    scored: Space = field(metadata=entering("tree", lambda step: tree_to_json(step.scored)))
    embedded: Mapping[str, Step] = field(metadata=inputs_from())
    trained: Trained | None = field(
        metadata=entering("heads", lambda step: step.trained.digest if step.trained else "")
    )
    cells: CellCorpus = field(metadata=entering("corpus", lambda step: step.cells.digest))
    folds: int = field(default=0, metadata=UNLESS_DEFAULT)

    @property
    def identity(self) -> dict[str, Any]:
        """What of the task, its data and the rule for ties can change the score."""
        return identity(self.task, self.data, self.ties)

    @property
    def corpus(self) -> CellCorpus:
        """The cells: rows that another grid had made are not made again."""
        return self.cells

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"sweep {self.name} on {self.task.name}"

    @cached_property
    def n_rows(self) -> int:
        """One a cell."""
        return len(self.cells)

    @cached_property
    def shard_rows(self) -> int:
        """Cells a shard: what a killed run may lose.

        What cells have in common is computed once a shard, so that many are better than few.
        """
        return SHARD_CELLS

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Fuse the embeddings at the factors of each cell, and hold them to the protocol."""
        parts = self.trained.load(context.device) if self.trained else NO_PARTS
        sides = {
            name: Components(
                self.scored,
                corpus.modality,
                {
                    leaf: stored_rows(inputs[f"{name}/{leaf.label}"])
                    for leaf in reachable_leaves(self.scored, corpus.modality)
                },
                parts,
                device=context.device,
            )
            for name, corpus in corpora(self.task, self.data).items()
        }
        adjustments = self.cells.adjustments[start:stop]

        def on_cells(done: int) -> None:
            context.progress(done, stop - start, "cells")

        if isinstance(self.data, RetrievalData):
            scores = retrieval_scores(
                *(self.task, self.data, sides["left"], sides["right"]),
                *(adjustments, self.ties, on_cells),
            )
        else:
            scores = self._scores(sides, adjustments, on_cells)
        on_cells(stop - start)
        return _artifact(self.task, self.data, scores, self.folds)

    def _scores(
        self,
        sides: Mapping[str, Components],
        adjustments: Sequence[Adjustment],
        on_cells: Callable[[int], None],
    ) -> list[Score]:
        """Hold the rows at the factors of each cell to the protocol; those that act alike once."""
        scores: dict[object, Score] = {}
        keys = [
            tuple(side.shares(cell_adjustment) for side in sides.values())
            for cell_adjustment in adjustments
        ]
        for done, (key, adjustment) in enumerate(zip(keys, adjustments, strict=True)):
            on_cells(done)
            if key not in scores:
                rows = {name: side.rows(adjustment) for name, side in sides.items()}
                scores[key] = score(self.task, self.data, rows, self.ties)
        return [scores[key] for key in keys]


def _artifact(task: Task, data: BenchmarkData, scores: Sequence[Score], folds: int) -> Artifact:
    """Return the rows of some cells; what ``meta`` says is the same for all of them."""
    first = scores[0]
    names = list(first.metrics)
    metrics = [[cell.metrics[name] for name in names] for cell in scores]
    meta = {
        "task": first.task,
        "main": first.main,
        "metrics": names,
        "n": first.n,
        "n_other": first.n_other,
        "expected": first.expected,
        "ties": first.ties,
        **score_context(task, data),
    }
    arrays = {"metrics": np.array(metrics, np.float64)}
    if folds:
        parts = [fold_means(contributions(task, data, cell), folds) for cell in scores]
        arrays["folds"] = np.array(parts, np.float64)
    return Artifact(arrays, meta)
