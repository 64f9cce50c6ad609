"""Scores by embedding centres as plans, and what else may describe the classes of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reactions.core.centre_options import CentreOptions
from reactions.core.errors import UsageError
from reactions.data.centre_file import CentreFile
from reactions.data.holdout import ids_of
from reactions.eval.baselines import (
    BARE_NAMES,
    CLIP_PROMPT,
    SEVEN_PROMPTS,
    SYNONYMS,
    TASK_PROMPTS,
    NoScore,
)
from reactions.eval.class_texts import (
    BARE_NAME,
    CLIP_TEMPLATE,
    CLIP_TEMPLATES,
    class_texts,
    match_classes,
    names_as_texts,
)
from reactions.eval.metrics import Ties
from reactions.eval.task import Task
from reactions.eval.task_data import RetrievalData
from reactions.labs.lab import Lab
from reactions.modalities.text import TEXT
from reactions.planning.baselines import PlannedBaseline
from reactions.planning.centres import (
    CentreSource,
    ClassCentres,
    PlannedCentres,
    plan_centres,
)
from reactions.planning.planner import Planner
from reactions.planning.scoring import (
    Scoring,
    TaskRows,
    check_embeds,
    plan_score,
    score_plan,
    task_rows,
    with_seen,
)
from reactions.products.target import Target
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    fit_adjustment,
    needed_leaves,
    raw_leaves,
)
from reactions.steps.centres import Centres
from reactions.steps.score_centres import ScoreCentres


def check_has_classes(task: Task) -> None:
    """Refuse a task without classes.

    Raises:
        UsageError: it is retrieval.
    """
    if task.kind == "retrieval":
        raise UsageError(
            f"task '{task.name}' has no classes that centres could stand for",
            why="it is retrieval between items, which no description of a class changes",
            fix="leave it out, or leave out --centres; --task all leaves out what does not fit",
            task=task.name,
        )


def plan_centre_scores(
    lab: Lab,
    target: Target,
    tasks: Sequence[Task],
    centres: ClassCentres,
    adjustment: Adjustment = NO_ADJUSTMENT,
    ties: Ties = "strict",
    *,
    further: bool = False,
) -> list[Scoring]:
    """Plan the evaluation of a target on tasks whose classes centres stand for, in order.

    Args:
        lab: where the tasks' data are.
        target: what is scored.
        tasks: with classes.
        centres: what stands for their classes.
        adjustment: factors and experts.
        ties: as for ``plan_scores``.
        further: whether to compute the field's other metrics, too.

    Raises:
        UsageError: a task is retrieval, or an option does not fit.
        MissingError: the lab has no data for a task, or the target lacks a modality.
        DataError: classes are not described.
    """
    for task in tasks:
        check_has_classes(task)
    adjustment = fit_adjustment(target.space, adjustment)
    planner = Planner(lab, target.towers)
    scorings = []
    for task in tasks:
        check_embeds(target, task.query, f"task '{task.name}'")
        rows = task_rows(planner, task, target.space, prompted=False)
        rows = with_seen(lab, target, rows)
        assert not isinstance(rows.data, RetrievalData), "checked above"
        planned = plan_centres(
            planner,
            target,
            centres,
            rows.data.classes,
            name=task.name,
            adjustment=adjustment,
        )
        planned = replace(planned, notices=planned.notices + _scored_items(planned, rows))
        score_options = (adjustment, ties, further)
        scorings.append(_scored(planner, target, rows, planned, centres.options, *score_options))
    return scorings


def _scored_items(planned: PlannedCentres, rows: TaskRows) -> tuple[str, ...]:
    """Say how many of the scored items chose the descriptions; nothing where none did."""
    if planned.items is None:
        return ()
    queries = rows.corpora["queries"]
    if queries.modality != planned.items.modality:
        return ()
    scored = set(ids_of(queries))
    n = sum(id in scored for id in ids_of(planned.items))
    if not n:
        return ()
    return (
        f"{n:,} of the {len(queries):,} scored items are among those that chose the descriptions; "
        "this is not a score of unseen items",
    )


def plan_class_rows(
    lab: Lab,
    target: Target,
    tasks: Sequence[Task],
    source: CentreSource,
    adjustment: Adjustment = NO_ADJUSTMENT,
    ties: Ties = "strict",
    *,
    further: bool = False,
) -> list[PlannedBaseline]:
    """Plan what else may describe the classes of tasks, to stand beside centres.

    Args:
        lab: where the tasks' data are.
        target: what is scored.
        tasks: with classes, which the target can do.
        source: of the centres; it may name synonyms.
        adjustment: factors and experts.
        ties: as for the centres.
        further: as for the centres.

    Returns:
        The rows of ``CLASS_ROWS`` for each task; what cannot be scored says why.
    """
    adjustment = fit_adjustment(target.space, adjustment)
    planner = Planner(lab, target.towers)
    rows: list[PlannedBaseline] = []
    for task in tasks:
        if TEXT.name not in target.space.modalities:
            lacks = NoScore(f"{target.name} does not embed text")
            rows.append(PlannedBaseline(TASK_PROMPTS, task, lacks=lacks))
            continue
        data = task_rows(planner, task, target.space, prompted=False).data
        # Rows that are called as the classes are stay the same, whatever the prompt.
        named = not isinstance(data, RetrievalData) and data.classes_by_id
        prompts = {TASK_PROMPTS: task.templates} if named else _templates(task)
        for name, templates in prompts.items():
            with_templates = replace(task, templates=templates)
            scoring = plan_score(planner, target, with_templates, adjustment, ties, further=further)
            rows.append(PlannedBaseline(name, task, ((target, scoring.plan),)))
        rows.append(_synonyms(planner, target, task, source, adjustment, ties, further))
    return rows


def _templates(task: Task) -> dict[str, tuple[str, ...]]:
    """Return the prompts of each row; a task's own come once where they are CLIP's."""
    rows: dict[str, tuple[str, ...]] = {CLIP_PROMPT: (CLIP_TEMPLATE,)}
    if task.templates != (CLIP_TEMPLATE,):
        rows[TASK_PROMPTS] = task.templates
    return {**rows, SEVEN_PROMPTS: CLIP_TEMPLATES, BARE_NAMES: (BARE_NAME,)}


def _synonyms(
    planner: Planner,
    target: Target,
    task: Task,
    source: CentreSource,
    adjustment: Adjustment,
    ties: Ties,
    further: bool,
) -> PlannedBaseline:
    """Plan the mean of the bare names of each class."""
    if isinstance(source, CentreFile):
        lacks = NoScore("a file of centres has no names of classes")
        return PlannedBaseline(SYNONYMS, task, lacks=lacks)
    rows = task_rows(planner, task, target.space, prompted=False)
    assert not isinstance(rows.data, RetrievalData), "tasks with classes"
    if rows.data.classes_by_id:
        lacks = NoScore("rows of its classes are looked up by their names, one a class")
        return PlannedBaseline(SYNONYMS, task, lacks=lacks)
    classes = rows.data.classes
    categories = match_classes(classes, source.categories, where=f"knowledge base '{source.name}'")
    names = names_as_texts(classes, categories, source.synonyms)
    n_with = sum(len(class_names) > 1 for class_names in names.values())
    if not n_with:
        lacks = NoScore(f"knowledge base '{source.name}' has no synonyms of these classes")
        return PlannedBaseline(SYNONYMS, task, lacks=lacks)
    texts = class_texts(f"{task.name} names", classes, lambda name: names[name])
    options = CentreOptions(selection="all")
    step = Centres(
        name=f"{task.name} in {target.name}, by names",
        options=options,
        spans=texts.spans,
        dim=target.space.dim,
        scored=target.space,
        trained=target.trained,
        adjustment=adjustment,
        embedded={
            f"texts/{leaf.label}": planner.encode(leaf, texts.corpus, "names")
            for leaf in needed_leaves(target.space, TEXT.name, adjustment)
        },
    )
    about = {"kb": source.name, "digest": source.digest, "names": "synonyms"}
    n_names = sum(texts.counts)
    notice = f"{n_with} of {len(classes)} classes have synonyms in {source.name}; {n_names} names"
    planned = PlannedCentres(step, about, (notice,))
    scoring = _scored(planner, target, rows, planned, options, adjustment, ties, further)
    return PlannedBaseline(SYNONYMS, task, ((target, scoring.plan),))


def _scored(
    planner: Planner,
    target: Target,
    rows: TaskRows,
    planned: PlannedCentres,
    options: CentreOptions,
    adjustment: Adjustment,
    ties: Ties,
    further: bool,
) -> Scoring:
    """Plan the scoring of a task by centres."""
    queries, raw = rows.corpora["queries"], raw_leaves(target.space)
    step = ScoreCentres(
        name=target.name,
        task=rows.task,
        data=rows.data,
        ties=ties,
        further=further,
        scored=target.space,
        embedded={
            f"queries/{leaf.label}": planner.encode(leaf, queries, raw=leaf in raw)
            for leaf in needed_leaves(target.space, queries.modality, adjustment)
        },
        trained=target.trained,
        adjustment=adjustment,
        centres=planned.step,
        options=options,
        about=planned.about,
    )
    plan = score_plan(target, rows, step)
    notices = tuple(f"{rows.task.name}: {notice}" for notice in planned.notices)
    return Scoring(rows.task, replace(plan, notices=plan.notices + notices))
