"""The paper's figures on a lab: what a product gains over a space, for each pair of factors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import MissingError, MolspaceError, StoreError
from reactions.eval.registry import get_task
from reactions.eval.task import Task
from reactions.experiments.measured import Lack, TaskItems, definition
from reactions.experiments.notes import mean_note, rehearsal_note, tuning_notes
from reactions.experiments.paper.figures import FAMILIES, GRID, PaperFigure
from reactions.experiments.paper.table import SpaceRow
from reactions.experiments.reproduce import (
    Preparation,
    items_of,
    label_of,
    lack_of,
    lack_of_spaces,
    spaces_of,
)
from reactions.experiments.sweep import SweepTable, make_grid, sweep
from reactions.experiments.sweep.texts import read_values
from reactions.planning.plan import Plan, ReactionPlan, joined
from reactions.run.events import RowStarted
from reactions.session import Session
from reactions.weights.locate import NamedWeights

if TYPE_CHECKING:
    import pyarrow as pa

METRIC = "mean R@1"


@dataclass(frozen=True, slots=True)
class Surface:
    """One family of tasks over two factors.

    Attributes:
        family: what is retrieved.
        x: (x,) ascending values of the first factor.
        y: (y,) ascending values of the second.
        gains: (y, x) percentage points of mean R@1 over the reference; NaN where there is none.
        plane: percentage points of the space of the grey plane over the reference, or None.
        reference: mean R@1 of the reference, per cent.
    """

    family: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    gains: NDArray[np.float64]
    reference: float
    plane: float | None = None

    def best(self) -> tuple[float, float, float]:
        """Return where the largest gain is, (x, y), and the gain."""
        row, column = np.unravel_index(int(np.nanargmax(self.gains)), self.gains.shape)
        return float(self.x[column]), float(self.y[row]), float(self.gains[row, column])


@dataclass(frozen=True)
class MeasuredFigure:
    """A figure with what the lab measured.

    Attributes:
        figure: the paper's.
        lab: label of the lab, with any that its spaces bring along.
        seed: the lab's.
        grid: the text of both factors' values.
        items: what the lab has of each task.
        surfaces: of the families that could be measured.
        rows: the long table: a row for each cell and task.
        lacks: why a family, or "" for all, could not be measured.
        notes: how the figures must be read.
    """

    figure: PaperFigure
    lab: str
    seed: int
    grid: str
    items: tuple[TaskItems, ...]
    surfaces: tuple[Surface, ...]
    rows: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    lacks: Mapping[str, Lack] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        figure = self.figure
        return {
            "figure": figure.number,
            "lab": self.lab,
            "seed": self.seed,
            "product": _row_json(figure.product),
            "reference": _row_json(figure.reference),
            "plane": {**_row_json(figure.plane), "family": figure.plane_family},
            "axes": dict(zip(("x", "y"), figure.axes, strict=True)),
            "grid": self.grid,
            "metric": METRIC,
            "tasks": [entry.to_json() for entry in self.items],
            "surfaces": [
                {
                    "family": surface.family,
                    "x": surface.x.tolist(),
                    "y": surface.y.tolist(),
                    "gains": [[_finite(gain) for gain in row] for row in surface.gains.tolist()],
                    "reference": surface.reference,
                    "plane": surface.plane,
                }
                for surface in self.surfaces
            ],
            "lacks": {family: asdict(lack) for family, lack in self.lacks.items()},
            "rows": [dict(row) for row in self.rows],
            "notes": list(self.notes),
        }

    def to_arrow(self) -> pa.Table:
        """Return the long table.

        Raises:
            MissingError: pyarrow is not installed.
        """
        from reactions.encoders.packages import import_package

        pyarrow = import_package("pyarrow", "the table of a figure", "report")
        columns = dict.fromkeys(name for row in self.rows for name in row)
        return pyarrow.table(
            {name: pyarrow.array([row.get(name) for row in self.rows]) for name in columns}
        )


@dataclass(frozen=True)
class PreparedFigure:
    """A figure before anything runs.

    Attributes:
        figure: the paper's.
        session: where to work, with the paper's factors.
        items: what the lab has of each task.
        tasks: family to its tasks, if the lab has them all.
        training: reaction to its plan.
        lacks: family, or "" for all, to why it cannot be measured.
        grid: values of both factors.
    """

    figure: PaperFigure
    session: Session
    items: tuple[TaskItems, ...]
    tasks: Mapping[str, tuple[Task, ...]]
    training: Mapping[str, ReactionPlan]
    lacks: Mapping[str, Lack]
    grid: str = GRID

    @property
    def plans(self) -> list[ReactionPlan]:
        """What has to be trained, each reaction once."""
        return list(self.training.values())

    def spaces(self) -> Iterator[str]:
        """Yield the names of the spaces that it is made of."""
        for row in (self.figure.product, self.figure.reference, self.figure.plane):
            yield from spaces_of(row)

    @property
    def can_run(self) -> bool:
        """Whether anything can be measured."""
        return any(self.tasks.values())

    def measure(self, started: Callable[[SpaceRow], None] = lambda row: None) -> MeasuredFigure:
        """Train what is not trained yet, and score every cell.

        Args:
            started: called before each space.

        Raises:
            MolspaceError: a step failed, or the store cannot be used.
        """
        lab = replace(self.session.lab, weights=NamedWeights())
        session = replace(self.session, lab=lab)
        lacks = dict(self.lacks)
        surfaces: list[Surface] = []
        rows: list[dict[str, Any]] = []
        notices: tuple[str, ...] = ()

        def begin(row: SpaceRow) -> None:
            started(row)
            session.events(RowStarted(row.name))

        if self.can_run:
            try:
                surfaces, rows, notices = self._surfaces(session, begin)
            except MissingError as error:  # weights are looked for when they are first needed
                lacks[""] = lack_of(error)
        label = label_of(session, iter(rows))
        return MeasuredFigure(
            self.figure,
            label,
            lab.seed,
            self.grid,
            self.items,
            tuple(surfaces),
            tuple(rows),
            lacks,
            (*self._notes(session, label), *notices),
        )

    def _surfaces(
        self, session: Session, started: Callable[[SpaceRow], None]
    ) -> tuple[list[Surface], list[dict[str, Any]], tuple[str, ...]]:
        figure = self.figure
        tasks = [task for family_tasks in self.tasks.values() for task in family_tasks]
        reference = self._scores(session, figure.reference, tasks, started)
        plane = reference
        if figure.plane != figure.reference:
            family_tasks = self.tasks[figure.plane_family]
            plane = self._scores(session, figure.plane, family_tasks, started)
        started(figure.product)
        target = session.target(self.training[figure.product.reaction])
        text = ",".join(f"{modality}={self.grid}" for modality in (figure.x, figure.y))
        option = "lambda_" if figure.factor == "lambda" else "sigma"
        table = sweep(session, target, tasks, make_grid(target.space, **{option: text}))
        surfaces = []
        for family, family_tasks in self.tasks.items():
            if not family_tasks:
                continue
            base = _mean(reference, family_tasks)
            grey = _mean(plane, family_tasks) - base if family == figure.plane_family else None
            x, y, scores = _mean_surface(table, family_tasks, figure.axes)
            surfaces.append(Surface(family, x, y, scores - base, base, grey))
        # What the reference is tuned with, the product is.
        tuned = tuning_notes([target.bundle.record] if target.bundle else [])
        return surfaces, list(self._rows(table, reference)), (*tuned, *table.notices)

    def _scores(
        self,
        session: Session,
        row: SpaceRow,
        tasks: Sequence[Task],
        started: Callable[[SpaceRow], None],
    ) -> dict[str, float]:
        """Return the mean R@1 of a space on each task."""
        if not tasks:
            return {}
        started(row)
        target = session.target(self.training.get(row.reaction) or row.reaction)
        results = session.evaluate(target, tasks, row.adjustment)
        pairs = zip(tasks, results, strict=True)
        return {task.name: float(result.record["metrics"][METRIC]) for task, result in pairs}

    def _rows(self, table: SweepTable, reference: Mapping[str, float]) -> Iterator[dict[str, Any]]:
        families = {
            task.name: family
            for family, family_tasks in self.tasks.items()
            for task in family_tasks
        }
        for row in table.rows:
            base = reference[row["task"]]
            yield {
                "figure": self.figure.number,
                "product": self.figure.product.name,
                "reference": self.figure.reference.name,
                "family": families[row["task"]],
                **row,
                f"reference {METRIC}": base,
                f"gain in {METRIC}": row[METRIC] - base,
            }

    def _notes(self, session: Session, label: str) -> Iterator[str]:
        if note := rehearsal_note(label):
            yield note
        figure = self.figure
        for row in (figure.product, figure.reference):
            if text := definition(row):
                yield f"{row.name} = {text}"
        yield (
            f"gains are of the mean of both directions' R@1 over the two sets of a family, in "
            f"percentage points over {figure.reference.name}; the values of the factors are ours "
            f"({self.grid})."
        )
        if "&" in figure.product.reaction:
            yield mean_note(session)
        if figure.remark:
            yield f"{figure.name}: {figure.remark}."


def measure_figure(
    figure: PaperFigure,
    session: Session,
    grid: str = GRID,
    *,
    confirm: Callable[[Plan], None] = lambda plan: None,
    started: Callable[[SpaceRow], None] = lambda row: None,
) -> MeasuredFigure:
    """Train what a figure needs, and score every cell; see ``PreparedFigure``.

    Args:
        figure: one of ``FIGURES``.
        session: where to work.
        grid: values of both factors, as ``molspace sweep`` takes them.
        confirm: called once with all that is to be trained, before anything runs.
        started: called before each space.

    Raises:
        UsageError: the grid is none, or weights are named that nothing uses.
        MolspaceError: a step failed, or the store cannot be used.
    """
    prepared = prepare_figure(figure, Preparation(session), grid)
    confirm(joined(prepared.plans))
    session.lab.refuse_unused_weights(prepared.spaces())
    return prepared.measure(started)


def prepare_figure(
    figure: PaperFigure, preparation: Preparation, grid: str = GRID
) -> PreparedFigure:
    """Look ahead at a figure.

    Args:
        figure: one of ``FIGURES``.
        preparation: what it has in common with other figures and tables of the run.
        grid: values of both factors, as ``molspace sweep`` takes them.

    Raises:
        UsageError: the grid is none.
    """
    session = preparation.session
    lacks: dict[str, Lack] = {}
    tasks: dict[str, tuple[Task, ...]] = dict.fromkeys(FAMILIES, ())
    plans: dict[str, ReactionPlan] = {}
    read_values("--grid", grid)  # for what it raises
    try:
        for row in (figure.product, figure.reference, figure.plane):
            if lack := lack_of_spaces(session, row):
                lacks[""] = lack
                break
            if plan := preparation.plan(row.reaction):
                plans[row.reaction] = plan
    except StoreError:
        raise
    except MolspaceError as error:  # what cannot even be planned, the lab does not have
        lacks[""] = lack_of(error)
    items: list[TaskItems] = []
    for family, names in FAMILIES.items():
        entries = [items_of(session, get_task(name)) for name in names]
        items += entries
        # The mean over one set alone would be another figure.
        if lost := [entry.lack for entry in entries if entry.lack]:
            lacks[family] = lost[0]
        elif "" not in lacks:
            tasks[family] = tuple(entry.task for entry in entries)
    if not any(tasks.values()):
        plans = {}  # nothing is trained for nothing
    return PreparedFigure(figure, session, tuple(items), tasks, plans, lacks, grid)


def _mean(scores: Mapping[str, float], tasks: Sequence[Task]) -> float:
    return float(np.mean([scores[task.name] for task in tasks]))


def _mean_surface(
    table: SweepTable, tasks: Sequence[Task], axes: tuple[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return both factors' values and the tasks' mean score, (y, x)."""
    surfaces = [table.surface(task.name, METRIC, *axes) for task in tasks]
    x, y, _ = surfaces[0]
    return x, y, np.mean([scores for _, _, scores in surfaces], axis=0)


def _row_json(row: SpaceRow) -> dict[str, Any]:
    return {"name": row.name, "reaction": row.reaction}


def _finite(value: float) -> float | None:
    """Return a number that JSON can hold, or None."""
    return value if np.isfinite(value) else None
