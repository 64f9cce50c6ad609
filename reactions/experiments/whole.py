"""All tables and figures of the paper in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.experiments.measured import MeasuredTable
from reactions.experiments.paper.figures import FIGURES, GRID
from reactions.experiments.paper.tables import TABLES
from reactions.experiments.parts import SCORING_S, PartPlan, parts_of
from reactions.experiments.reproduce import Preparation, PreparedTable
from reactions.experiments.surfaces import MeasuredFigure, PreparedFigure, prepare_figure
from reactions.planning.plan import Plan, joined
from reactions.run.events import Event, ignore
from reactions.run.parts import follow
from reactions.session import Session

FREE_S = 10.0
"""Seconds that the training-free rows of a table take on two cores."""

SURFACE_S = 10.0
"""Seconds that the cells of one figure take on two cores."""


@dataclass(frozen=True)
class Everything:
    """The tables and figures that were measured, in the paper's order."""

    tables: tuple[MeasuredTable, ...]
    figures: tuple[MeasuredFigure, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing could be measured."""
        measured = any(table.n_measured for table in self.tables)
        return not measured and not any(figure.surfaces for figure in self.figures)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object: tables and figures by name."""
        return {
            "tables": {entry.table.name: entry.to_json() for entry in self.tables},
            "figures": {entry.figure.name: entry.to_json() for entry in self.figures},
        }


def measure_all(
    session: Session,
    *,
    bundles: Mapping[str, Path] | None = None,
    grid: str = GRID,
    confirm: Callable[[Plan], None] = lambda plan: None,
    events: Callable[[Event], None] = ignore,
    ready: Callable[[MeasuredFigure], None] = lambda figure: None,
) -> Everything:
    """Train and evaluate what all tables and figures need; what they share is done once.

    Args:
        session: where to work; a run that was stopped goes on where it was.
        bundles: row name to the directory of a bundle that stands for it.
        grid: values of the figures' factors.
        confirm: called once with all that is to be trained, before anything runs.
        events: called as each row and figure begins, with an estimate of the time left.
        ready: called with each figure when it is measured.

    Raises:
        UsageError: a bundle is named for a row that no table has, or the grid is none.
        MolspaceError: a step failed, or the store cannot be used.
    """
    preparation = Preparation(session, bundles or {})
    preparation.refuse_unknown_rows(list(TABLES.values()))
    tables = [preparation.prepare(table) for table in TABLES.values()]
    figures = [prepare_figure(figure, preparation, grid) for figure in FIGURES.values()]
    training = [plan for table in tables for plan in table.plans]
    training += [plan for figure in figures for plan in figure.plans]
    confirm(joined(training))
    session.lab.refuse_unused_weights(name for table in tables for name in table.spaces())
    parts = parts_of(session, [*_table_parts(tables), *_figure_parts(figures)])
    measured_figures: list[MeasuredFigure] = []
    with closing(follow(parts, events)) as under_way:
        measured = tuple(table.measure(lambda row: _advance(under_way)) for table in tables)
        for figure in figures:
            if figure.can_run:
                _advance(under_way)
            measured_figures.append(figure.measure())
            ready(measured_figures[-1])
    return Everything(measured, tuple(measured_figures))


def _advance(under_way: Iterator[int]) -> None:
    """Report the next part."""
    next(under_way)


def _table_parts(tables: Sequence[PreparedTable]) -> Iterator[PartPlan]:
    for table in tables:
        for prospect in table.prospects:
            if prospect.can_run:
                plans = [prospect.plan] if prospect.plan else []
                yield f"Table {table.table.number}: {prospect.row.name}", SCORING_S, plans
        if table.free_of is not None:
            yield f"Table {table.table.number}: training-free rows", FREE_S, []


def _figure_parts(figures: Sequence[PreparedFigure]) -> Iterator[PartPlan]:
    for figure in figures:
        if figure.can_run:
            label = f"Figure {figure.figure.number}: {figure.figure.product.name}"
            yield label, SURFACE_S, figure.plans
