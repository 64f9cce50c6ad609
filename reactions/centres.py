"""Embedding centres with a session: scores by them, what stands beside, and naming items."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reactions.baselines import obstacle, run_baselines
from reactions.core.centre_options import CentreOptions
from reactions.core.types import Modality
from reactions.eval.baselines import Baseline
from reactions.eval.metrics import Ties
from reactions.eval.result import Result
from reactions.eval.task import Task
from reactions.inference.classify import Classifier
from reactions.inference.zero_shot import PromptedClasses
from reactions.labs.given_classes import GivenClasses
from reactions.modalities.text import TEXT
from reactions.planning.centre_scores import plan_centre_scores, plan_class_rows
from reactions.planning.centres import (
    ClassCentres,
    PlannedCentres,
    described_classes,
    plan_centres,
)
from reactions.planning.class_prompts import BY_PROMPTS, plan_prompts
from reactions.planning.plan import Plan
from reactions.planning.planner import Planner
from reactions.planning.scoring import check_embeds
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, fit_adjustment
from reactions.session import Session, check_space


def evaluate_centres(
    session: Session,
    target: Target,
    tasks: Sequence[Task],
    centres: ClassCentres,
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    ties: Ties = "strict",
    further: bool = False,
    confirm: Callable[[Plan], None] = lambda plan: None,
) -> list[Result]:
    """Score a target on tasks whose classes embedding centres stand for, instead of prompts.

    Args:
        session: lab and store.
        target: from ``Session.target``.
        tasks: with classes.
        centres: what stands for the classes.
        adjustment: factors and experts.
        ties: as for ``Session.evaluate``.
        further: whether to compute the field's other metrics, too.
        confirm: called with all that is to be run, before it runs.

    Returns:
        One a task, in order. The record's ``centres`` says what they are, in place of prompts.

    Raises:
        UsageError: a task has no classes, or an option does not fit.
        DataError: classes are not described.
    """
    scorings = plan_centre_scores(
        session.lab, target, tasks, centres, adjustment, ties, further=further
    )
    return session.score(target, scorings, confirm)


def class_rows(
    session: Session,
    target: Target,
    tasks: Sequence[Task],
    centres: ClassCentres,
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    ties: Ties = "strict",
    further: bool = False,
    confirm: Callable[[Plan], None] = lambda plan: None,
) -> list[Baseline]:
    """Score tasks with what else may describe their classes, to stand beside centres.

    Returns:
        One a name of ``CLASS_ROWS``, in order; what cannot be scored says why.
    """
    return run_baselines(
        plan_class_rows(
            session.lab, target, tasks, centres.source, adjustment, ties, further=further
        ),
        run=session.run,
        result=session.result,
        estimate=session.estimate,
        obstacle=lambda expected: obstacle(expected, check_space, session.seconds, None),
        confirm=confirm,
    )


def classifier(
    session: Session,
    target: Target,
    centres: ClassCentres,
    classes: Sequence[str] | None = None,
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    confirm: Callable[[Plan], None] = lambda plan: None,
) -> Classifier:
    """Return what names the classes of items that a target embeds.

    Args:
        session: lab and store.
        target: from ``Session.target``.
        centres: what stands for the classes.
        classes: names; None takes all that are described.
        adjustment: factors and experts, which must be the items', too.
        confirm: called with all that is to be run, before it runs.

    Raises:
        DataError: classes are not described.
    """
    names = described_classes(centres.source) if classes is None else tuple(classes)
    planned = plan_centres(
        Planner(session.lab, target.towers),
        target,
        centres,
        names,
        name=f"{len(names)} classes",
        adjustment=fit_adjustment(target.space, adjustment),
    )
    return _made(session, planned, names, centres.options, confirm)


def prompted(
    session: Session,
    target: Target,
    given: GivenClasses,
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    confirm: Callable[[Plan], None] = lambda plan: None,
    on_prompts: Callable[[Modality, tuple[str, ...]], None] = lambda modality, prompts: None,
) -> PromptedClasses:
    """Return what names the classes of items by prompts, as ``eval`` scores classifications.

    Args:
        session: lab and store.
        target: from ``Session.target``.
        given: the classes, and their prompts.
        adjustment: factors and experts, which must be the items', too.
        confirm: called with all that is to be run, before it runs.
        on_prompts: as for ``PromptedClasses``.

    Raises:
        MissingError: the target lacks text.
    """
    check_embeds(target, TEXT.name, "naming classes", "a space that embeds text: --space NAME")
    fitted = fit_adjustment(target.space, adjustment)

    def make(templates: tuple[str, ...]) -> Classifier:
        planner = Planner(session.lab, target.towers)
        planned = plan_prompts(
            planner, target, given.name, given.classes, templates, adjustment=fitted
        )
        return _made(session, planned, given.classes, BY_PROMPTS, confirm)

    return PromptedClasses(given.classes, given.templates_of, make, on_prompts)


def _made(
    session: Session,
    planned: PlannedCentres,
    names: Sequence[str],
    options: CentreOptions,
    confirm: Callable[[Plan], None],
) -> Classifier:
    """Return what planned centres name, made or found."""
    from reactions.run.device import resolve_devices

    plan = Plan((planned.step,), planned.notices)
    is_there = not session.estimate(plan).steps
    if not is_there:
        confirm(plan)
    # What the cache has is only read: nothing is shown of a run.
    artifact = session.run(plan.targets, silent=is_there)[planned.step.key]
    return Classifier.of(
        names,
        options,
        planned.about,
        planned.notices,
        artifact,
        resolve_devices(session.device)[0],
    )
