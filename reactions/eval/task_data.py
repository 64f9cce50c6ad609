"""The data of an evaluation task, apart from its protocol.

A lab builds these; ``reactions.eval`` turns them into prompts, embeddings and scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from reactions.core.errors import DataError
from reactions.core.types import Corpus
from reactions.data.holdout import SubsetCorpus, subset
from reactions.modalities.text import TEXT

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClassificationData:
    """Single-label zero-shot classification.

    Attributes:
        queries: the media to classify.
        labels: (n,) int64, index into ``classes``.
        classes: class names, underscores allowed.
        folds: (n,) int64 fold of each item, for sets published with folds.
        expected: items the published set has; 0 if unknown.
        remarks: what was decided where the set leaves it open, for people.
        classes_by_id: whether rows of texts are called as the classes are.
    """

    queries: Corpus
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    folds: NDArray[np.int64] | None = None
    expected: int = 0
    remarks: tuple[str, ...] = ()
    classes_by_id: bool = False


@dataclass(frozen=True, slots=True)
class MultilabelData:
    """Multi-label zero-shot classification.

    Attributes:
        queries: the media to tag.
        targets: (n, len(classes)) bool.
        classes: class names.
        expected: items the published set has; 0 if unknown.
        classes_by_id: whether rows of texts are called as the classes are.
    """

    queries: Corpus
    targets: NDArray[np.bool_]
    classes: tuple[str, ...]
    expected: int = 0
    classes_by_id: bool = False


@dataclass(frozen=True, slots=True)
class RetrievalData:
    """Cross-modal retrieval in both directions.

    Attributes:
        left: one row an item (sounds, images).
        right: one or more rows an item (captions, or the paired medium).
        owner: (len(right),) int64, the left row that each right row belongs to; every
            left row owns at least one.
        expected: left items the published set has; 0 if unknown.
        left_labels: (len(left),) int64 class of each left item, for sets that have classes.
        right_labels: (len(right),) int64 likewise; both or neither are given.
        remarks: what was decided where the set leaves it open, for people.
    """

    left: Corpus
    right: Corpus
    owner: NDArray[np.int64] = field(repr=False)
    expected: int = 0
    left_labels: NDArray[np.int64] | None = field(default=None, repr=False)
    right_labels: NDArray[np.int64] | None = field(default=None, repr=False)
    remarks: tuple[str, ...] = ()


BenchmarkData: TypeAlias = ClassificationData | MultilabelData | RetrievalData


def without_fold(data: ClassificationData, fold: int, name: str) -> ClassificationData:
    """Return the items of all folds but one, which may be trained on where that one is scored.

    Args:
        data: with folds.
        fold: which, from 1 as sets publish them; ``data.folds`` counts from 0.
        name: of the part, for its corpus.

    Raises:
        DataError: no other fold has an item.
    """
    assert data.folds is not None, "only sets with folds have such parts"
    rows = np.flatnonzero(data.folds != fold - 1)
    if not len(rows):
        raise DataError(
            f"'{data.queries.name}' has no items outside fold {fold}",
            fix="the clips of the other folds must be there too",
        )
    return replace(
        data,
        queries=SubsetCorpus(data.queries, rows, name),
        labels=data.labels[rows],
        folds=data.folds[rows],
        expected=0,
    )


def part_of(
    data: BenchmarkData,
    rows: NDArray[np.bool_],
    *,
    right: NDArray[np.bool_] | None = None,
    what: str = "part",
    expected: int = 0,
) -> BenchmarkData:
    """Return the items of some left rows, or queries; right items go with their owners.

    Args:
        data: of a set.
        rows: (n,) which left rows, or queries, are taken.
        right: which right rows may be taken; all by default.
        what: such a part is, for messages.
        expected: items that the whole set has.
    """
    places = np.flatnonzero(rows)
    if isinstance(data, RetrievalData):
        taken = rows[data.owner] if right is None else rows[data.owner] & right
        owned = np.flatnonzero(taken)
        renumbered = np.cumsum(rows) - 1
        return replace(
            data,
            left=subset(data.left, places, what),
            right=subset(data.right, owned, what),
            owner=renumbered[data.owner[owned]],
            expected=expected,
        )
    queries = subset(data.queries, places, what)
    if isinstance(data, ClassificationData):
        folds = None if data.folds is None else data.folds[places]
        labels = data.labels[places]
        return replace(data, queries=queries, labels=labels, folds=folds, expected=expected)
    return replace(data, queries=queries, targets=data.targets[places], expected=expected)


def captions_in_data(data: BenchmarkData) -> Iterator[tuple[str, str]]:
    """Yield (id, caption) of the right items of retrieval where they are texts."""
    if isinstance(data, RetrievalData) and data.right.modality == TEXT.name:
        for item in data.right.items(0, len(data.right)):
            if item.value is not None:  # its embedding is all there is
                yield item.id, item.value


def sides_of(data: BenchmarkData) -> tuple[Corpus, ...]:
    """Return the corpora of a set: both sides of retrieval, else what is classified."""
    return (data.left, data.right) if isinstance(data, RetrievalData) else (data.queries,)
