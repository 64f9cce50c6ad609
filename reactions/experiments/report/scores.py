"""Scores of a report: intervals over items, and the paper's figures where it has the product."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reactions.core.types import Expert, Fusion, Leaf, Space
from reactions.dsl import check, parse
from reactions.eval.baselines import BEST_PART, Baseline
from reactions.eval.bootstrap import Interval, bootstrap_mean, recall_by_item
from reactions.eval.result import Result
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData
from reactions.experiments.paper.spaces import FACTORS, PAPERS_TUNING, PUBLISHED
from reactions.experiments.paper.studies import OTHER_READING
from reactions.experiments.paper.table import PaperTable, SpaceRow
from reactions.experiments.paper.tables import TABLES
from reactions.products.tree import effective_factors, tuned_nodes

_RECALL = re.compile(r"(.+) R@(\d+)")


def interval(
    task: Task, metric: str, arrays: Mapping[str, Any], data: BenchmarkData
) -> Interval | None:
    """Estimate the 95 % interval of a metric over the items of its set, in per cent.

    Items are drawn, not captions: what belongs to one item is drawn together. Of mAP, classes
    are drawn.

    Args:
        task: the protocol.
        metric: one of ``task.metrics``.
        arrays: per-item results, as ``Score.arrays``.
        data: the task's.

    Returns:
        None for a metric that is not made of per-item results, such as a fold's accuracy.
    """
    if not isinstance(data, RetrievalData):
        name = {"accuracy": "correct", "mAP": "average_precision"}.get(metric)
        return None if name is None else _percent(bootstrap_mean(_flat(arrays[name])))
    match = _RECALL.fullmatch(metric)
    if match is None:
        return None
    direction, k = match[1], int(match[2])
    forward, backward = _flat(arrays["rank_forward"]), _flat(arrays["rank_backward"])
    if direction == "mean":
        return _percent(bootstrap_mean(recall_by_item(forward, backward, data.owner, k)))
    if direction == task.directions[0]:
        return _percent(bootstrap_mean(forward <= k, clusters=data.owner))
    return _percent(bootstrap_mean(backward <= k))


def _flat(rows: Any) -> Any:
    return np.asarray(rows, dtype=np.float64).ravel()


def _percent(values: Interval) -> Interval:
    return Interval(*(100 * value for value in values))


@dataclass(frozen=True, slots=True)
class BaselineScore:
    """A training-free row's main score on a task.

    Attributes:
        value: per cent.
        of: the part that it is the score of, "" for a sum.
    """

    value: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class TaskScore:
    """A task's score, ready to be shown.

    Attributes:
        task: which.
        record: of the result.
        intervals: metric to its 95 % interval, per cent; those of the main score and of the
            paper's.
        paper: metric to the paper's figure, per cent.
        baselines: name of a training-free row to its main score.
    """

    task: Task
    record: Mapping[str, Any]
    intervals: Mapping[str, Interval]
    paper: Mapping[str, float]
    baselines: Mapping[str, BaselineScore]

    @property
    def main(self) -> Interval:
        """The main score with its interval."""
        value = float(self.record["metrics"][self.task.main_score])
        measured = self.intervals.get(self.task.main_score)
        return Interval(value, np.nan, np.nan) if measured is None else measured


def task_score(
    task: Task,
    result: Result,
    data: BenchmarkData,
    product: PaperProduct | None,
    baselines: Mapping[str, BaselineScore],
) -> TaskScore:
    """Put a result beside the paper's figures and the training-free rows.

    Args:
        task: which.
        result: of the product.
        data: the task's.
        product: the paper's, if it has the product.
        baselines: name to main score.
    """
    paper = {} if product is None else product.of(task.name)
    shown = dict.fromkeys([task.main_score, *paper])
    intervals = {
        metric: estimated
        for metric in shown
        if (estimated := interval(task, metric, result.arrays, data)) is not None
    }
    return TaskScore(task, result.record, intervals, paper, baselines)


def baseline_scores(rows: Sequence[Baseline], task: Task) -> dict[str, BaselineScore]:
    """Return the training-free rows that have a score on a task, by name."""
    scores = {}
    for row in rows:
        if (result := row.results.get(task.name)) is not None:
            of = str(result.record["space"]) if row.name == BEST_PART else ""
            scores[row.name] = BaselineScore(float(result.record["metrics"][task.main_score]), of)
    return scores


@dataclass(frozen=True, slots=True)
class PaperProduct:
    """A product of the paper.

    Attributes:
        name: as in the paper.
        figures: (task, metric) to the paper's figure, per cent.
        remarks: in what the product differs from the paper's all the same.
    """

    name: str
    figures: Mapping[tuple[str, str], float]
    remarks: tuple[str, ...] = ()

    def of(self, task: str) -> dict[str, float]:
        """Return the figures of a task, by metric."""
        return {
            metric: value
            for (scored_task, metric), value in self.figures.items()
            if scored_task == task
        }


def paper_product(space: Space) -> tuple[PaperProduct | None, str]:
    """Return the paper's figures of a product, or why it has none.

    Spaces are compared by name, reactions by operation, anchors and recipe, factors by value.
    """
    same: list[tuple[PaperTable, SpaceRow]] = []
    alike: list[str] = []
    for table in TABLES.values():
        for row in table.rows:
            published = check(parse(row.reaction), PUBLISHED, factors=FACTORS).space
            if row.adjustment.experts is not None or _shape(published) != _shape(space):
                continue
            if _rounded(effective_factors(published, row.adjustment)) == _rounded(
                effective_factors(space)
            ):
                same.append((table, row))
            else:
                alike.append(row.paper_name or row.name)
    if same:
        # Another reading of a row is the paper's product only if no row is by the letter.
        same.sort(key=lambda entry: entry[1].group == OTHER_READING)
        figures: dict[tuple[str, str], float] = {}
        for table, row in same:
            for column in table.columns:
                if (value := table.paper(row, column)) is not None:
                    figures.setdefault((column.task, column.metric), value)
        row = same[0][1]
        return PaperProduct(row.paper_name or row.name, figures, _remarks(row, space)), ""
    if alike:
        names = ", ".join(dict.fromkeys(alike))
        return None, f"the paper has this reaction with other factors: {names}"
    return None, "the product is none of the paper's"


def _remarks(row: SpaceRow, space: Space) -> tuple[str, ...]:
    """Say in what a product differs from the paper's product of a row."""
    remarks = [
        f"Here Ft({'~'.join(node.arguments)}) tuned the projectors alone (heads=only); "
        f"{PAPERS_TUNING}."
        for _, node in tuned_nodes(space)
        if not node.tuning.tunes_encoder
    ]
    if row.group == OTHER_READING:
        remarks.append(f"The product is another reading of the paper's row: {row.remark}.")
    return tuple(dict.fromkeys(remarks))


def _rounded(factors: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {m: round(v, 6) for m, v in by_modality.items()}
        for name, by_modality in factors.items()
    }


def _shape(space: Space) -> Any:
    """Return what makes two products the same but for their factors."""
    if isinstance(space, Leaf):
        return space.spec.name
    if isinstance(space, Fusion):
        experts = [_expert_shape(expert) for expert in space.experts]
        return (space.op, _shape(space.base), sorted(experts, key=repr))
    return (space.op, _shape(space.base), space.arguments)


def _expert_shape(expert: Expert) -> Any:
    return (_shape(expert.space), round(expert.weight, 6), expert.anchors, expert.recipe)
