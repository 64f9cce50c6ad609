"""Evaluations as plans: what a target needs to be scored on tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reactions.core.errors import MissingError
from reactions.core.step import Step
from reactions.core.types import Corpus, Modality, Space
from reactions.eval.contributions import check_folds
from reactions.eval.metrics import Ties
from reactions.eval.protocol import corpora
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, MultilabelData
from reactions.labs.lab import Lab
from reactions.planning.named_rows import check_named_classes, task_data
from reactions.planning.plan import Plan, joined
from reactions.planning.planner import Planner
from reactions.planning.seen_rows import seen_notes
from reactions.products.acting import reachable_leaves
from reactions.products.target import Target
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    fit_adjustment,
    needed_leaves,
    raw_leaves,
)
from reactions.steps.score import ScoreTask
from reactions.steps.sweep import CellCorpus, SweepTask

_FITTING = "choose a task or a space that fit; --task all leaves out what does not"


@dataclass(frozen=True, slots=True)
class Scoring:
    """One task, planned.

    Attributes:
        task: which.
        plan: its one target step scores; notices say what its data leave out.
    """

    task: Task
    plan: Plan

    @property
    def step(self) -> Step:
        """The step that scores."""
        return self.plan.targets[0]


def plan_scores(
    lab: Lab,
    target: Target,
    tasks: Sequence[Task],
    adjustment: Adjustment = NO_ADJUSTMENT,
    ties: Ties = "strict",
    *,
    further: bool = False,
) -> list[Scoring]:
    """Plan the evaluation of a target on tasks, in order.

    With ``further``, scores have the field's other metrics, too (``eval.further_metrics``).

    Raises:
        MissingError: the lab has no data for a task, or the target lacks a modality.
        MolspaceError: the target cannot be evaluated, or the factors do not fit it.
    """
    adjustment = fit_adjustment(target.space, adjustment)
    planner = Planner(lab, target.towers)
    return [plan_score(planner, target, task, adjustment, ties, further=further) for task in tasks]


def plan_sweep(
    lab: Lab,
    target: Target,
    task: Task,
    adjustments: Sequence[Adjustment],
    ties: Ties = "strict",
    folds: int = 0,
) -> Scoring:
    """Plan the evaluation of a target on one task at many settings.

    Args:
        lab: where the task's data are.
        target: what is scored.
        task: which.
        adjustments: fitted to the target's space; a row of the step each.
        ties: as for ``plan_scores``.
        folds: random parts of the items, to be scored each; 0 for none.

    Raises:
        MissingError: the lab has no data for the task, or the target lacks a modality.
        DataError: its data are too few for the folds.
        MolspaceError: the target cannot be evaluated.
    """
    check_modalities(target, task)
    planner = Planner(lab, target.towers)
    rows = task_rows(planner, task, target.space)
    check_folds(task, rows.data, folds)
    raw = raw_leaves(target.space)
    embedded = {
        f"{name}/{leaf.label}": planner.encode(leaf, corpus, raw=leaf in raw)
        for name, corpus in rows.corpora.items()
        for leaf in reachable_leaves(target.space, corpus.modality)
    }
    step = SweepTask(
        name=target.name,
        task=task,
        data=rows.data,
        ties=ties,
        scored=target.space,
        embedded=embedded,
        trained=target.trained,
        cells=CellCorpus(target.space, adjustments),
        folds=folds,
    )
    return Scoring(task, score_plan(target, with_seen(planner.lab, target, rows), step))


def check_modalities(target: Target, task: Task) -> None:
    """Refuse a task of which a target does not embed both sides.

    Raises:
        MissingError: it lacks a modality.
    """
    for modality in (task.query, task.other):
        check_embeds(target, modality, f"task '{task.name}'")


def check_embeds(target: Target, modality: Modality, what: str, fix: str = _FITTING) -> None:
    """Refuse a target that does not embed a modality.

    Args:
        target: to score.
        modality: that it has to embed.
        what: needs it, for the error.
        fix: what helps.

    Raises:
        MissingError: it does not.
    """
    if modality not in target.space.modalities:
        raise MissingError(
            f"{what} needs {modality}, which this space does not embed",
            why=f"{target.name} embeds {', '.join(target.space.modalities)}",
            fix=fix,
        )


def whole(scorings: Sequence[Scoring]) -> Plan:
    """Return one plan for several tasks."""
    return joined([scoring.plan for scoring in scorings])


def plan_score(
    planner: Planner,
    target: Target,
    task: Task,
    adjustment: Adjustment,
    ties: Ties,
    *,
    further: bool = False,
    beside: Space | None = None,
) -> Scoring:
    """Plan the evaluation of a target on one task.

    Args:
        planner: of the lab.
        target: what is scored.
        task: which.
        adjustment: from ``fit_adjustment``.
        ties: whether they count against the target or for it.
        further: whether to compute the field's other metrics, too.
        beside: the space that it stands beside, whose items are scored; itself by default.

    Raises:
        MissingError: the lab has no data for the task, or the target lacks a modality.
    """
    check_modalities(target, task)
    rows = task_rows(planner, task, beside or target.space)
    step = ScoreTask(
        name=target.name,
        task=task,
        data=rows.data,
        ties=ties,
        further=further,
        scored=target.space,
        embedded=leaf_rows(planner, target.space, rows, adjustment),
        trained=target.trained,
        adjustment=adjustment,
    )
    return Scoring(task, score_plan(target, with_seen(planner.lab, target, rows), step))


@dataclass(frozen=True, slots=True)
class TaskRows:
    """What a task scores.

    Attributes:
        task: which.
        data: labels and corpora.
        corpora: what is embedded, by the names of the protocol.
        notices: what of the data is left out.
    """

    task: Task
    data: BenchmarkData
    corpora: Mapping[str, Corpus]
    notices: tuple[str, ...] = ()


def task_rows(planner: Planner, task: Task, space: Space, *, prompted: bool = True) -> TaskRows:
    """Return a task's data in a planner's lab, as far as a space can embed them.

    Args:
        planner: of the lab.
        task: which.
        space: that embeds it.
        prompted: whether texts stand for its classes.

    Raises:
        MissingError: the lab has none.
        DataError: folders of embeddings lack too many of its items, or classes.
        UsageError: it has ids alone where the space embeds items themselves.
    """
    data, notices = task_data(planner.lab, task, space)
    task_corpora = corpora(task, data)
    if prompted and "prompts" in task_corpora:
        check_named_classes(planner.lab, task, data, task_corpora["prompts"], space)
    return TaskRows(task, data, task_corpora, notices)


def with_seen(lab: Lab, target: Target, rows: TaskRows) -> TaskRows:
    """Return a task's data with what is known of those that a target was trained on."""
    seen = seen_notes(lab, target, rows.task, rows.data)
    return replace(rows, notices=(*rows.notices, *seen))


def leaf_rows(
    planner: Planner, space: Space, rows: TaskRows, adjustment: Adjustment
) -> dict[str, Step]:
    """Plan a task's embeddings: ``<corpus>/<leaf>`` to step, for every leaf with a share."""
    raw = raw_leaves(space)
    return {
        f"{name}/{leaf.label}": planner.encode(leaf, corpus, raw=leaf in raw)
        for name, corpus in rows.corpora.items()
        for leaf in needed_leaves(space, corpus.modality, adjustment)
    }


def score_plan(target: Target, rows: TaskRows, step: Step) -> Plan:
    """Return the plan of one step that scores, with what its data leave out."""
    name = rows.task.name
    noticed = [rows.notices]
    noticed += [getattr(corpus, "notices", ()) for corpus in rows.corpora.values()]
    if not isinstance(rows.data, MultilabelData):
        noticed.append(rows.data.remarks)
    notices = target.notices + tuple(f"{name}: {text}" for texts in noticed for text in texts)
    n = len(next(iter(rows.corpora.values())))
    return Plan((step,), notices, ((name, n, rows.data.expected or n),))
