"""Sweeps: a product on tasks at every cell of a grid, a step for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.step import Artifact
from reactions.core.types import Digest
from reactions.eval.metrics import Ties
from reactions.eval.task import Task
from reactions.experiments.sweep.grid import Cell, Grid, own_cell
from reactions.experiments.sweep.table import SweepTable
from reactions.planning.plan import Plan, joined
from reactions.planning.scoring import Scoring, plan_sweep
from reactions.planning.trained_on import setting_notices
from reactions.products.target import Target
from reactions.products.tree import embedded_by
from reactions.run.events import Event
from reactions.session import Session
from reactions.steps.sweep import SweepTask
from reactions.store import Store
from reactions.store.reuse import made_rows


def sweep(
    session: Session,
    target: Target,
    tasks: Sequence[Task],
    grid: Grid,
    *,
    ties: Ties = "strict",
    folds: int = 0,
    confirm: Callable[[Plan], None] = lambda plan: None,
    events: Callable[[Event], None] | None = None,
) -> SweepTable:
    """Score a product on tasks at every cell of a grid, and at its own factors.

    Figures are those of ``Session.evaluate`` at the factors of each cell. Cells that the store has,
    of whatever grid, are not computed again; a run that is killed goes on where it was.

    Args:
        session: where to work.
        target: from ``Session.target``.
        tasks: which.
        grid: from ``make_grid`` of the target's space.
        ties: as for ``Session.evaluate``.
        folds: random parts of each task's items; rows then have ``folds``, the main metric of each.
        confirm: called with all that is to be run, before it runs.
        events: called with what happens, instead of the session's own sink.

    Raises:
        MissingError: the lab has no data for a task, or the target lacks a modality.
        MolspaceError: whatever a step raises.
    """
    session = session if events is None else replace(session, events=events)
    prospects = [_Prospect(session, target, task, grid, ties, folds) for task in tasks]
    confirm(joined([plan for prospect in prospects for plan in prospect.plans]))
    artifacts = session.run([step for prospect in prospects for step in prospect.steps])
    rows: list[dict[str, Any]] = []
    defaults: list[dict[str, Any]] = []
    for prospect in prospects:
        measured = prospect.rows(artifacts)
        defaults.append(measured[0])
        rows += measured[1:]
    notices = [notice for prospect in prospects for notice in prospect.notices]
    notices += [notice for task in tasks for notice in setting_notices(session.lab, target, task)]
    return SweepTable(
        tuple(rows),
        tuple(defaults),
        dict(grid.axes),
        tuple(dict.fromkeys([*notices, *target.score_notices()])),
    )


class _Prospect:
    """One task, before anything runs: the cells that it has, and the steps that score them."""

    def __init__(
        self,
        session: Session,
        target: Target,
        task: Task,
        grid: Grid,
        ties: Ties,
        folds: int,
    ) -> None:
        self._task = task
        self._common = {
            "space": target.name,
            "lab": session.label(target),
            "seed": session.lab.seed,
            "task": task.name,
        }
        modalities = {task.query, task.other}
        self._cells = [
            own_cell(target.space, grid.axes),
            *(c for c in grid.cells if modalities <= embedded_by(target.space, c.adjustment)),
        ]

        def plan(part: NDArray[np.intp]) -> Scoring:
            adjustments = [self._cells[i].adjustment for i in part]
            return plan_sweep(session.lab, target, task, adjustments, ties, folds)

        all_cells = np.arange(len(self._cells))
        whole = plan(all_cells)
        is_made = _made(session.store, whole.step)
        self.plans, self._parts = [whole.plan], [all_cells]
        if is_made.any() and not is_made.all():
            self._parts = [np.flatnonzero(is_made), np.flatnonzero(~is_made)]
            self.plans = [plan(part).plan for part in self._parts]
        left_out = 1 + len(grid.cells) - len(self._cells)
        self.notices = list(whole.plan.notices)
        if left_out:
            self.notices.append(
                f"{task.name}: {left_out} cells are left out, whose experts do not embed both "
                f"{task.query} and {task.other}"
            )

    @property
    def steps(self) -> list[SweepTask]:
        return [step for plan in self.plans for step in plan.targets if isinstance(step, SweepTask)]

    def rows(self, artifacts: Mapping[Digest, Artifact]) -> list[dict[str, Any]]:
        """Return a row for each cell: the product's own factors first."""
        rows: list[dict[str, Any]] = [{} for _ in self._cells]
        for step, part in zip(self.steps, self._parts, strict=True):
            artifact = artifacts[step.key]
            meta, scores = artifact.meta, np.asarray(artifact.arrays["metrics"][slice(None)])
            for i, figures in zip(part, scores, strict=True):
                metrics = dict(zip(meta["metrics"], map(float, figures), strict=True))
                rows[i] = self._row(self._cells[i], meta, metrics)
            if "folds" in artifact.arrays:
                for i, values in zip(part, artifact.arrays["folds"][slice(None)], strict=True):
                    rows[i]["folds"] = tuple(map(float, values))
        return rows

    def _row(
        self, cell: Cell, meta: Mapping[str, Any], metrics: Mapping[str, float]
    ) -> dict[str, Any]:
        return {
            **self._common,
            **cell.values,
            "experts": None if cell.experts is None else ",".join(cell.experts),
            "n": meta["n"],
            "main": meta["main"],
            "score": metrics[meta["main"]],
            **metrics,
        }


def _made(store: Store, step: Any) -> NDArray[np.bool_]:
    """Return which cells of a step are known from other grids.

    None of them where the step itself is there, or was begun: then it goes on.
    """
    if store.has(step.key) or store.partial(step, verify=False).finished:
        return np.zeros(step.n_rows, np.bool_)
    return made_rows(store, step, step.cells)
