"""From a product and an objective to a setting: swept, cross-validated, scored on other data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import Fusion, Tuned
from reactions.eval.baselines import Baseline
from reactions.eval.registry import all_tasks
from reactions.eval.task import Task
from reactions.experiments.choosing.choice import Figure, FoldScores, make_board, summary
from reactions.experiments.choosing.data import FOLDS, TuningData, tuning_data
from reactions.experiments.choosing.objective import Keep, Quantity, read_keep, read_quantity
from reactions.experiments.paper.spaces import EXPERTISE, VERSATILE
from reactions.experiments.sweep import Cell, Grid, sweep
from reactions.experiments.sweep.grid import own_cell
from reactions.planning.plan import Plan
from reactions.products.target import Target
from reactions.products.tree import Adjustment, effective_factors, fit_adjustment
from reactions.session import Session

PRESETS: Mapping[str, Adjustment] = {
    "Ver.": Adjustment(sigma=VERSATILE),
    "AT E.": Adjustment(sigma=EXPERTISE),
}
"""The paper's settings, where they fit: sigma of audio and text."""


@dataclass(frozen=True)
class Contender:
    """A setting beside the chosen one.

    Attributes:
        name: "chosen", "own", a preset's, or "frontier 1", ...
        cell: factors and experts.
        tuning: from ``choice.summary``, on the data to choose by.
        scores: task to main score on other data, per cent; empty for those on the frontier alone.
        objective: of ``scores``; None where there are none.
    """

    name: str
    cell: Cell
    tuning: Mapping[str, Any]
    scores: Mapping[str, float] = field(default_factory=dict)
    objective: float | None = None


@dataclass(frozen=True)
class Choice:
    """What was chosen, and from what.

    Attributes:
        objective: what for.
        keeps: what had to be kept.
        data: where settings were chosen, and where contenders were scored.
        contenders: the chosen one, the product's own factors and the paper's presets, then the
            frontier.
        expected: the objective of what is so chosen, on items that it was not chosen by; None if
            some folds leave nothing to choose.
        n_settings: how many were compared.
        baselines: what trains nothing, scored where contenders were; sums have the weights of the
            chosen factors.
        base_name: what "base" stands for; "" if nothing refers to it.
        notices: what a reader should know.
    """

    objective: Quantity
    keeps: tuple[Keep, ...]
    data: TuningData
    contenders: tuple[Contender, ...]
    expected: Figure | None
    n_settings: int
    baselines: tuple[Baseline, ...]
    base_name: str
    notices: tuple[str, ...] = ()

    @property
    def chosen(self) -> Contender:
        """The chosen setting."""
        return self.contenders[0]


def tune(
    session: Session,
    target: Target,
    grid: Grid,
    objective: str,
    keeps: Sequence[str] = (),
    *,
    seed: int = 0,
    baselines: bool = True,
    within_s: float | None = None,
    confirm: Callable[[Plan], None] = lambda plan: None,
) -> Choice:
    """Choose a setting of a product.

    Args:
        session: where to work.
        target: the product.
        grid: settings to choose from.
        objective: such as ``"0.5*audio-text + esc50"``.
        keeps: such as ``"image-text >= base - 0.5"``.
        seed: of the halves of evaluation sets, where the lab has no other data of a task.
        baselines: whether to score what trains nothing, too, at the chosen factors.
        within_s: as for ``Session.baselines``.
        confirm: called with all that is to be run, before it runs.

    Raises:
        UsageError: the objective or what is to be kept cannot mean anything, or no setting keeps
            it.
        MissingError: the lab has no data of any task that the product can do.
        DataError: the data of a task are too few to be divided.
    """
    goal, limits, used = read_goal(session, target, objective, keeps)
    data = tuning_data(session.lab, used, seed)
    choosing = replace(session, lab=data.choose)
    presets = _presets(target)
    cells = Grid((*presets.values(), *grid.cells), grid.axes)
    table = sweep(choosing, target, used, cells, folds=FOLDS, confirm=confirm)
    folds = {
        task.name: np.array(
            [row["folds"] for row in (*table.defaults, *table.rows) if row["task"] == task.name]
        )
        for task in used
    }
    all_cells = [own_cell(target.space, grid.axes), *cells.cells]
    _refuse_gaps(folds, len(all_cells))
    base_name, base = _base(choosing, target, limits, confirm)
    choices = range(1 + len(presets), len(all_cells))
    board = make_board(goal, limits, folds, base, own=0, choices=choices)
    best = board.best()
    if best is None:
        raise _nothing_kept(board, limits)
    places = {"chosen": best, "own": 0, **{name: 1 + i for i, name in enumerate(presets)}}
    elsewhere = replace(session, lab=data.score)
    scored = _scores(elsewhere, target, used, [all_cells[i] for i in places.values()])
    contenders = [
        Contender(
            name,
            all_cells[i],
            summary(board, limits, i, best),
            scores,
            sum(weight * scores[task] for task, weight in goal.tasks.items()),
        )
        for (name, i), scores in zip(places.items(), scored, strict=True)
    ]
    contenders += [
        Contender(f"frontier {n}", all_cells[i], summary(board, limits, i, best))
        for n, i in enumerate(board.frontier(), 1)
    ]
    beside: list[Baseline] = []
    if baselines:
        beside = elsewhere.baselines(
            target, used, all_cells[best].adjustment, within_s=within_s, confirm=confirm
        )
    return Choice(
        goal,
        limits,
        data,
        tuple(contenders),
        board.expected(),
        len(choices),
        tuple(beside),
        base_name,
        table.notices,
    )


def read_goal(
    session: Session, target: Target, objective: str, keeps: Sequence[str] = ()
) -> tuple[Quantity, tuple[Keep, ...], list[Task]]:
    """Read what a product is tuned for, what must be kept, and which tasks have to be scored.

    Args:
        session: whose lab has the data.
        target: the product.
        objective: as for ``tune``.
        keeps: as for ``tune``.

    Raises:
        UsageError: they cannot mean anything.
        MissingError: the lab has no data of any task that the product can do.
    """
    tasks = _tasks(session, target)
    goal = read_quantity(objective, tasks, option="--objective")
    limits = tuple(read_keep(text, tasks) for text in keeps)
    quantities = [goal, *(keep.quantity for keep in limits)]
    names = {name for quantity in quantities for name in quantity.tasks}
    return goal, limits, [task for task in tasks if task.name in names]


def _tasks(session: Session, target: Target) -> list[Task]:
    """Return the tasks that a product can do and the lab has data of."""
    lab_tasks = [own_set.task for own_set in session.lab.own_tasks.values()]
    tasks = []
    for task in (*all_tasks(), *lab_tasks):
        if {task.query, task.other} <= set(target.space.modalities):
            try:
                session.lab.benchmark(task.name)
            except (MissingError, DataError):
                continue
            tasks.append(task)
    if not tasks:
        raise MissingError(
            "there is nothing to tune by",
            why=f"lab '{session.lab.name}' has the data of no task that {target.name} can do",
            fix="--data FOLDER with the evaluation sets   or [data] in the lab file",
        )
    return tasks


def _presets(target: Target) -> dict[str, Cell]:
    """Return the paper's settings, where they fit the product."""
    presets = {}
    for name, adjustment in PRESETS.items():
        try:
            fitted = fit_adjustment(target.space, adjustment)
        except UsageError:
            continue
        acting_factors = effective_factors(target.space, fitted)
        sigmas = [f for key, f in acting_factors.items() if key.startswith("sigma ")]
        if all(set(factors) == {"audio", "text"} for factors in sigmas):
            values = {f"sigma {modality}": value for modality, value in sigmas[0].items()}
            presets[name] = Cell(fitted, values)
    return presets


def _base(
    session: Session, target: Target, limits: Sequence[Keep], confirm: Callable[[Plan], None]
) -> tuple[str, dict[str, NDArray[np.float64]]]:
    """Return what "base" stands for, and the folds' scores of its tasks."""
    quantities = [keep.quantity for keep in limits if keep.reference == "base"]
    names = dict.fromkeys(name for quantity in quantities for name in quantity.tasks)
    if not names:
        return "", {}
    space = target.space
    while isinstance(space, Tuned):
        space = space.base
    if not isinstance(space, Fusion):
        raise UsageError("--keep: a space by itself has no base", fix="own instead of base")
    base = replace(target, name=space.base.label, space=space.base)
    tasks = [task for task in _tasks(session, base) if task.name in names]
    if lacking := [name for name in names if name not in [task.name for task in tasks]]:
        raise UsageError(
            f"--keep: the base, {base.name}, cannot do {', '.join(lacking)}",
            fix="own instead of base, or a value by itself",
        )
    table = sweep(session, base, tasks, Grid((), {}), folds=FOLDS, confirm=confirm)
    return base.name, {row["task"]: np.array(row["folds"]) for row in table.defaults}


def _scores(
    session: Session, target: Target, tasks: Sequence[Task], cells: Sequence[Cell]
) -> list[dict[str, float]]:
    """Return task to main score of each cell."""
    grid = Grid(tuple(cells), {})
    table = sweep(session, target, tasks, grid)
    by_task = {
        task.name: [row["score"] for row in table.rows if row["task"] == task.name]
        for task in tasks
    }
    return [{name: scores[i] for name, scores in by_task.items()} for i in range(len(cells))]


def _refuse_gaps(folds: Mapping[str, NDArray[np.float64]], n: int) -> None:
    for task, values in folds.items():
        if len(values) != n:
            raise UsageError(
                f"{n - len(values)} of the settings cannot do {task}",
                why="without the experts that they leave out, a modality is not embedded",
                fix="--experts with those that are needed",
            )


def _nothing_kept(board: FoldScores, limits: Sequence[Keep]) -> UsageError:
    lines = []
    for keep, values in zip(limits, board.kept, strict=True):
        margins = values[list(board.choices)]
        nearest = Figure.of(margins[int(np.argmax(margins.mean(axis=1)))])
        short = f"falls short by {-nearest.mean:.2f}" if nearest.mean < 0 else "is barely met"
        lines.append(f"at best '{keep.text}' {short} ± {nearest.error:.2f} points")
    return UsageError(
        "no setting keeps what is to be kept",
        why="; ".join(lines) + "; it must be met one standard error down",
        fix="a lower least value, or other factors to choose from",
    )
