"""What a knowledge base holds, counted in one pass over its rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from reactions.core.types import Modality
from reactions.knowledge.base import LABEL, Description, KnowledgeBase


@dataclass
class CategoryCounts:
    """Rows of one category.

    Attributes:
        category: its name.
        descriptions: of the category itself.
        names: rows that only name it.
        items: modality to rows that describe items of it.
    """

    category: str
    descriptions: int = 0
    names: int = 0
    items: dict[Modality, int] = field(default_factory=dict)


@dataclass(frozen=True)
class KnowledgeSummary:
    """Counts of rows.

    Attributes:
        n_rows: in all.
        n_blank: without a description.
        sources: rows by source.
        modalities: rows by modality; "" for those of categories.
        models: rows by model; "" where none is named.
        prompts: likewise.
        categories: in the order of their first rows.
        examples: rows of one category, as many as were asked for.
    """

    n_rows: int
    n_blank: int
    sources: dict[str, int]
    modalities: dict[str, int]
    models: dict[str, int]
    prompts: dict[str, int]
    categories: tuple[CategoryCounts, ...]
    examples: tuple[Description, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def summarise(
    knowledge: KnowledgeBase, category: str = "", n_examples: int = 0
) -> KnowledgeSummary:
    """Count the rows of a knowledge base.

    Args:
        knowledge: any.
        category: whose rows are examples; "" takes the first.
        n_examples: at most so many, some of each kind: descriptions, names, items.

    Raises:
        UsageError: there is no such category.
    """
    category = category or knowledge.categories[0]
    knowledge.synonyms(category)  # refuses a category that is not there
    counts: dict[str, Counter[str]] = {
        key: Counter() for key in ("source", "modality", "model", "prompt")
    }
    categories: dict[str, CategoryCounts] = {}
    examples: dict[str, list[Description]] = {}
    n_rows = n_blank = 0
    for row in knowledge.rows():
        n_rows += 1
        n_blank += not row.description.strip()
        for key, counter in counts.items():
            counter[getattr(row, key)] += 1
        category_counts = categories.setdefault(row.category, CategoryCounts(row.category))
        if row.modality:
            category_counts.items[row.modality] = category_counts.items.get(row.modality, 0) + 1
        elif row.source == LABEL:
            category_counts.names += 1
        else:
            category_counts.descriptions += 1
        if row.category == category:
            kind = examples.setdefault(row.modality or row.source, [])
            if len(kind) < n_examples:
                kind.append(row)
    return KnowledgeSummary(
        n_rows,
        n_blank,
        sources=dict(counts["source"]),
        modalities=dict(counts["modality"]),
        models=dict(counts["model"]),
        prompts=dict(counts["prompt"]),
        categories=tuple(categories.values()),
        examples=_in_turn(list(examples.values()), n_examples),
    )


def _in_turn(kinds: list[list[Description]], n: int) -> tuple[Description, ...]:
    """Return n rows: one of each kind, then the next of each, kinds kept together."""
    shares = [0] * len(kinds)
    n_left = n
    while n_left and any(share < len(kind) for share, kind in zip(shares, kinds, strict=True)):
        for i, kind in enumerate(kinds):
            if n_left and shares[i] < len(kind):
                shares[i] += 1
                n_left -= 1
    return tuple(row for share, kind in zip(shares, kinds, strict=True) for row in kind[:share])
