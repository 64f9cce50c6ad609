"""Scores over combining factors: what the sliders of a report move on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from reactions.core.types import Space
from reactions.eval.task import Task
from reactions.experiments.sweep import Grid, make_grid, sweep
from reactions.planning.plan import Plan
from reactions.products.tree import effective_factors, mixtures

if TYPE_CHECKING:
    from reactions.products.target import Target
    from reactions.session import Session

Option: TypeAlias = Literal["sigma", "lambda"]

OPTIONS: Mapping[Option, tuple[str, str]] = {
    "sigma": ("\u03c3", "cr"),
    "lambda": ("\u03bb", "dr"),
}
"""Sign and operation of each kind of factor."""

FINE, COARSE = "0:1:0.1", "0:1:0.25"
"""Values of an axis: coarser where there are more than two of them."""

MOST_AXES = 4


@dataclass(frozen=True, slots=True)
class FactorAxis:
    """A factor that a slider moves.

    Attributes:
        name: as the sweep calls it, such as ``sigma audio``.
        modality: whose factor it is.
        values: that were measured, ascending.
        default: the bundle's, if all experts have the same; it may lie between values.
    """

    name: str
    modality: str
    values: tuple[float, ...]
    default: float | None


@dataclass(frozen=True)
class ScoreSurface:
    """Every task's metrics at every combination of some factors, the others at their defaults.

    Attributes:
        option: which kind of factors.
        axes: one a shared modality.
        fixed: the other factors, by name and modality.
        tables: task to metric to scores in per cent, the last axis fastest.
    """

    option: Option
    axes: tuple[FactorAxis, ...]
    fixed: Mapping[str, Mapping[str, float]]
    tables: Mapping[str, Mapping[str, tuple[float, ...]]]

    @property
    def has_defaults(self) -> bool:
        """Whether the bundle's defaults are one point of the axes."""
        return all(axis.default is not None for axis in self.axes)

    def to_json(self) -> dict[str, Any]:
        """Return what the page needs, as a JSON object; scores with two decimals."""
        return {
            "option": self.option,
            "axes": [
                {
                    "label": f"{OPTIONS[self.option][0]} {axis.modality}",
                    "values": list(axis.values),
                    "default": axis.default,
                }
                for axis in self.axes
            ],
            "tables": {
                task: {
                    metric: [round(v, 2) for v in values] for metric, values in by_metric.items()
                }
                for task, by_metric in self.tables.items()
            },
        }


def swept_modalities(space: Space, option: Option) -> tuple[str, ...]:
    """Return the modalities that a kind of factor acts on, sorted; () without such a reaction."""
    op = OPTIONS[option][1]
    return tuple(
        sorted(
            {
                modality
                for fusion, i in mixtures(space)
                if fusion.op == op
                for modality, _ in fusion.experts[i].factors
            }
        )
    )


def axis_text(modalities: Sequence[str]) -> str:
    """Return the values of all axes, as ``--sigma`` and ``--lambda`` of a sweep take them."""
    values = FINE if len(modalities) <= 2 else COARSE
    return ",".join(f"{modality}={values}" for modality in modalities)


def kept_metrics(task: Task) -> list[str]:
    """Return the metrics that sliders move: the main score, and the means of both directions."""
    means = [metric for metric in task.metrics if metric.startswith("mean ")]
    return list(dict.fromkeys([task.main_score, *means]))


def measure_surfaces(
    session: Session,
    target: Target,
    tasks: Sequence[Task],
    options: Sequence[Option],
    *,
    confirm: Callable[[Plan], None],
) -> list[ScoreSurface]:
    """Sweep kinds of factors, each with the others at the product's defaults, in one run.

    Args:
        session: where to work.
        target: a product with such factors.
        tasks: which.
        options: which factors.
        confirm: called with what is to be run, before it runs.
    """
    grids: list[Grid] = []
    for option in options:
        text = axis_text(swept_modalities(target.space, option))
        axis_texts = {"sigma": text} if option == "sigma" else {"lambda_": text}
        grids.append(make_grid(target.space, **axis_texts))
    cells = tuple(cell for grid in grids for cell in grid.cells)
    axes = {name: values for grid in grids for name, values in grid.axes.items()}
    table = sweep(session, target, tasks, Grid(cells, axes), confirm=confirm)
    by_task = {task.name: [row for row in table.rows if row["task"] == task.name] for task in tasks}
    metrics = {task.name: kept_metrics(task) for task in tasks}
    surfaces, start = [], 0
    for option, grid in zip(options, grids, strict=True):
        stop = start + len(grid.cells)
        rows = [row for task_rows in by_task.values() for row in task_rows[start:stop]]
        surfaces.append(surface(target.space, option, grid.axes, rows, metrics))
        start = stop
    return surfaces


def surface(
    space: Space,
    option: Option,
    axes: Mapping[str, Sequence[float]],
    rows: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Sequence[str]],
) -> ScoreSurface:
    """Arrange the rows of a sweep.

    Args:
        space: the product.
        option: which factors were swept.
        axes: name of each axis to its values.
        rows: of the sweep: ``task``, the value of each axis, and metrics in per cent.
        metrics: task to the metrics that are kept.
    """
    axis_modalities = {
        f"{option} {modality}": modality for modality in swept_modalities(space, option)
    }
    axis_values = {name: tuple(sorted(axes[name])) for name in axis_modalities}
    factors = effective_factors(space)
    prefix = f"{option} "
    shown = tuple(
        FactorAxis(
            name,
            modality,
            axis_values[name],
            _default(factors, prefix, modality, axis_values[name]),
        )
        for name, modality in axis_modalities.items()
    )
    cells: dict[tuple[str, tuple[float | None, ...]], Mapping[str, Any]] = {}
    for row in rows:
        # A factor that does not act in a cell is not in its row: the cell stands for all values.
        values = [row.get(name) for name in axis_values]
        place = tuple(None if value is None else round(float(value), 9) for value in values)
        cells[row["task"], place] = row
    tables: dict[str, dict[str, tuple[float, ...]]] = {}
    for task, task_metrics in metrics.items():
        places = itertools.product(*axis_values.values())
        scored = [_cell(cells, task, tuple(round(v, 9) for v in place)) for place in places]
        tables[task] = {
            metric: tuple(float(row[metric]) for row in scored) for metric in task_metrics
        }
    fixed = {name: values for name, values in factors.items() if not name.startswith(prefix)}
    return ScoreSurface(option, shown, fixed, tables)


def _cell(
    cells: Mapping[tuple[str, tuple[float | None, ...]], Mapping[str, Any]],
    task: str,
    place: tuple[float, ...],
) -> Mapping[str, Any]:
    """Return the row of a cell.

    Raises:
        LookupError: there is none.
    """
    if (row := cells.get((task, place))) is not None:
        return row
    for mask in itertools.product((True, False), repeat=len(place)):
        partial = tuple(v if keep else None for v, keep in zip(place, mask, strict=True))
        if (row := cells.get((task, partial))) is not None:
            return row
    raise LookupError(f"the sweep has no cell {place} of {task}")


def _default(
    factors: Mapping[str, Mapping[str, float]],
    prefix: str,
    modality: str,
    values: Sequence[float],
) -> float | None:
    """Return the value that all experts have, as it was measured if it was; None if they differ."""
    expert_values = {
        by[modality] for name, by in factors.items() if name.startswith(prefix) and modality in by
    }
    if len(expert_values) != 1:
        return None
    (value,) = expert_values
    return next((measured for measured in values if abs(measured - value) < 1e-9), value)
