"""The paper's tables on a lab: what it measures beside the paper's figures, and what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reactions.core.errors import (
    DataError,
    MissingError,
    MolspaceError,
    StoreError,
    UsageError,
)
from reactions.core.types import Leaf, Space, leaves
from reactions.dsl import check, parse
from reactions.eval.baselines import beaten
from reactions.eval.registry import get_task
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData
from reactions.experiments.measured import Lack, MeasuredRow, MeasuredTable, TaskItems
from reactions.experiments.notes import notes_of, tuning_notes
from reactions.experiments.paper.spaces import FACTORS, PUBLISHED
from reactions.experiments.paper.table import PaperTable, SpaceRow, rows_called
from reactions.planning.plan import Plan, ReactionPlan, joined
from reactions.products.bundles.bundle import load_bundle
from reactions.products.target import Target
from reactions.products.tree import fit_adjustment
from reactions.run.events import RowStarted
from reactions.session import Session
from reactions.weights.locate import NamedWeights

MCR = {"C_MCR": "cmcr", "Ex_MCR": "exmcr"}
"""Spaces of the paper that are imported heads, with what imports them."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """A row before anything runs: what it lacks, or what it trains and is scored on."""

    row: SpaceRow
    modalities: tuple[str, ...]
    tasks: tuple[Task, ...] = ()
    plan: ReactionPlan | None = None
    lack: Lack | None = None
    bundle: Target | None = None

    @property
    def can_run(self) -> bool:
        """Whether it has what it needs, and something to be scored on."""
        return self.lack is None and bool(self.tasks)


@dataclass(frozen=True)
class PreparedTable:
    """A table before anything runs.

    Attributes:
        table: the paper's.
        session: where to work, with the paper's factors.
        items: task name to what the lab has of it.
        prospects: the rows asked for, in order.
    """

    table: PaperTable
    session: Session
    items: Mapping[str, TaskItems]
    prospects: tuple[Prospect, ...]

    @property
    def plans(self) -> list[ReactionPlan]:
        """What has to be trained, each reaction once."""
        plans = {id(entry.plan): entry.plan for entry in self.prospects if entry.plan}
        return list(plans.values())

    @property
    def free_of(self) -> Prospect | None:
        """The row beside which rows of what trains nothing are to stand, if it can run."""
        prospects = (p for p in self.prospects if p.row.name == self.table.free_of and p.can_run)
        return next(prospects, None)

    def spaces(self) -> Iterator[str]:
        """Yield the names of the spaces that the rows are made of."""
        for prospect in self.prospects:
            yield from spaces_of(prospect.row)

    def measure(self, started: Callable[[SpaceRow], None] = lambda row: None) -> MeasuredTable:
        """Train and evaluate the rows, as far as the lab has what they need.

        Args:
            started: called before each row that can run.

        Raises:
            MolspaceError: a step failed, or the store cannot be used.
        """
        # Each row alone need not use all weights that were named.
        lab = replace(self.session.lab, weights=NamedWeights())
        session = replace(self.session, lab=lab)
        measured = [_measure_row(session, entry, started) for entry in self.prospects]
        if self.free_of is not None:
            started(_free(self.free_of.row, "training-free rows"))
            beside = next(row for row in measured if row.row == self.free_of.row)
            measured += _training_free(session, self.free_of, beside.records)
        label = label_of(session, (r for row in measured for r in row.records.values()))
        tuned = tuning_notes(row.record for row in measured)
        notes = (*notes_of(self.table, session, label), *tuned)
        return MeasuredTable(self.table, label, lab.seed, self.items, tuple(measured), notes)


@dataclass
class Preparation:
    """What the tables of one run have in common: plans by reaction, and bundles by row.

    Args:
        session: where to work; results are taken from its store where it has them. The factors
            are the paper's, whatever the lab's are.
        bundles: row name, as ``--rows`` takes it, to the directory of a bundle that stands for it.
    """

    session: Session
    bundles: Mapping[str, Path] = field(default_factory=dict)
    plans: dict[str, ReactionPlan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The paper's factors; how parallel experts are averaged is the lab's choice.
        factors = replace(FACTORS, mean=self.session.lab.factors.mean)
        self.session = replace(self.session, lab=replace(self.session.lab, factors=factors))

    def prepare(self, table: PaperTable, rows: Sequence[SpaceRow] | None = None) -> PreparedTable:
        """Look ahead at the rows of a table.

        What the lab lacks (a space, weights, corpora, a task's data) is reported in the result,
        and the other cells are measured all the same.

        Args:
            table: one of ``TABLES``.
            rows: which; None takes all.
        """
        session = self.session
        items = {name: items_of(session, get_task(name)) for name in table.tasks}
        bundles = self._bundles_of(table.rows)
        prospects = tuple(
            self._prospect(row, items, bundles.get(row.name))
            for row in (table.rows if rows is None else rows)
        )
        return PreparedTable(table, session, items, prospects)

    def refuse_unknown_rows(self, tables: Sequence[PaperTable]) -> None:
        """Refuse bundles for rows that none of the tables has.

        Raises:
            UsageError: a name is not a row's.
        """
        rows = [row for table in tables for row in table.rows]
        for name in self.bundles:
            rows_called(name, rows, option="--bundle")

    def _bundles_of(self, rows: Sequence[SpaceRow]) -> dict[str, Path]:
        bundles: dict[str, Path] = {}
        for name, path in self.bundles.items():
            try:
                matching = rows_called(name, rows, option="--bundle")
            except UsageError:
                continue  # it is of another table: refuse_unknown_rows has looked
            bundles |= {row.name: path for row in matching}
        return bundles

    def plan(self, reaction: str) -> ReactionPlan | None:
        """Return the training of a reaction in this lab; None for a space that is not a product.

        Raises:
            MolspaceError: it cannot be planned here.
        """
        if reaction not in self.plans:
            checked = self.session.check(reaction)
            if isinstance(checked.space, Leaf):
                return None
            self.plans[reaction] = self.session.plan(checked)
        return self.plans[reaction]

    def _prospect(
        self, row: SpaceRow, items: Mapping[str, TaskItems], bundle: Path | None
    ) -> Prospect:
        space = _published(row)
        try:
            if bundle is not None:
                target = self._target(bundle)
                fit_adjustment(target.space, row.adjustment)
                tasks = _tasks_of(target.space, items)
                return Prospect(row, target.space.modalities, tasks, bundle=target)
            if lack := lack_of_spaces(self.session, row):
                return Prospect(row, space.modalities, lack=lack)
            space = self.session.check(row.reaction).space
            tasks = _tasks_of(space, items)
            if not tasks:  # then nothing is trained either
                return Prospect(row, space.modalities)
            return Prospect(row, space.modalities, tasks, self.plan(row.reaction))
        except StoreError:
            raise
        except MolspaceError as error:  # what cannot even be planned, the lab does not have
            if bundle is not None:  # a person named it
                raise
            return Prospect(row, space.modalities, lack=lack_of(error))

    def _target(self, bundle: Path) -> Target:
        """Open a bundle, with those of the weights that were named which it uses."""
        lab = self.session.lab
        names = {leaf.label for leaf in leaves(load_bundle(bundle).space)}
        weights = NamedWeights({name: lab.weights[name] for name in lab.weights if name in names})
        return replace(self.session, lab=replace(lab, weights=weights)).target(bundle)


def measure(
    table: PaperTable,
    session: Session,
    rows: Sequence[SpaceRow] | None = None,
    *,
    bundles: Mapping[str, Path] | None = None,
    confirm: Callable[[Plan], None] = lambda plan: None,
    started: Callable[[SpaceRow], None] = lambda row: None,
) -> MeasuredTable:
    """Train and evaluate the rows of a table; see ``Preparation`` and ``PreparedTable``.

    Args:
        table: one of ``TABLES``.
        session: where to work.
        rows: which rows; None takes all.
        bundles: row name to the directory of a bundle that stands for it.
        confirm: called once with all that is to be trained, before anything runs.
        started: called before each row that can run.

    Raises:
        UsageError: a bundle is named for a row that the table does not have.
        MolspaceError: a step failed, or the store cannot be used.
    """
    preparation = Preparation(session, bundles or {})
    preparation.refuse_unknown_rows([table])
    prepared = preparation.prepare(table, rows)
    confirm(joined(prepared.plans))
    session.lab.refuse_unused_weights(prepared.spaces())
    return prepared.measure(started)


def label_of(session: Session, records: Iterator[Mapping[str, object]]) -> str:
    """Return the label of the lab, with any that the spaces of results bring along."""
    labels = [session.lab.label, *(str(record["lab"]) for record in records)]
    return ", ".join(dict.fromkeys(part for label in labels for part in label.split(", ")))


def _tasks_of(space: Space, items: Mapping[str, TaskItems]) -> tuple[Task, ...]:
    return tuple(
        entry.task
        for entry in items.values()
        if entry.lack is None and {entry.task.query, entry.task.other} <= set(space.modalities)
    )


def spaces_of(row: SpaceRow) -> Iterator[str]:
    """Yield the names of the spaces that a row is made of."""
    for leaf in leaves(_published(row)):
        yield leaf.label


def _published(row: SpaceRow) -> Space:
    """Return a row's space as the paper has it, whatever the lab has."""
    return check(parse(row.reaction), PUBLISHED, factors=FACTORS).space


def items_of(session: Session, task: Task) -> TaskItems:
    """Return what a lab has of a task, or why it has nothing."""
    try:
        data = session.lab.benchmark(task.name)
    except (MissingError, DataError) as error:
        return TaskItems(task, 0, task.expected, lack_of(error))
    return TaskItems(task, _size(data), data.expected)


def _size(data: BenchmarkData) -> int:
    return len(data.left if isinstance(data, RetrievalData) else data.queries)


def lack_of_spaces(session: Session, row: SpaceRow) -> Lack | None:
    """Return which spaces of a row the lab does not have; None if it has them all."""
    space = _published(row)
    names = [leaf.label for leaf in leaves(space)]
    absent = [name for name in names if name not in session.lab.catalogue]
    return _absent(space, absent) if absent else None


def _absent(space: Space, names: Sequence[str]) -> Lack:
    what = f"{', '.join(names)} not in this lab"
    if not isinstance(space, Leaf):
        return Lack(what, fix=_named_space(names[0]))
    if space.label in MCR:
        row = space.label.replace("_", "-")
        importing = f"molspace import {MCR[space.label]} FILE"
        return Lack(
            "its published head is not imported",
            fix=f'{importing}   then   --bundle "{row}=DIR" with the path that it prints',
        )
    return Lack("not in this lab", fix=_named_space(space.label))


def _named_space(name: str) -> str:
    return f'a lab file names spaces: [spaces.{name}] with uri = "..."'


def _measure_row(
    session: Session, prospect: Prospect, started: Callable[[SpaceRow], None]
) -> MeasuredRow:
    row, tasks = prospect.row, prospect.tasks
    if not prospect.can_run:
        return MeasuredRow(row, prospect.modalities, {}, prospect.lack)
    started(row)
    session.events(RowStarted(row.name))
    notices = () if prospect.plan is None else prospect.plan.notices
    try:
        target = prospect.bundle or session.target(prospect.plan or row.reaction)
        results = session.evaluate(target, tasks, row.adjustment)
    except MissingError as error:  # weights are looked for when they are first needed
        return MeasuredRow(row, prospect.modalities, {}, lack_of(error))
    records = {task.name: result.record for task, result in zip(tasks, results, strict=True)}
    bundle = str(target.bundle.path) if prospect.bundle and target.bundle else ""
    bundle_record = target.bundle.record if target.bundle else {}
    return MeasuredRow(
        row, prospect.modalities, records, None, notices, bundle, record=bundle_record
    )


def _free(row: SpaceRow, name: str) -> SpaceRow:
    """Return the row of what trains nothing with the parts of another row's space."""
    return SpaceRow(name, f"Training-free, of the parts of {row.name}", row.reaction)


def _training_free(
    session: Session, prospect: Prospect, records: Mapping[str, Mapping[str, Any]]
) -> Iterator[MeasuredRow]:
    """Score what trains nothing, to stand beside a row with these records."""
    row, tasks = prospect.row, prospect.tasks
    try:
        target = prospect.bundle or session.target(prospect.plan or row.reaction)
        baselines = session.baselines(target, tasks, row.adjustment)
    except MissingError as error:  # as for the row itself
        yield MeasuredRow(_free(row, "training-free"), prospect.modalities, {}, lack_of(error))
        return
    for baseline in baselines:
        higher = (
            f"{task.title}, beside {row.name}: {sentence}"
            for task in tasks
            if task.name in records and (sentence := beaten(records[task.name], [baseline]))
        )
        yield MeasuredRow(
            _free(row, baseline.name),
            prospect.modalities,
            {name: result.record for name, result in baseline.results.items()},
            notices=tuple(higher),
            headings={task.name: baseline.heading(task.name) for task in tasks},
            reasons={name: missing.reason for name, missing in baseline.lacks.items()},
        )


def lack_of(error: MolspaceError) -> Lack:
    """Return why something is not there."""
    return Lack(error.what, error.why, error.fix)
