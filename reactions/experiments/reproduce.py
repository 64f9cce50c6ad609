"""The paper's tables on a lab: what it measures beside the paper's figures, and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from reactions.core.errors import (
    DataError,
    MissingError,
    MolspaceError,
    NotSupportedYet,
    StoreError,
)
from reactions.core.settings import PAPER_SETTINGS
from reactions.core.types import Leaf, Space, leaves
from reactions.dsl import check, parse
from reactions.eval.registry import get_task
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData
from reactions.experiments.findings import SETTINGS
from reactions.experiments.paper_tables import (
    FACTORS,
    PUBLISHED,
    ROWS,
    Column,
    PaperTable,
    SpaceRow,
)
from reactions.planning.plan import Plan, ReactionPlan, joined
from reactions.products.refusals import refuse_unsupported
from reactions.products.tree import Factors
from reactions.session import Session
from reactions.weights.locate import NamedWeights

State: TypeAlias = Literal["measured", "no modality", "no data", "not run"]


@dataclass(frozen=True, slots=True)
class Missing:
    """Why something could not be measured."""

    what: str
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class TaskItems:
    """What a lab has of a task.

    Attributes:
        task: the task.
        n: items found; 0 without data.
        expected: items of the lab's whole set; of the published one if the lab has no data.
        lack: why there are no data, None if there are.
    """

    task: Task
    n: int
    expected: int
    lack: Missing | None = None


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """A row with what the lab measured.

    Attributes:
        row: what was asked for.
        modalities: that the space embeds.
        records: task name to the result's record.
        lack: why the row could not run, None if it could.
    """

    row: SpaceRow
    modalities: tuple[str, ...]
    records: Mapping[str, Mapping[str, Any]]
    lack: Missing | None = None


@dataclass(frozen=True)
class MeasuredTable:
    """A table with the lab's figures.

    Attributes:
        table: the paper's.
        lab: label of the lab, with any that its spaces bring along.
        seed: the lab's.
        items: task name to what the lab has of it.
        rows: those asked for, in order.
        notes: how the figures must be read.
    """

    table: PaperTable
    lab: str
    seed: int
    items: Mapping[str, TaskItems]
    rows: tuple[MeasuredRow, ...]
    notes: tuple[str, ...]

    def state(self, measured: MeasuredRow, task: str) -> State:
        """Return why a cell has a figure, or has none."""
        if task in measured.records:
            return "measured"
        available = self.items[task]
        if not {available.task.query, available.task.other} <= set(measured.modalities):
            return "no modality"
        return "no data" if available.lack else "not run"

    def ours(self, measured: MeasuredRow, column: Column) -> float | None:
        """Return the lab's figure, per cent; None if there is none."""
        record = measured.records.get(column.task)
        return None if record is None else float(record["metrics"][column.metric])

    @property
    def n_measured(self) -> int:
        """How many cells have a figure of the lab."""
        tasks = [column.task for column in self.table.columns]
        return sum(task in row.records for row in self.rows for task in tasks)

    def paper_n(self, task: str) -> int:
        """Return how many items the paper says it evaluates."""
        return self.items[task].task.paper_items

    def lacking(self) -> dict[Missing, list[str]]:
        """Return why rows could not run, each reason once, with the rows' names."""
        reasons: dict[Missing, list[str]] = {}
        for measured in self.rows:
            if measured.lack:
                reasons.setdefault(measured.lack, []).append(measured.row.name)
        return reasons

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "table": self.table.number,
            "title": self.table.title,
            "lab": self.lab,
            "seed": self.seed,
            "measured": self.n_measured,
            "tasks": [
                {
                    "task": entry.task.name,
                    "title": entry.task.title,
                    "n": entry.n,
                    "expected": entry.expected,
                    "paper_n": self.paper_n(entry.task.name),
                    "prompts": list(entry.task.templates),
                    "lack": entry.lack and asdict(entry.lack),
                }
                for entry in self.items.values()
            ],
            "rows": [self._row_json(measured) for measured in self.rows],
            "notes": list(self.notes),
        }

    def _row_json(self, measured: MeasuredRow) -> dict[str, Any]:
        row = measured.row
        return {
            "name": row.name,
            "group": row.group,
            "reaction": row.reaction,
            "sigma": _factors(row.adjustment.sigma),
            "lambda": _factors(row.adjustment.lambda_),
            "lack": measured.lack and asdict(measured.lack),
            "cells": [
                {
                    "task": column.task,
                    "metric": column.metric,
                    "ours": self.ours(measured, column),
                    "paper": self.table.paper(row.name, column),
                    "state": self.state(measured, column.task),
                }
                for column in self.table.columns
            ],
            "results": [dict(record) for record in measured.records.values()],
        }


def measure(
    table: PaperTable,
    session: Session,
    rows: Sequence[SpaceRow] = ROWS,
    *,
    confirm: Callable[[Plan], None] = lambda plan: None,
    started: Callable[[SpaceRow], None] = lambda row: None,
) -> MeasuredTable:
    """Train and evaluate the rows of a table, as far as the lab has what they need.

    What the lab lacks (a space, weights, corpora, a task's data) is reported in the result, and the
    other cells are measured all the same. The factors are the paper's, whatever the lab's are.

    Args:
        table: one of ``TABLES``.
        session: where to work; results are taken from its store where it has them.
        rows: which rows.
        confirm: called once with all that is to be trained, before anything runs.
        started: called before each row that can run.

    Raises:
        MolspaceError: a step failed, or the store cannot be used.
    """
    session = replace(session, lab=replace(session.lab, factors=FACTORS))
    items = {name: _items_of(session, get_task(name)) for name in table.tasks}
    plans: dict[str, ReactionPlan] = {}
    prospects = [_prospect(session, row, items, plans) for row in rows]
    confirm(joined(list(plans.values())))
    spaces = [leaf.label for row in rows for leaf in leaves(_published(row))]
    session.lab.refuse_unused_weights(spaces)
    # Each row alone need not use all weights that were named.
    session = replace(session, lab=replace(session.lab, weights=NamedWeights()))
    measured = tuple(_measure_row(session, prospect, started) for prospect in prospects)
    labels = [str(r["lab"]) for row in measured for r in row.records.values()]
    parts = [part for label in (session.lab.label, *labels) for part in label.split(", ")]
    lab = ", ".join(dict.fromkeys(parts))
    return MeasuredTable(table, lab, session.lab.seed, items, measured, _notes(table, session, lab))


@dataclass(frozen=True, slots=True)
class _Prospect:
    """A row before anything runs: what it lacks, or what it trains and is scored on."""

    row: SpaceRow
    modalities: tuple[str, ...]
    tasks: tuple[Task, ...] = ()
    plan: ReactionPlan | None = None
    lack: Missing | None = None


def _published(row: SpaceRow) -> Space:
    """Return a row's space as the paper has it, whatever the lab has."""
    return check(parse(row.reaction), PUBLISHED, factors=FACTORS).space


def _items_of(session: Session, task: Task) -> TaskItems:
    try:
        data = session.lab.benchmark(task.name)
    except (MissingError, DataError) as error:
        return TaskItems(task, 0, task.expected, _lack(error))
    return TaskItems(task, _size(data), data.expected)


def _size(data: BenchmarkData) -> int:
    return len(data.left if isinstance(data, RetrievalData) else data.queries)


def _prospect(
    session: Session, row: SpaceRow, items: Mapping[str, TaskItems], plans: dict[str, ReactionPlan]
) -> _Prospect:
    """Look ahead at a row; ``plans`` has those of earlier rows by reaction, and gets this one's."""
    space = _published(row)
    try:
        refuse_unsupported(space)  # before anybody fetches weights for it
        names = [leaf.label for leaf in leaves(space)]
        if absent := [name for name in names if name not in session.lab.catalogue]:
            return _Prospect(row, space.modalities, lack=_absent(space, absent))
        checked = session.check(row.reaction)
        space = checked.space
        tasks = tuple(
            entry.task
            for entry in items.values()
            if entry.lack is None and {entry.task.query, entry.task.other} <= set(space.modalities)
        )
        if not tasks or isinstance(space, Leaf):  # without a task nothing is trained either
            return _Prospect(row, space.modalities, tasks)
        if row.reaction not in plans:
            plans[row.reaction] = session.plan(checked)
        return _Prospect(row, space.modalities, tasks, plans[row.reaction])
    except StoreError:
        raise
    except MolspaceError as error:  # what cannot even be planned, the lab does not have
        return _Prospect(row, space.modalities, lack=_lack(error))


def _absent(space: Space, names: Sequence[str]) -> Missing:
    alone = isinstance(space, Leaf)
    return Missing(
        "not in this lab" if alone else f"{', '.join(names)} not in this lab",
        fix="its published head: molspace import cmcr|exmcr FILE, then molspace eval --space BUNDLE"
        if set(names) & {"C_MCR", "Ex_MCR", "C-MCR", "Ex-MCR"}
        else f'a lab file names spaces: [spaces.{names[0]}] with uri = "..."',
    )


def _measure_row(
    session: Session, prospect: _Prospect, started: Callable[[SpaceRow], None]
) -> MeasuredRow:
    row, tasks = prospect.row, prospect.tasks
    if prospect.lack or not tasks:
        return MeasuredRow(row, prospect.modalities, {}, prospect.lack)
    started(row)
    try:
        target = session.target(prospect.plan or row.reaction)
        results = session.evaluate(target, tasks, row.adjustment)
    except MissingError as error:  # weights are looked for when they are first needed
        return MeasuredRow(row, prospect.modalities, {}, _lack(error))
    records = {task.name: result.record for task, result in zip(tasks, results, strict=True)}
    return MeasuredRow(row, prospect.modalities, records)


def _lack(error: MolspaceError) -> Missing:
    # Every tuned row of the paper lacks the same: one wording for all.
    fix = "" if isinstance(error, NotSupportedYet) else error.fix
    return Missing(error.what, error.why, fix)


def _factors(given: Mapping[str, Factors]) -> list[float] | None:
    factors = given.get("")
    return [float(value) for value in factors] if isinstance(factors, tuple) else None


def _notes(table: PaperTable, session: Session, lab: str) -> tuple[str, ...]:
    """Say what keeps ours from being the paper's figure, as far as it is known beforehand."""
    notes = []
    if re.search(r"(?<!\w)mini(?!\w)", lab):
        notes.append(
            "lab: mini is a rehearsal: miniature encoders in a procedural world. Its figures "
            "cannot be compared with the paper's."
        )
    notes += [f"{line}." for line in SETTINGS]
    published = PAPER_SETTINGS.to_json()
    own = [
        f"{name} {'by rows' if value is None else value} ({published[name]})"
        for name, value in session.lab.settings.to_json().items()
        if name != "shard_rows" and value != published[name]
    ]
    if own:
        notes.append(f"settings other than the paper's (in brackets): {', '.join(own)}.")
    if table.number == 4:
        notes.append(
            "ours is the mean of both directions' R@k; the paper does not say which direction "
            "its figures are. Both directions: --json."
        )
    if "esc50" in table.tasks:
        notes.append(
            "ESC-50: all 2,000 clips. The paper's Table 1 says 400 samples, but its scores are "
            "multiples of 1/2000."
        )
        if not session.lab.world_tasks and {"CLAP_g", "CLAP_m"} & set(
            session.lab.catalogue.names()
        ):
            notes.append(
                "CLAP hears a clip of 5 s twice in its 10 s; laion_clap does so only where "
                "resampling does not round the clip up (at 44.1 kHz it does: once, then silence)."
            )
    if "imagenet" in table.tasks:
        notes.append("ImageNet: the paper does not name its prompt templates; these are ours.")
    return tuple(notes)
