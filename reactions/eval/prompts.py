"""Class names to prompts, and prompt embeddings to class embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.step import Rows
from reactions.data.corpora import TextCorpus


def class_prompts(
    name: str, classes: Sequence[str], templates: Sequence[str], *, by_id: bool = False
) -> TextCorpus:
    """Write each class into each template.

    Args:
        name: of the corpus, for messages.
        classes: underscores are written as spaces.
        templates: ``{class}`` stands for the class name.
        by_id: whether embeddings are called as the classes are: ``CLASS``, or ``CLASS/0``,
            ``CLASS/1``, ... of several templates; else by the corpus's name, too.

    Returns:
        len(classes) * len(templates) texts, class-major: the templates of the first class
        come first.
    """
    spoken = [" ".join(label.replace("_", " ").split()) for label in classes]
    texts = [template.replace("{class}", label) for label in spoken for template in templates]
    if by_id and len(templates) == 1:
        return TextCorpus(name, texts, classes)
    prefix = "" if by_id else f"{name.replace(' ', '-')}/"
    return TextCorpus(
        name,
        texts,
        # Ids of their own: embeddings are looked up by them, and must not be mixed up.
        [
            f"{prefix}{label}/{i}"
            for label in _distinct_names(classes)
            for i in range(len(templates))
        ],
    )


def class_embeddings(prompts: Rows, n_templates: int) -> NDArray[np.float32]:
    """Average the normalised template embeddings of each class and normalise again.

    Args:
        prompts: (n_classes * n_templates, d), class-major as ``class_prompts`` writes them.
        n_templates: prompts a class.

    Returns:
        (n_classes, d) float32, unit-norm rows.

    Raises:
        DimensionMismatch: the rows are not a multiple of ``n_templates``.
        DataError: a prompt's embedding, or a class's mean, is zero or not finite.
    """
    n = len(prompts)
    if n_templates < 1 or n % n_templates:
        raise DimensionMismatch(f"{n} prompt embeddings do not fit {n_templates} templates")
    # Rows that were stored as float16 have unit norm only to about 1e-4.
    rows = _unit(np.asarray(prompts[0:n], dtype=np.float32), "prompt")
    means = rows.reshape(n // n_templates, n_templates, -1).mean(axis=1)  # (c, d)
    return _unit(means, "class")


def _distinct_names(classes: Sequence[str]) -> list[str]:
    """Number the repetitions of a name: ImageNet's cranes are birds and machines."""
    counts: Counter[str] = Counter()
    numbered = []
    for label in classes:
        counts[label] += 1
        numbered.append(label if counts[label] == 1 else f"{label}#{counts[label]}")
    return numbered


def _unit(rows: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = ~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0))
    if bad.any():
        raise DataError(
            f"unusable {what} embeddings: {int(bad.sum())} of {len(rows)} zero or not finite",
            why=f"first: row {int(np.argmax(bad))}",
            row=int(np.argmax(bad)),
        )
    unit: NDArray[np.float32] = rows / norms
    return unit
