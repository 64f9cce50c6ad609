"""Scores of a report: intervals over items, and the paper's figures where it has the product."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.types import Expert, Fusion, Leaf, Space
from reactions.dsl import check, parse
from reactions.eval.bootstrap import Interval, bootstrap_mean, recall_by_item
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData
from reactions.experiments.paper_tables import FACTORS, PUBLISHED, ROWS, TABLES, SpaceRow
from reactions.products.tree import effective_factors

if TYPE_CHECKING:
    from reactions.session import Result

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
class TaskScore:
    """A task's score, ready to be shown.

    Attributes:
        task: which.
        record: of the result.
        intervals: metric to its 95 % interval, per cent; those of the main score and of the
            paper's.
        paper: metric to the paper's figure, per cent.
        baselines: name of a training-free row to its main score, per cent.
    """

    task: Task
    record: Mapping[str, Any]
    intervals: Mapping[str, Interval]
    paper: Mapping[str, float]
    baselines: Mapping[str, float]

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
    row: SpaceRow | None,
    baselines: Mapping[str, float],
) -> TaskScore:
    """Put a result beside the paper's figures and the training-free rows.

    Args:
        task: which.
        result: of the product.
        data: the task's.
        row: the paper's, if it has the product.
        baselines: name to main score.
    """
    paper = {} if row is None else paper_figures(row, task.name)
    shown = dict.fromkeys([task.main_score, *paper])
    intervals = {
        metric: estimated
        for metric in shown
        if (estimated := interval(task, metric, result.arrays, data)) is not None
    }
    return TaskScore(task, result.record, intervals, paper, baselines)


def paper_figures(row: SpaceRow, task: str) -> dict[str, float]:
    """Return the paper's figures of a row on a task, by metric; empty where it has none."""
    figures: dict[str, float] = {}
    for table in TABLES.values():
        if row.name not in table.figures:
            continue
        for column in table.columns_of(task):
            value = table.paper(row.name, column)
            if value is not None:
                figures[column.metric] = value
    return figures


def paper_row(space: Space) -> tuple[SpaceRow | None, str]:
    """Return the row of the paper's tables that a product is, or why it is none.

    Spaces are compared by name, reactions by operation, anchors and recipe, factors by value.
    """
    alike: list[str] = []
    for row in ROWS:
        published = check(parse(row.reaction), PUBLISHED, factors=FACTORS).space
        if _shape(published) != _shape(space):
            continue
        if _rounded(effective_factors(published, row.adjustment)) == _rounded(
            effective_factors(space)
        ):
            return row, ""
        alike.append(row.name)
    if alike:
        return None, f"the paper has this reaction with other factors: {', '.join(alike)}"
    return None, "the product is none of the paper's"


def _rounded(factors: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {m: round(v, 6) for m, v in own.items()} for name, own in factors.items()}


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
