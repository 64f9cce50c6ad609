"""Scores on evaluation sets, and over many factors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from reactions.api.counting import cut_json
from reactions.api.results import Cell, ResultTable, aligned, html_lines, html_table, jsonable
from reactions.core.errors import UsageError, suggestion
from reactions.eval.baselines import Baseline, baselines_json, beaten
from reactions.eval.further_metrics import chosen
from reactions.eval.result import Result
from reactions.experiments.sweep import SweepTable
from reactions.experiments.sweep.table import MEASURED

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BEST = 10
_FLATTERED = "the best of many settings is flattered by the items that it was chosen on"


@dataclass(frozen=True)
class ScoredTask:
    """The score of one task.

    Attributes:
        task: its name.
        main: the metric that stands for the task.
        metrics: those of the task's protocol, in per cent.
        further: the field's others, where they were asked for or a table was given.
        n: items scored.
        expected: items that the published set has; 0 if unknown.
        factors: ``{"sigma CLAP_m": {"audio": 0.5}}``, as they act.
        notices: what a reader should know.
        record: all that ``molspace eval --json`` says of it; JSON-able.
        arrays: per-item results, for resampling.
    """

    task: str
    main: str
    metrics: Mapping[str, float]
    further: Mapping[str, float]
    n: int
    expected: int
    factors: Mapping[str, Mapping[str, float]]
    notices: tuple[str, ...]
    record: Mapping[str, Any] = field(repr=False)
    arrays: Mapping[str, NDArray[np.generic]] = field(repr=False)

    @property
    def value(self) -> float:
        """The main metric, per cent."""
        return self.metrics[self.main]

    @classmethod
    def of(cls, result: Result) -> ScoredTask:
        """Read a result."""
        record = result.record
        return cls(
            task=record["task"],
            main=record["main"],
            metrics=dict(record["metrics"]),
            further=dict(record.get("further", {})),
            n=record["n"],
            expected=record["expected"],
            factors=record["factors"],
            notices=tuple(record["notices"]),
            record=record,
            arrays=result.arrays,
        )


class Scores(ResultTable, Sequence[ScoredTask]):
    """Scores of a space on tasks, in order; ``scores["esc50"]`` or ``scores[0]`` is one.

    Attributes:
        space: the reaction.
        seed: of the lab.
        baselines: what trains nothing beside it; () unless they were asked for.
    """

    def __init__(
        self,
        space: str,
        lab: str,
        seed: int,
        results: Sequence[Result],
        baselines: Sequence[Baseline] = (),
        notes: Sequence[str] = (),
        metrics: str = "",
    ) -> None:
        self.space = space
        self.lab = lab
        self.seed = seed
        self._metrics = metrics
        self._scores = tuple(ScoredTask.of(result) for result in results)
        self.baselines = tuple(baselines)
        score_notices = [notice for score in self._scores for notice in score.notices]
        remarks = [beaten(score.record, self.baselines) for score in self._scores]
        self.notices = tuple(dict.fromkeys(filter(None, [*notes, *score_notices, *remarks])))
        for score in self._scores:
            self._shown_metrics(score)  # refuses a name that is none

    @overload
    def __getitem__(self, key: int | str) -> ScoredTask: ...

    @overload
    def __getitem__(self, key: slice) -> Sequence[ScoredTask]: ...

    def __getitem__(self, key: int | str | slice) -> ScoredTask | Sequence[ScoredTask]:
        if not isinstance(key, str):
            return self._scores[key]
        for score in self._scores:
            if score.task == key:
                return score
        names = [score.task for score in self._scores]
        raise UsageError(f"no score of '{key}'", fix=suggestion(key, names))

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def title(self) -> str:
        """The space."""
        return self.space

    @property
    def columns(self) -> tuple[str, ...]:
        """A row a metric."""
        beside = tuple(baseline.name for baseline in self.baselines)
        return ("task", "metric", "value", *beside, "main", "n", "expected")

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield a row a metric of a task, in per cent; None where a baseline has none."""
        for score in self._scores:
            for metric, value in self._shown_metrics(score).items():
                beside = [
                    baseline.results[score.task].record["metrics"].get(metric)
                    if score.task in baseline.results
                    else None
                    for baseline in self.baselines
                ]
                expected = score.expected or None
                is_main = metric == score.main
                yield score.task, metric, value, *beside, is_main, score.n, expected

    def _shown_metrics(self, score: ScoredTask) -> Mapping[str, float]:
        """Return the protocol's own metrics, and those that were asked for."""
        if not self._metrics:
            return score.metrics
        names = chosen(self._metrics, score.metrics, score.further)
        metrics = {**score.metrics, **score.further}
        return {name: metrics[name] for name in dict.fromkeys([*score.metrics, *names])}

    def to_json(self) -> dict[str, Any]:
        """Return what ``molspace eval --json`` prints of the results."""
        records = [
            {**score.record, "baselines": baselines_json(self.baselines, score.task)}
            if self.baselines
            else score.record
            for score in self._scores
        ]
        facts = {"lab": self.lab, "space": self.space, "seed": self.seed}
        whole: dict[str, Any] = jsonable(
            {**facts, "notices": list(self.notices), "results": records}
        )
        return whole | cut_json(self.items_cut)


class SweepScores(ResultTable):
    """Scores at many factors and choices of experts, a row a setting and task.

    Attributes:
        table: the rows, and the product's own at its own factors.
    """

    def __init__(self, space: str, lab: str, table: SweepTable, notes: Sequence[str] = ()) -> None:
        self.space = space
        self.lab = lab
        self.table = table
        self.notices = tuple(dict.fromkeys([*notes, *table.notices]))

    @property
    def title(self) -> str:
        """How much there is."""
        return f"{self.space}   {len(self.table.rows):,} settings"

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the sweep's table."""
        return self.table.columns

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield the settings; None where a row has nothing to say."""
        for row in self.table.rows:
            yield tuple(row.get(name) for name in self.table.columns)

    def __len__(self) -> int:
        return len(self.table.rows)

    def best(self, task: str, metric: str = "score") -> Mapping[str, Any]:
        """Return the row that is best by a metric: flattered by the items that it is chosen on.

        Args:
            task: its name.
            metric: ``score`` is the task's main one.

        Raises:
            UsageError: there is no such task or metric.
        """
        rows = [row for row in self.table.rows if row["task"] == task]
        if not rows:
            raise UsageError(f"no scores of '{task}'", fix=suggestion(task, self.table.tasks))
        metrics = [name for name in rows[0] if name in self._metrics()]
        if metric not in metrics:
            raise UsageError(f"no metric '{metric}'", fix=suggestion(metric, metrics))
        return max(rows, key=lambda row: float(row[metric]))

    def own(self, task: str) -> Mapping[str, Any]:
        """Return the row of the product at its own factors.

        Raises:
            UsageError: there is no such task.
        """
        for row in self.table.defaults:
            if row["task"] == task:
                return row
        raise UsageError(f"no scores of '{task}'", fix=suggestion(task, self.table.tasks))

    def surface(
        self, task: str, metric: str = "score", **axes: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return a metric over two factors; see ``SweepTable.surface``."""
        return self.table.surface(task, metric, **axes)

    def _metrics(self) -> tuple[str, ...]:
        columns = self.table.columns
        return columns[columns.index(MEASURED[-1]) :]

    def _best_tables(self) -> Iterator[tuple[str, tuple[str, ...], list[tuple[Cell, ...]]]]:
        """Yield caption, columns and rows of each task: the product's own, and the best."""
        for task in self.table.tasks:
            rows = [row for row in self.table.rows if row["task"] == task]
            rows = sorted(rows, key=lambda row: -float(row["score"]))[:_BEST]
            trained_row = self.own(task)
            named_rows = [
                ("own factors", trained_row),
                *((str(i), row) for i, row in enumerate(rows, 1)),
            ]
            cells = [
                (
                    name,
                    *(row.get(axis) for axis in self.table.axes),
                    row["experts"] or "all",
                    row["score"],
                )
                for name, row in named_rows
            ]
            columns = ("", *self.table.axes, "experts", f"{trained_row['main']}")
            yield f"{task}   {self._caption()}", columns, cells

    def __repr__(self) -> str:
        lines: list[str] = []
        for caption, columns, rows in self._best_tables():
            lines += [caption, *aligned(columns, rows)]
        return "\n".join([*lines, *(f"note: {note}" for note in (_FLATTERED, *self.notices))])

    def _repr_html_(self) -> str:
        tables = (html_table(*parts) for parts in self._best_tables())
        notes = (f"note: {note}" for note in (_FLATTERED, *self.notices))
        return "".join(tables) + html_lines(notes)
