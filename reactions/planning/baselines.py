"""Rows of what trains nothing, beside a reaction's scores, as plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from reactions.core.errors import MolspaceError
from reactions.core.step import Step
from reactions.core.types import Fusion, Leaf, Modality, Space, Tuned, leaves
from reactions.eval.baselines import (
    BEST_PART,
    CENTRED_SUM,
    PROCRUSTES,
    SUM,
    NoScore,
)
from reactions.eval.metrics import Ties
from reactions.eval.task import Task
from reactions.labs.lab import Lab
from reactions.planning.plan import Plan, joined
from reactions.planning.planner import Planner
from reactions.planning.scoring import leaf_rows, plan_score, score_plan, task_rows
from reactions.products.shares import cosine_weights, leaves_of_both
from reactions.products.target import Target
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    fit_adjustment,
    learned_nodes,
    tuned_nodes,
)
from reactions.steps.score import ScoreTask
from reactions.steps.score_sum import ScoreSum

Means: TypeAlias = Mapping[str, Mapping[Modality, Step]]


@dataclass(frozen=True, slots=True)
class PlannedBaseline:
    """A row, planned for one task.

    Attributes:
        name: one of ``BASELINES``.
        task: which.
        choices: what is scored, each with its plan; the best of them is the row.
        lacks: why there is none.
    """

    name: str
    task: Task
    choices: tuple[tuple[Target, Plan], ...] = ()
    lacks: NoScore | None = None

    @property
    def plan(self) -> Plan:
        """All that the row needs."""
        return joined([plan for _, plan in self.choices])

    def unless(self, missing: NoScore | None) -> PlannedBaseline:
        """Return the row, or that it is lacking."""
        return self if missing is None else replace(self, choices=(), lacks=missing)


def plan_baselines(
    lab: Lab,
    target: Target,
    tasks: Sequence[Task],
    adjustment: Adjustment = NO_ADJUSTMENT,
    ties: Ties = "strict",
) -> list[PlannedBaseline]:
    """Plan the training-free rows of a product, row by row, in the order of tasks.

    Args:
        lab: corpora and data of tasks.
        target: a product; a space by itself has no such rows.
        tasks: which, all of which the product can do.
        adjustment: factors and experts, which decide the weights of sums.
        ties: as for the product.
    """
    if isinstance(target.space, Leaf):
        return []
    rows = _Rows(lab, target, fit_adjustment(target.space, adjustment), ties)
    return [row for task in tasks for row in rows.of(task)]


class _Rows:
    """Plans the rows of one product."""

    def __init__(self, lab: Lab, target: Target, adjustment: Adjustment, ties: Ties) -> None:
        self.target, self.adjustment, self.ties = target, adjustment, ties
        self.planner = Planner(lab, target.towers)
        self.solved = _solved(lab, target.space)

    def of(self, task: Task) -> list[PlannedBaseline]:
        """Return the rows of one task."""
        return [
            self._best_part(task),
            self._sum(task),
            self._centred_sum(task),
            self._procrustes(task),
        ]

    def _best_part(self, task: Task) -> PlannedBaseline:
        able = leaves_of_both(self.target.space, task.query, task.other, self.adjustment)
        targets = [
            Target(leaf.label, Leaf(replace(leaf.spec, centre=False)), self.target.lab)
            for leaf in able
        ]
        if not targets:
            return PlannedBaseline(BEST_PART, task, lacks=_no_part(task))
        choices = tuple(
            (
                part,
                plan_score(
                    *(self.planner, part, task, NO_ADJUSTMENT, self.ties), beside=self.target.space
                ).plan,
            )
            for part in targets
        )
        return PlannedBaseline(BEST_PART, task, choices)

    def _sum(self, task: Task, name: str = SUM, means: Means | None = None) -> PlannedBaseline:
        weights = cosine_weights(self.target.space, task.query, task.other, self.adjustment)
        if not weights:
            able = leaves_of_both(self.target.space, task.query, task.other, self.adjustment)
            no_share = NoScore(
                f"no part has a share in both {task.query} and {task.other} at these factors",
                "--sigma and --lambda change them",
            )
            return PlannedBaseline(name, task, lacks=no_share if able else _no_part(task))
        rows = task_rows(self.planner, task, self.target.space)
        taken_off: dict[str, dict[Modality, Step]] = {}
        if means is not None:
            for leaf in weights:
                for modality in dict.fromkeys((task.query, task.other)):
                    if modality not in means.get(leaf.label, {}):
                        lacks = NoScore(f"{leaf.label} has no {modality} training rows in this lab")
                        return PlannedBaseline(name, task, lacks=lacks)
                    taken_off.setdefault(leaf.label, {})[modality] = means[leaf.label][modality]
        step = ScoreSum(
            name=f"{name}, {' + '.join(leaf.label for leaf in weights)},",
            task=task,
            data=rows.data,
            ties=self.ties,
            embedded={
                f"{corpus_name}/{leaf.label}": self.planner.encode(leaf, corpus)
                for corpus_name, corpus in rows.corpora.items()
                for leaf in weights
            },
            weights=weights,
            means=taken_off,
        )
        target = Target(name, self.target.space, self.target.lab)
        return PlannedBaseline(name, task, ((target, score_plan(target, rows, step)),))

    def _centred_sum(self, task: Task) -> PlannedBaseline:
        if isinstance(self.solved, NoScore):
            return PlannedBaseline(CENTRED_SUM, task, lacks=self.solved)
        return self._sum(task, CENTRED_SUM, self.solved.means)

    def _procrustes(self, task: Task) -> PlannedBaseline:
        if isinstance(self.solved, NoScore):
            return PlannedBaseline(PROCRUSTES, task, lacks=self.solved)
        space = self.solved.space
        try:
            adjustment = fit_adjustment(space, self.adjustment)
        except MolspaceError as error:  # it names what is tuned, which is not in this one
            return PlannedBaseline(PROCRUSTES, task, lacks=NoScore.of(error))
        target = Target(PROCRUSTES, space, self.target.lab)
        rows = task_rows(self.planner, task, self.target.space)
        step = ScoreTask(
            name=PROCRUSTES,
            task=task,
            data=rows.data,
            ties=self.ties,
            scored=space,
            embedded=leaf_rows(self.planner, space, rows, adjustment),
            trained=None,
            heads=self.solved.heads,
            means={
                leaf.label: self.solved.means[leaf.label]
                for leaf in leaves(space)
                if leaf.spec.centre
            },
            adjustment=adjustment,
        )
        return PlannedBaseline(PROCRUSTES, task, ((target, score_plan(target, rows, step)),))


@dataclass(frozen=True, slots=True)
class SolvedReaction:
    """A reaction whose projectors are all orthogonal maps, planned.

    Attributes:
        space: the product.
        heads: what makes its maps, as ``Planner.heads`` gives them.
        means: of the training rows, by leaf and modality, of every leaf whether it is centred.
    """

    space: Fusion
    heads: Sequence[Mapping[str, Step]]
    means: Means


def _solved(lab: Lab, space: Space) -> SolvedReaction | NoScore:
    """Plan a product by ``recipe=procrustes``, or say why the lab cannot make it."""
    reaction = with_recipe(space, "procrustes")
    if not isinstance(reaction, Fusion):
        kinds = (("Ft", tuned_nodes(space)), ("Lcl", learned_nodes(space)))
        trained = " and ".join(name for name, nodes in kinds if any(True for _ in nodes))
        without = (
            f"without its {trained} it is {reaction.label}"
            if trained
            else f"it is {reaction.label}"
        )
        return NoScore(f"{without} alone, which joins no spaces")
    planner = Planner(lab)
    try:
        heads = planner.heads(reaction)
        means = {
            leaf.label: {
                modality: planner.mean(leaf, modality)
                for modality in leaf.modalities
                if planner.averages(leaf, modality)
            }
            for leaf in leaves(reaction)
        }
    except MolspaceError as error:
        return NoScore.of(error)
    return SolvedReaction(reaction, heads, means)


def with_recipe(space: Space, recipe: str) -> Space:
    """Return a product whose projectors are all made by one recipe, without what tunes it."""
    if isinstance(space, Tuned):
        return with_recipe(space.base, recipe)
    if isinstance(space, Leaf):
        return space
    experts = tuple(
        replace(expert, space=with_recipe(expert.space, recipe), recipe=recipe)
        for expert in space.experts
    )
    return replace(space, base=with_recipe(space.base, recipe), experts=experts)


def _no_part(task: Task) -> NoScore:
    return NoScore(f"no part embeds both {task.query} and {task.other}")
