"""From a task and its data to what must be embedded, and from embeddings to scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, DimensionMismatch, UsageError
from reactions.core.hashing import bytes_digest
from reactions.core.step import Rows
from reactions.core.types import Corpus, Modality
from reactions.eval import further_metrics, metrics
from reactions.eval.metrics import Ranks, ScoresOf, Ties
from reactions.eval.prompts import class_embeddings, class_prompts
from reactions.eval.score import Score
from reactions.eval.task import Task
from reactions.eval.task_data import (
    BenchmarkData,
    ClassificationData,
    MultilabelData,
    RetrievalData,
)

VERSION = 2
"""Raise it whenever a change here or in ``metrics`` can change a score."""

TIES: tuple[Ties, ...] = get_args(Ties)

_CHECK_ROWS = 1 << 14


def corpora(task: Task, data: BenchmarkData) -> dict[str, Corpus]:
    """Return the corpora that must be embedded, by the names ``score`` wants them under.

    Returns:
        ``queries`` and ``prompts``, or ``left`` and ``right`` for retrieval.

    Raises:
        DataError: the data does not fit the task, or is inconsistent.
    """
    check(task, data)
    if isinstance(data, RetrievalData):
        return {"left": data.left, "right": data.right}
    prompts = class_prompts(
        f"{task.name} prompts", data.classes, task.templates, by_id=data.classes_by_id
    )
    return {"queries": data.queries, "prompts": prompts}


def identity(task: Task, data: BenchmarkData, ties: Ties = "strict") -> dict[str, Any]:
    """Return what, besides the embeddings, can change the score's record: JSON-able, for keys."""
    facts: dict[str, Any] = {
        "task": task.name,
        "main": task.main_score,
        "expected": data.expected,
        "protocol": task.kind,
        "protocol_version": VERSION,
        "ties": ties,
    }
    if isinstance(data, RetrievalData):
        facts["owner"] = _array_digest(data.owner, np.int64)
        facts["directions"] = list(task.directions)
        facts["cutoffs"] = list(task.cutoffs)
        if task.hit == "class":  # keys of the usual hits are those of before there were others
            left, right = _labels(task, data)
            facts |= {"hit": task.hit, "left": _array_digest(left, np.int64)}
            facts["right"] = _array_digest(right, np.int64)
        return facts
    facts["classes"] = list(data.classes)
    facts["templates"] = list(task.templates)
    if isinstance(data, ClassificationData):
        facts["labels"] = _array_digest(data.labels, np.int64)
        facts["folds"] = "" if data.folds is None else _array_digest(data.folds, np.int64)
    else:
        facts["targets"] = _array_digest(data.targets, np.bool_)
    return facts


def score(
    task: Task,
    data: BenchmarkData,
    embeddings: Mapping[str, Rows],
    ties: Ties = "strict",
    *,
    further: bool = False,
) -> Score:
    """Score embeddings by the task's protocol.

    Args:
        task: which protocol, and the names of the metrics.
        data: labels, targets or owners; its corpora are not read.
        embeddings: (n, d) unit-norm rows for each name that ``corpora`` gave.
        ties: whether ties of right and wrong answers count against the model or for it.
        further: whether to compute the field's other metrics, too.

    Raises:
        DimensionMismatch: an array's rows do not match its corpus, or widths differ.
        DataError: the data does not fit the task, or embeddings are not finite.
    """
    for name, corpus in corpora(task, data).items():
        _check_rows(task, name, embeddings[name], len(corpus))
    if isinstance(data, RetrievalData):
        sides = embeddings["left"], embeddings["right"]
        scored = _retrieval(task, data, *sides, ties)
        return with_retrieval_metrics(scored, task, data, *sides) if further else scored
    classes = class_embeddings(embeddings["prompts"], len(task.templates))
    if isinstance(data, ClassificationData):
        ranks = metrics.ranks_of_class(embeddings["queries"], classes, data.labels)
        return _accuracy(task, data, ranks, ties, further=further)
    return _multilabel(task, data, embeddings["queries"], classes, ties)


def score_classes(
    task: Task,
    data: ClassificationData | MultilabelData,
    queries: Rows,
    scores_of: ScoresOf,
    ties: Ties = "strict",
    *,
    further: bool = False,
) -> Score:
    """Score embeddings of a task's queries where its classes are not one embedding each.

    Args:
        task: which protocol.
        data: labels or targets; its corpus is not read.
        queries: (n, d) unit-norm rows.
        scores_of: queries to their scores in all classes.
        ties: whether ties of right and wrong answers count against the model or for it.
        further: whether to compute the field's other metrics, too.

    Raises:
        DimensionMismatch: the rows do not match the corpus.
        DataError: the data does not fit the task, or embeddings are not finite.
    """
    check(task, data)
    _check_rows(task, "queries", queries, len(data.queries))
    if isinstance(data, ClassificationData):
        ranks = metrics.ranks_by_scores(queries, scores_of, len(data.classes), data.labels)
        return _accuracy(task, data, ranks, ties, further=further)
    precisions = metrics.average_precisions_by_scores(queries, scores_of, data.targets)
    return _mean_precision(task, data, precisions, ties)


def check(task: Task, data: BenchmarkData) -> None:
    """Check that benchmark data fits its task and is consistent.

    Raises:
        DataError: what does not fit.
    """
    sides: list[tuple[Corpus, Modality]]
    if isinstance(data, RetrievalData):
        sides = [(data.left, task.query), (data.right, task.other)]
        n = len(data.left)
        problem = _index_problem("owner", data.owner, len(data.right), n)
        if not problem:
            childless = n - len(np.unique(data.owner))
            problem = f"{childless} left items own no right item" if childless else ""
        problem = problem or _labels_problem(task, data)
        kind = "retrieval"
    else:
        sides = [(data.queries, task.query)]
        n, c = len(data.queries), len(data.classes)
        if isinstance(data, ClassificationData):
            kind = "classification"
            problem = _index_problem("labels", data.labels, n, c)
            if not problem and data.folds is not None and data.folds.shape != (n,):
                problem = f"folds are {data.folds.shape} for {n} items"
        else:
            kind = "multilabel"
            problem = ""
            if data.targets.shape != (n, c):
                problem = f"targets are {data.targets.shape} for {n} items and {c} classes"
            elif not data.targets.any():
                problem = "no item has any class"
    if kind != task.kind:
        problem = f"it is {kind} data, the task is {task.kind}"
    for corpus, modality in sides:
        if corpus.modality != modality:
            problem = f"'{corpus.name}' is {corpus.modality}, the task asks for {modality}"
    if problem:
        raise DataError(f"the data of task '{task.name}' does not fit", why=problem, task=task.name)


def _accuracy(
    task: Task, data: ClassificationData, ranks: Ranks, ties: Ties, *, further: bool = False
) -> Score:
    correct = ranks.by(ties) == 1
    scores = {"accuracy": 100 * float(correct.mean())}
    if data.folds is not None:
        for fold in np.unique(data.folds):
            scores[f"fold_{fold}"] = 100 * float(correct[data.folds == fold].mean())
    return Score(
        task=task.name,
        main=task.main_score,
        metrics=scores,
        n=len(correct),
        n_other=len(data.classes),
        expected=data.expected,
        ties=ties,
        tied={"classes": (len(correct), ranks.n_tied)},
        further=further_metrics.of_classes(ranks.by(ties), data.labels) if further else {},
        arrays={"correct": correct[:, None]},
    )


def _multilabel(
    task: Task,
    data: MultilabelData,
    queries: Rows,
    classes: NDArray[np.float32],
    ties: Ties,
) -> Score:
    precisions = metrics.class_average_precisions(queries, classes, data.targets)
    return _mean_precision(task, data, precisions, ties)


def _mean_precision(
    task: Task, data: MultilabelData, precisions: NDArray[np.float64], ties: Ties
) -> Score:
    return Score(
        task=task.name,
        main=task.main_score,
        metrics={"mAP": 100 * float(np.nanmean(precisions))},
        n=len(data.targets),
        n_other=int(np.isfinite(precisions).sum()),
        expected=data.expected,
        ties=ties,
        arrays={"average_precision": precisions[:, None]},
    )


def _retrieval(task: Task, data: RetrievalData, left: Rows, right: Rows, ties: Ties) -> Score:
    if task.hit == "class":
        of_left, of_right = _labels(task, data)
        both = (
            metrics.ranks_of_same_class(right, left, of_right, of_left),
            metrics.ranks_of_same_class(left, right, of_left, of_right),
        )
    else:
        both = (
            metrics.ranks_of_owner(left, right, data.owner),
            metrics.ranks_of_best(left, right, data.owner),
        )
    forward, backward = (ranks.by(ties) for ranks in both)
    tied = {
        name: (len(ranks.strict), ranks.n_tied)
        for name, ranks in zip(task.directions, both, strict=True)
    }
    return retrieval_score(task, data, forward, backward, ties, tied)


def with_retrieval_metrics(
    scored: Score, task: Task, data: RetrievalData, left: Rows, right: Rows
) -> Score:
    """Return a score with the field's other metrics; see ``further_metrics``."""
    further: dict[str, float] = {}
    forward, backward = (scored.arrays[f"rank_{way}"][:, 0] for way in ("forward", "backward"))
    for direction, ranks in zip(task.directions, (forward, backward), strict=True):
        further |= further_metrics.of_ranks(direction, ranks)
    if task.hit == "pair":
        to_left, to_right = task.directions
        further |= further_metrics.of_single(to_left, forward)
        further |= further_metrics.of_several(to_right, left, right, data.owner, scored.ties)
    return replace(scored, further=further_metrics.with_means(further, task.directions))


def retrieval_score(
    task: Task,
    data: RetrievalData,
    forward: NDArray[np.int32],
    backward: NDArray[np.int32],
    ties: Ties,
    tied: Mapping[str, tuple[int, int]],
) -> Score:
    """Score retrieval by ranks.

    Args:
        task: its directions name the metrics.
        data: of the task.
        forward: (right items,) ranks of their owners, or of the best item of their class.
        backward: (left items,) ranks of the best of their right items, or of those of their class.
        ties: by which rule the ranks are.
        tied: of the score; empty if ties were not counted.
    """
    scores: dict[str, float] = {}
    for direction, ranks in zip(task.directions, (forward, backward), strict=True):
        for k in task.cutoffs:
            scores[f"{direction} R@{k}"] = 100 * metrics.recall_at(ranks, k)
    for k in task.cutoffs:
        scores[f"mean R@{k}"] = sum(scores[f"{d} R@{k}"] for d in task.directions) / 2
    return Score(
        task=task.name,
        main=task.main_score,
        metrics=scores,
        n=len(backward),
        n_other=len(forward),
        expected=data.expected,
        ties=ties,
        tied=tied,
        arrays={"rank_forward": forward[:, None], "rank_backward": backward[:, None]},
    )


def _labels(task: Task, data: RetrievalData) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the classes of both sides, which hits by class need.

    Raises:
        UsageError: the set has none.
    """
    if data.left_labels is None or data.right_labels is None:
        raise UsageError(
            f"task '{task.name}' cannot count hits by class: its items have none",
            why="a hit by class is any item of the query's class among the first k",
            fix="--hit pair",
            task=task.name,
        )
    return data.left_labels, data.right_labels


def _labels_problem(task: Task, data: RetrievalData) -> str:
    if data.left_labels is None and data.right_labels is None:
        if task.hit == "class":
            _labels(task, data)
        return ""
    if data.left_labels is None or data.right_labels is None:
        return "one of its sides has classes, the other has none"
    sides = ((data.left_labels, len(data.left)), (data.right_labels, len(data.right)))
    for labels, n in sides:
        if labels.shape != (n,):
            return f"classes are {labels.shape} for {n} items"
    differ = int((data.right_labels != data.left_labels[data.owner]).sum())
    return f"{differ} pairs have items of two classes" if differ else ""


def _check_rows(task: Task, name: str, rows: Rows, n: int) -> None:
    if len(rows) != n:
        raise DimensionMismatch(
            f"{len(rows)} embeddings for {n} {name} of {task.name}", task=task.name, name=name
        )
    # No score is greater than NaN: a query that holds it would come first, and count as a hit.
    _check_finite(task, name, rows)


def _check_finite(task: Task, name: str, rows: Rows) -> None:
    for start in range(0, len(rows), _CHECK_ROWS):
        finite = np.isfinite(rows[start : start + _CHECK_ROWS]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise DataError(
                f"an embedding of the {name} of task '{task.name}' is not finite",
                why=f"first: row {row}",
                task=task.name,
                row=row,
            )


def _index_problem(name: str, values: NDArray[np.int64], n: int, limit: int) -> str:
    if values.shape != (n,):
        return f"{name} are {values.shape} for {n} items"
    if n and not (values.min() >= 0 and values.max() < limit):
        return f"{name} reach from {values.min()} to {values.max()}, outside 0 to {limit - 1}"
    return ""


def _array_digest(values: NDArray[Any], dtype: type[np.generic]) -> str:
    # One byte order, so that keys agree between machines.
    plain = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return bytes_digest(f"{plain.shape}".encode() + plain.tobytes())
