"""What a sweep measured: one long table, and surfaces over two of its axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import UsageError, suggestion

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

FIXED = ("space", "lab", "seed", "task")
"""Columns before the axes."""

MEASURED = ("n", "main", "score")
"""Columns between the experts and the metrics: items, the task's main metric, and its value."""


@dataclass(frozen=True, slots=True)
class SweepTable:
    """The scores of every cell of a grid on every task, for one seed or several.

    Attributes:
        rows: dicts of ``space``, ``lab``, ``seed``, ``task``; the value of each axis that acts in
            the cell, by the axis's name; ``experts``, names with commas between, None for all;
            ``n``; ``main``, the name of the task's main metric, and ``score``, its value; and every
            metric by its own name, in per cent; ``folds`` if they were asked for.
        defaults: likewise, a row for each task and seed, of the product with its own factors.
        axes: names of the grid's factors, in order, and the values that were tried.
        notices: what a reader should know.
    """

    rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    defaults: tuple[Mapping[str, Any], ...] = field(repr=False)
    axes: Mapping[str, tuple[float, ...]]
    notices: tuple[str, ...] = ()

    @classmethod
    def joined(cls, tables: Sequence[SweepTable]) -> SweepTable:
        """Return one table of several: those of other seeds, or of other tasks."""
        values: dict[str, set[float]] = {}
        for table in tables:
            for axis, axis_values in table.axes.items():
                values.setdefault(axis, set()).update(axis_values)
        return cls(
            tuple(row for table in tables for row in table.rows),
            tuple(row for table in tables for row in table.defaults),
            {axis: tuple(sorted(axis_values)) for axis, axis_values in values.items()},
            tuple(dict.fromkeys(notice for table in tables for notice in table.notices)),
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return tuple(dict.fromkeys(row["task"] for row in self.rows))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds, in order."""
        return tuple(dict.fromkeys(row["seed"] for row in self.rows))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns, in order; a row has those that its task and its cell have."""
        usual = {*FIXED, *self.axes, "experts", *MEASURED, "folds"}
        metrics = dict.fromkeys(name for row in self.rows for name in row if name not in usual)
        return (*FIXED, *self.axes, "experts", *MEASURED, *metrics)

    def own_records(self) -> Iterator[dict[str, Any]]:
        """Yield what ``TaskScored`` says of the product with its own factors, for each task."""
        metrics = self.columns[self.columns.index(MEASURED[-1]) + 1 :]
        for row in self.defaults:
            yield {
                **{name: row[name] for name in (*FIXED, "n", "main")},
                "metrics": {name: row[name] for name in metrics if name in row},
            }

    def surface(
        self,
        task: str,
        metric: str = "score",
        x_axis: str = "sigma audio",
        y_axis: str = "sigma text",
        *,
        experts: str | None = None,
        at: Mapping[str, float] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return a metric over two factors: its mean over the seeds.

        Args:
            task: its name.
            metric: a metric's name; ``score`` is the task's main one.
            x_axis: of the columns.
            y_axis: of the rows.
            experts: those of the cells, as in ``rows``.
            at: values of the grid's other axes.

        Returns:
            (x,) and (y,) ascending values, and (y, x) figures; NaN where there is no such cell.

        Raises:
            UsageError: there is no such task, metric or axis, or cells differ in more than the two.
        """
        for axis in (x_axis, y_axis):
            _check("axis", axis, self.axes)
        _check("task", task, self.tasks)
        rows = list(self._rows(task, experts, at or {}))
        _check("metric", metric, [name for name in self.columns if any(name in r for r in rows)])
        figures: dict[tuple[float, float], dict[int, float]] = {}
        for row in rows:
            place = row.get(x_axis), row.get(y_axis)
            if place[0] is None or place[1] is None:
                continue
            by_seed = figures.setdefault((place[0], place[1]), {})
            if row["seed"] in by_seed:
                other_axes = [axis for axis in self.axes if axis not in (x_axis, y_axis)]
                raise UsageError(
                    f"several cells have {x_axis} {place[0]:g} and {y_axis} {place[1]:g}",
                    why=f"they differ in experts or in {', '.join(other_axes) or 'nothing else'}",
                    fix="choose one with experts= and at=",
                )
            by_seed[row["seed"]] = float(row[metric])
        xs = np.array(sorted({x for x, _ in figures}))
        ys = np.array(sorted({y for _, y in figures}))
        surface = np.full((len(ys), len(xs)), np.nan)
        for (x, y), by_seed in figures.items():
            surface[np.searchsorted(ys, y), np.searchsorted(xs, x)] = np.mean([*by_seed.values()])
        return xs, ys, surface

    def to_arrow(self) -> pa.Table:
        """Return the rows as a table; a column is null where a row has nothing to say.

        Raises:
            MissingError: pyarrow is not installed.
        """
        import pyarrow as pa

        types = {"space": pa.string(), "lab": pa.string(), "seed": pa.int64(), "task": pa.string()}
        types |= {"experts": pa.string(), "n": pa.int64(), "main": pa.string()}
        return pa.table(
            {
                name: pa.array([row.get(name) for row in self.rows], types.get(name, pa.float64()))
                for name in self.columns
            }
        )

    def _rows(
        self, task: str, experts: str | None, at: Mapping[str, float]
    ) -> Iterator[Mapping[str, Any]]:
        for axis in at:
            _check("axis", axis, self.axes)
        for row in self.rows:
            fits = row["task"] == task and all(row.get(axis) == value for axis, value in at.items())
            if fits and (experts is None or row["experts"] == experts):
                yield row


def _check(what: str, name: str, names: Mapping[str, Any] | Sequence[str]) -> None:
    if name not in names:
        raise UsageError(f"this sweep has no {what} '{name}'", fix=suggestion(name, names))
