"""The field's other metrics, beside R@k and accuracy: MRR, nDCG@10, mAP, median rank, top-5.

A query with several right answers, such as an item with five captions, is judged by the best of
them in R@k, MRR and median rank, and by all of them in nDCG@10 and mAP:

    MRR       mean of 1 / r,  r the rank of the best right answer
    nDCG@10   mean of  sum over ranks r_j <= 10 of 1 / log2(1 + r_j), over that of a perfect ranking
    mAP       mean of  mean over j of  j / r_j,  r_j the rank of the j-th right answer

Ranks count from 1. By the strict rule a right answer ranks after every wrong one that ties with it,
by the lenient rule before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import UsageError, suggestion
from reactions.core.step import Rows
from reactions.eval.metrics import TIE, TILE_BYTES, Ties
from reactions.eval.task import Task

NDCG_CUTOFF: Final = 10
TOP: Final = 5
MEDIAN: Final = "median rank"
"""The one metric that is not a share of 100."""

_LATER_FOLD = re.compile(r"fold_[1-9]\d*")


def of_ranks(direction: str, ranks: NDArray[np.int32]) -> dict[str, float]:
    """Return MRR (per cent) and median rank of one direction of retrieval."""
    return {
        f"{direction} MRR": 100 * float((1.0 / ranks).mean()),
        f"{direction} {MEDIAN}": float(np.median(ranks)),
    }


def of_single(direction: str, ranks: NDArray[np.int32]) -> dict[str, float]:
    """Return nDCG@10 and mAP, per cent, where each query has one right answer.

    Args:
        direction: of retrieval.
        ranks: (n,) of the right answers.
    """
    gains = np.where(ranks <= NDCG_CUTOFF, 1.0 / np.log2(1.0 + ranks), 0.0)
    return {
        f"{direction} nDCG@{NDCG_CUTOFF}": 100 * float(gains.mean()),
        f"{direction} mAP": 100 * float((1.0 / ranks).mean()),
    }


def of_several(
    direction: str, left: Rows, right: Rows, owner: NDArray[np.int64], ties: Ties
) -> dict[str, float]:
    """Return nDCG@10 and mAP, per cent, of left rows as queries for the right rows they own.

    Args:
        direction: of retrieval.
        left: (n, d) unit-norm rows.
        right: (m, d) unit-norm rows.
        owner: (m,) the left row that each right row belongs to; every left row owns one.
        ties: of right and wrong answers.
    """
    answers = np.asarray(right[slice(None)], dtype=np.float32)
    by_owner = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[by_owner], np.arange(len(left) + 1))
    counts = np.diff(starts)
    margin = -TIE if ties == "strict" else TIE
    gains, precisions = np.zeros(len(left)), np.zeros(len(left))
    step = max(1, TILE_BYTES // (4 * max(answers.shape)))
    for start in range(0, len(left), step):
        tile = np.asarray(left[start : min(start + step, len(left))], dtype=np.float32)
        scores = tile @ answers.T  # (t, m)
        stop = start + len(scores)
        most = int(counts[start:stop].max())
        # correct: (t, most) scores of a query's right answers, best first; -inf where it has fewer
        correct = np.full((len(scores), most), -np.inf, np.float32)
        right_rows = by_owner[starts[start] : starts[stop]]
        rows = owner[right_rows] - start
        place = np.arange(len(right_rows)) - (starts[rows + start] - starts[start])
        correct[rows, place] = scores[rows, right_rows]
        correct = -np.sort(-correct, axis=1)
        for j in range(most):
            answer = correct[:, j, None] + margin
            ahead = (scores > answer).sum(axis=1) - (correct > answer).sum(axis=1)  # wrong answers
            rank = ahead + j + 1.0
            has = counts[start:stop] > j
            gain = np.where(rank <= NDCG_CUTOFF, 1.0 / np.log2(1.0 + rank), 0.0)
            gains[start:stop] += np.where(has, gain, 0.0)
            precisions[start:stop] += np.where(has, (j + 1.0) / rank, 0.0)
    ideal = np.cumsum(1.0 / np.log2(2.0 + np.arange(NDCG_CUTOFF)))
    gains /= ideal[np.minimum(counts, NDCG_CUTOFF) - 1]
    return {
        f"{direction} nDCG@{NDCG_CUTOFF}": 100 * float(gains.mean()),
        f"{direction} mAP": 100 * float((precisions / counts).mean()),
    }


def of_classes(ranks: NDArray[np.int32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return top-5 accuracy and the mean of the classes' accuracies, per cent.

    Args:
        ranks: (n,) of each item's class.
        labels: (n,) their classes; those that no item has do not count.
    """
    correct = (ranks == 1).astype(np.float64)
    of_class = np.bincount(labels, correct) / np.maximum(np.bincount(labels), 1)
    return {
        f"top-{TOP}": 100 * float((ranks <= TOP).mean()),
        "mean per class": 100 * float(of_class[np.unique(labels)].mean()),
    }


def with_means(further: Mapping[str, float], directions: Sequence[str]) -> dict[str, float]:
    """Add the mean of both directions of each metric but the median rank."""
    first, second = directions
    means = {}
    for name, value in further.items():
        metric = name.removeprefix(f"{first} ")
        if metric != name and metric != MEDIAN:
            means[f"mean {metric}"] = (value + further[f"{second} {metric}"]) / 2
    return {**further, **means}


def names_of(task: Task) -> tuple[dict[str, float], dict[str, float]]:
    """Return the names of a task's own metrics and of the others, before it is scored."""
    task_metrics = dict.fromkeys(task.metrics, 0.0)
    if task.kind == "retrieval":
        kinds = ["MRR", MEDIAN]
        if task.hit == "pair":
            kinds += [f"nDCG@{NDCG_CUTOFF}", "mAP"]
        both = {f"{direction} {kind}": 0.0 for direction in task.directions for kind in kinds}
        return task_metrics, with_means(both, task.directions)
    if task.kind == "classification":
        folds = {f"fold_{i}": 0.0 for i in range(100)}
        return {**task_metrics, **folds}, {f"top-{TOP}": 0.0, "mean per class": 0.0}
    return task_metrics, {}


def chosen(asked: str, record: Mapping[str, float], further: Mapping[str, float]) -> list[str]:
    """Return the names of metrics to show.

    Args:
        asked: ``all``, or names or parts of them with commas between: ``MRR``, ``mean nDCG@10``.
        record: the protocol's own metrics.
        further: the others.

    Raises:
        UsageError: a name is that of none.
    """
    names_known = [*record, *further]
    if asked.strip().casefold() == "all":
        return names_known
    names: dict[str, None] = {}
    for part in filter(None, (part.strip() for part in asked.split(","))):
        folded = part.casefold()
        matching = [name for name in names_known if name.casefold() == folded]
        matching = matching or [n for n in names_known if f" {folded} " in f" {n.casefold()} "]
        if not matching:
            ends = Counter(name.partition(" ")[2] or name for name in names_known)
            # A part that only one name has would hide which metric it is.
            short = [end for end, n in ends.items() if n > 1]
            shown = [name for name in (*short, *names_known) if not _LATER_FOLD.fullmatch(name)]
            raise UsageError(f"--metrics: no metric '{part}'", fix=suggestion(part, shown))
        names.update(dict.fromkeys(matching))
    if not names:
        raise UsageError("--metrics names none", fix="--metrics all, or such as MRR,nDCG@10")
    return list(names)
