"""UniBind's tables on a lab: what it measures beside what may be cited, and what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from reactions.centres import evaluate_centres
from reactions.core.centre_options import DEFAULT_CENTRES, CentreOptions
from reactions.core.errors import DataError, MissingError, UsageError
from reactions.dsl.values import quoted
from reactions.eval.class_texts import CLIP_TEMPLATE
from reactions.eval.registry import get_task
from reactions.eval.result import Result
from reactions.eval.task import Hit, Task
from reactions.experiments.measured import Lack, TaskItems
from reactions.experiments.paper.unibind import (
    NOT_CITABLE,
    RETRIEVAL,
    RETRIEVAL_HIT,
    RETRIEVAL_TASK,
    ZERO_SHOT_TASKS,
    CitedAccuracy,
    RetrievalRow,
    cited,
)
from reactions.experiments.reproduce import items_of, lack_of
from reactions.planning.centres import CentreSource, ClassCentres, open_source
from reactions.planning.plan import Plan
from reactions.products.target import Target
from reactions.session import Session

BACKBONE = "PointBind"
"""UniBind's backbone: ImageBind with points. Source: UniBind, supplement, table 1."""

SPACES = {"E-CLIP": "EventBind", "PointBind (+Event)": BACKBONE}
"""The supplement's models, and the spaces of a lab that stand for them."""

KNOWLEDGE = "kb"
"""The knowledge base that is taken unless another one is named."""

PRESET = "N-cal"
"""Of the published rows with LCL. Source: UniBind, supplement, table 1."""

E_CLIP = (
    "E-CLIP is not a space (its texts depend on the batch, and there is a checkpoint for each data "
    "set): a space of events and images of yours, named EventBind, stands for it"
)

Confirm = Callable[[Plan], None]


# --- retrieval ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """A row of the supplement's table 2.

    Attributes:
        published: the row.
        reaction: what was measured.
        figures: metric to R@k in per cent; empty without a measurement.
        record: the score's.
        lack: why there is none.
    """

    published: RetrievalRow
    reaction: str
    figures: Mapping[str, float] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    lack: Lack | None = None

    @property
    def name(self) -> str:
        """As printed."""
        return self.published.model + (" w LCL" if self.published.tuned else "")

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "model": self.name,
            "reaction": self.reaction,
            "ours": dict(self.figures),
            "paper": dict(self.published.figures),
            "lack": self.lack and asdict(self.lack),
            "result": dict(self.record),
        }


@dataclass(frozen=True)
class RetrievalTable:
    """Retrieval between recordings of events and pictures.

    Attributes:
        lab: label of the lab.
        seed: the lab's.
        task: with what counts as a hit.
        items: what the lab has of it.
        rows: in the supplement's order.
        notes: how the figures must be read.
    """

    lab: str
    seed: int
    task: Task
    items: TaskItems
    rows: tuple[RetrievalResult, ...]
    notes: tuple[str, ...]

    @property
    def n_measured(self) -> int:
        """Rows with figures of the lab."""
        return sum(bool(row.figures) for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "title": "UniBind, supplement, table 2",
            "lab": self.lab,
            "seed": self.seed,
            "measured": self.n_measured,
            "hit": self.task.hit,
            "tasks": [self.items.to_json()],
            "rows": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
        }


def measure_retrieval(
    session: Session,
    *,
    knowledge: str = KNOWLEDGE,
    hit: Hit = "class",
    confirm: Confirm = lambda plan: None,
    started: Callable[[str], None] = lambda name: None,
) -> RetrievalTable:
    """Measure the supplement's table 2.

    Args:
        session: where to work.
        knowledge: name of the lab's knowledge base that LCL is trained on.
        hit: what counts as found.
        confirm: called with what is to be trained, before it runs.
        started: called with each row that is measured.

    Raises:
        UsageError: the lab has other knowledge bases.
        MolspaceError: a step failed, or the store cannot be used.
    """
    _source(session, knowledge)
    task = replace(get_task(RETRIEVAL_TASK), hit=hit)
    items = items_of(session, task)
    rows = []
    for published in RETRIEVAL:
        space = SPACES[published.model]
        learned = f" + Lcl({quoted(knowledge)}, preset={quoted(PRESET)})" if published.tuned else ""
        row = RetrievalResult(published, f"{space}{learned}")
        lack = items.lack or _missing_space(session, space)
        if lack is None:
            row, lack = _retrieved(session, row, task, confirm, started)
        rows.append(row if lack is None else replace(row, lack=lack))
    lab = session.lab
    hit_note = f"hits by {hit}: {RETRIEVAL_HIT}." if hit == "class" else _BY_PAIR
    notes = (hit_note, _AS_PUBLISHED)
    return RetrievalTable(lab.label, lab.seed, task, items, tuple(rows), notes)


_BY_PAIR = (
    "hits by pair: only the query's own partner counts. The published figures are very probably "
    "by class: --hit class."
)


_AS_PUBLISHED = (
    f"w LCL: the published batch, rate and epochs ({PRESET}), on what the knowledge base "
    "describes. With few items these are few small steps from a random layer, which can cost far "
    "more than it gains; Lcl without a preset is what we would choose."
)


def _retrieved(
    session: Session,
    row: RetrievalResult,
    task: Task,
    confirm: Confirm,
    started: Callable[[str], None],
) -> tuple[RetrievalResult, Lack | None]:
    """Measure a row, or return why it cannot be."""
    try:
        checked = session.check(row.reaction)
        if lack := _unfit(checked.space.modalities, checked.space.label, task):
            return row, lack
        started(row.name)
        target = session.target(row.reaction, confirm=confirm)
        (result,) = session.evaluate(target, [task])
    except (MissingError, UsageError, DataError) as error:
        return row, lack_of(error)
    figures = {name: float(result.record["metrics"][name]) for name in row.published.figures}
    return replace(row, figures=figures, record=result.record), None


# --- recognition -------------------------------------------------------------------------

ZERO_SHOT_WAYS: Mapping[str, CentreOptions | None] = {
    "template": None,
    "centres": DEFAULT_CENTRES,
    "nearest row": CentreOptions(rule="nearest-row"),
}
"""One prompt of CLIP's, the 50 most central descriptions and their mean, and the released rule."""


@dataclass(frozen=True, slots=True)
class ZeroShotResult:
    """One of the thirteen sets.

    Attributes:
        items: what the lab has of it.
        records: way to the score's record.
        lacks: way to why there is none.
        cited: what may be cited.
    """

    items: TaskItems
    records: Mapping[str, Mapping[str, Any]]
    lacks: Mapping[str, Lack]
    cited: tuple[CitedAccuracy, ...]

    @property
    def figures(self) -> dict[str, float]:
        """Way to accuracy in per cent."""
        main = self.items.task.main_score
        return {way: float(record["metrics"][main]) for way, record in self.records.items()}

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **self.items.to_json(),
            "ours": self.figures,
            "lacks": {way: asdict(lack) for way, lack in self.lacks.items()},
            "results": {way: dict(record) for way, record in self.records.items()},
            "paper": None,
            "cited": [asdict(entry) for entry in self.cited],
        }


@dataclass(frozen=True)
class ZeroShotTable:
    """Recognition on the thirteen sets; zero-shot, unless a record says otherwise.

    Attributes:
        lab: label of the lab.
        seed: the lab's.
        space: what was measured.
        rows: in the supplement's order.
        notes: how the figures must be read.
    """

    lab: str
    seed: int
    space: str
    rows: tuple[ZeroShotResult, ...]
    notes: tuple[str, ...] = (f"{NOT_CITABLE}.",)

    @property
    def n_measured(self) -> int:
        """Figures of the lab."""
        return sum(len(row.records) for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        return {
            "title": "recognition",
            "lab": self.lab,
            "seed": self.seed,
            "space": self.space,
            "measured": self.n_measured,
            "rows": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
        }


def measure_zero_shot(
    session: Session,
    *,
    space: str = BACKBONE,
    knowledge: str = KNOWLEDGE,
    confirm: Confirm = lambda plan: None,
    started: Callable[[str], None] = lambda name: None,
) -> ZeroShotTable:
    """Measure zero-shot recognition on the thirteen sets, by a template and by centres.

    Args:
        session: where to work.
        space: a space, a reaction or a bundle.
        knowledge: the knowledge base, or file, of the centres.
        confirm: called with what is to be run, before it runs.
        started: called with the title of each set that is measured.

    Raises:
        UsageError: the lab has other knowledge bases.
        MolspaceError: there is no such space, a step failed, or the store cannot be used.
    """
    source = _source(session, knowledge)
    lack = _missing_space(session, space) if space == BACKBONE else None
    target = None if lack else session.target(space, confirm=confirm)
    rows = []
    for task in map(get_task, ZERO_SHOT_TASKS):
        items = items_of(session, task)
        absent = lack or items.lack or (target and _unfit(target.space.modalities, space, task))
        if target is None or absent:
            lacks = {way: absent for way in ZERO_SHOT_WAYS if absent}
            rows.append(ZeroShotResult(items, {}, lacks, cited(task.name)))
            continue
        started(task.title)
        rows.append(_recognised(session, target, items, source, confirm))
    label = session.label(target) if target else session.lab.label
    return ZeroShotTable(label, session.lab.seed, space, tuple(rows))


def _recognised(
    session: Session,
    target: Target,
    items: TaskItems,
    source: CentreSource | Lack,
    confirm: Confirm,
) -> ZeroShotResult:
    """Measure a set each way, and say why a way has no figure."""
    task = items.task
    records: dict[str, Mapping[str, Any]] = {}
    lacks: dict[str, Lack] = {}
    for way, options in ZERO_SHOT_WAYS.items():
        try:
            if options is None:
                result = _by_template(session, target, task, confirm)
            elif isinstance(source, Lack):
                lacks[way] = source
                continue
            else:
                centres = ClassCentres(source, options)
                (result,) = evaluate_centres(session, target, [task], centres, confirm=confirm)
        except (MissingError, UsageError, DataError) as error:
            lacks[way] = lack_of(error)
            continue
        records[way] = result.record
    return ZeroShotResult(items, records, lacks, cited(task.name))


def _by_template(session: Session, target: Target, task: Task, confirm: Confirm) -> Result:
    """Score a set by CLIP's template, whatever the task's own prompts are."""
    with_template = replace(task, templates=(CLIP_TEMPLATE,))
    (result,) = session.evaluate(target, [with_template], confirm=confirm)
    return result


def _source(session: Session, knowledge: str) -> CentreSource | Lack:
    """Return what describes classes; a lab that has no knowledge base at all lacks it.

    Raises:
        UsageError: the lab has others.
        DataError: it cannot be read.
    """
    try:
        return open_source(session.lab, knowledge)
    except (MissingError, UsageError) as error:
        if session.lab.knowledge_bases or knowledge != KNOWLEDGE:
            raise
        return lack_of(error)


# --- what both lack ----------------------------------------------------------------------


def _missing_space(session: Session, space: str) -> Lack | None:
    if space in session.lab.catalogue:
        return None
    why = E_CLIP if space == SPACES["E-CLIP"] else ""
    return Lack(
        f"{space} is not in this lab",
        why,
        f'a lab file names it: [spaces.{space}] with uri = "..."',
    )


def _unfit(modalities: Sequence[str], label: str, task: Task) -> Lack | None:
    missing = [m for m in (task.query, task.other) if m not in modalities]
    return Lack(f"{label} embeds no {' and no '.join(missing)}") if missing else None
