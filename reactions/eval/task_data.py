"""The data of an evaluation task, apart from its protocol.

A lab builds these; ``reactions.eval`` turns them into prompts, embeddings and scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from reactions.core.types import Corpus
from reactions.modalities.text import TEXT

if TYPE_CHECKING:
    import numpy as np
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
    """

    queries: Corpus
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    folds: NDArray[np.int64] | None = None
    expected: int = 0


@dataclass(frozen=True, slots=True)
class MultilabelData:
    """Multi-label zero-shot classification.

    Attributes:
        queries: the media to tag.
        targets: (n, len(classes)) bool.
        classes: class names.
        expected: items the published set has; 0 if unknown.
    """

    queries: Corpus
    targets: NDArray[np.bool_]
    classes: tuple[str, ...]
    expected: int = 0


@dataclass(frozen=True, slots=True)
class RetrievalData:
    """Cross-modal retrieval in both directions.

    Attributes:
        left: one row an item (sounds, images).
        right: one or more rows an item (captions, or the paired medium).
        owner: (len(right),) int64, the left row that each right row belongs to; every
            left row owns at least one.
        expected: left items the published set has; 0 if unknown.
    """

    left: Corpus
    right: Corpus
    owner: NDArray[np.int64] = field(repr=False)
    expected: int = 0


BenchmarkData: TypeAlias = ClassificationData | MultilabelData | RetrievalData


def captions_in_data(data: BenchmarkData) -> Iterator[tuple[str, str]]:
    """Yield (id, caption) of the right items of retrieval where they are texts."""
    if isinstance(data, RetrievalData) and data.right.modality == TEXT.name:
        for item in data.right.items(0, len(data.right)):
            yield item.id, item.value


def sides_of(data: BenchmarkData) -> tuple[Corpus, ...]:
    """Return the corpora of a set: both sides of retrieval, else what is classified."""
    return (data.left, data.right) if isinstance(data, RetrievalData) else (data.queries,)
