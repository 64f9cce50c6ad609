"""Evaluations as plans: what a target needs to be scored on tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reactions.core.errors import MissingError
from reactions.core.step import Step
from reactions.eval.metrics import Ties
from reactions.eval.protocol import corpora
from reactions.eval.task import Task
from reactions.labs.lab import Lab
from reactions.planning.plan import Plan, joined
from reactions.planning.planner import Planner
from reactions.products.refusals import refuse_unsupported
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, fit_adjustment, needed_leaves
from reactions.steps.score import ScoreTask


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
) -> list[Scoring]:
    """Plan the evaluation of a target on tasks, in order.

    Raises:
        MissingError: the lab has no data for a task, or the target lacks a modality.
        MolspaceError: the target cannot be evaluated, or the factors do not fit it.
    """
    refuse_unsupported(target.space)
    adjustment = fit_adjustment(target.space, adjustment)
    planner = Planner(lab)
    return [_plan(planner, target, task, adjustment, ties) for task in tasks]


def whole(scorings: Sequence[Scoring]) -> Plan:
    """Return one plan for several tasks."""
    return joined([scoring.plan for scoring in scorings])


def _plan(
    planner: Planner, target: Target, task: Task, adjustment: Adjustment, ties: Ties
) -> Scoring:
    for modality in (task.query, task.other):
        if modality not in target.space.modalities:
            raise MissingError(
                f"task '{task.name}' needs {modality}, which this space does not embed",
                why=f"{target.name} embeds {', '.join(target.space.modalities)}",
                fix="choose a task or a space that fit; --task all leaves out what does not",
            )
    data = planner.lab.benchmark(task.name)
    held = corpora(task, data)
    embedded = {
        f"{name}/{leaf.label}": planner.encode(leaf, corpus)
        for name, corpus in held.items()
        for leaf in needed_leaves(target.space, corpus.modality, adjustment)
    }
    step = ScoreTask(
        name=target.name,
        task=task,
        data=data,
        ties=ties,
        scored=target.space,
        embedded=embedded,
        trained=target.trained,
        adjustment=adjustment,
    )
    notices = target.notices + tuple(
        f"{task.name}: {notice}"
        for corpus in held.values()
        for notice in getattr(corpus, "notices", ())
    )
    n = len(next(iter(held.values())))
    return Scoring(task, Plan((step,), notices, ((task.name, n, data.expected or n),)))
