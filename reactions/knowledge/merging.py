"""Several knowledge bases as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from reactions.core.errors import DataError, UsageError
from reactions.core.types import Modality
from reactions.knowledge.base import (
    DescribedCorpus,
    Description,
    KnowledgeBase,
    KnowledgeMetadata,
    WriterModel,
)
from reactions.knowledge.checks import words_of
from reactions.knowledge.imports.imported import refuse_other_categories


@dataclass(frozen=True)
class MergedKnowledge:
    """What became of several knowledge bases.

    Attributes:
        rows: in the order of the bases.
        metadata: of all of them.
        n_same: rows that an earlier one is letter for letter, kept once.
        n_renamed: rows of categories whose id an earlier base gave to another row.
        n_shared_categories: categories that several of the bases have.
        remarks: what is odd; a sentence each.
    """

    rows: tuple[Description, ...]
    metadata: KnowledgeMetadata
    n_same: int
    n_renamed: int
    n_shared_categories: int
    remarks: tuple[str, ...]


def merge_knowledge(bases: Sequence[KnowledgeBase]) -> MergedKnowledge:
    """Put the rows of several knowledge bases one after the other.

    Categories of one name become one. Rows of categories that have an id of an earlier base's row
    get another, for these ids are only names; ids of items are the items', and stay.

    Args:
        bases: two or more.

    Raises:
        UsageError: there is only one.
        DataError: an item is in several categories, or the bases describe different corpora of one
            modality.
    """
    if len(bases) < 2:
        raise UsageError("there is nothing to merge", why="two knowledge bases, or more")
    rows: dict[Description, None] = {}
    ids: set[str] = set()
    n_same = n_renamed = 0
    remarks: list[str] = []
    for base in bases:
        remarks += base.notices
        earlier = frozenset(ids)
        before = len(rows)
        for row in base.rows():
            if row in rows:
                n_same += 1
                continue
            if not row.modality and row.id in earlier:
                row = replace(row, id=_free(row.id, ids))
                n_renamed += 1
            if not row.modality:
                ids.add(row.id)
            rows[row] = None
        if len(rows) == before:
            remarks.append(f"'{base.name}' adds nothing: the others have all of its rows")
    merged = tuple(rows)
    names = " and ".join(f"'{base.name}'" for base in bases)
    refuse_other_categories(merged, names)
    owners: dict[str, int] = {}
    for base in bases:
        for category in base.categories:
            owners[category] = owners.get(category, 0) + 1
    remarks += _lookalikes(owners)
    limits = {base.metadata.token_limit for base in bases}
    if len(limits) > 1:
        remarks.append(f"token limits differ ({sorted(limits)}): the largest holds for all rows")
    return MergedKnowledge(
        merged,
        _metadata(bases),
        n_same,
        n_renamed,
        sum(n > 1 for n in owners.values()),
        tuple(remarks),
    )


def _free(id: str, ids_taken: set[str]) -> str:
    number = 2
    while f"{id}~{number}" in ids_taken:
        number += 1
    return f"{id}~{number}"


def _lookalikes(categories: Iterable[str]) -> list[str]:
    """Return a sentence where categories differ in case or underscores alone."""
    alike: dict[str, list[str]] = {}
    for category in categories:
        alike.setdefault(" ".join(words_of(category)), []).append(category)
    several = [names for names in alike.values() if len(names) > 1]
    if not several:
        return []
    first = " and ".join(f"'{name}'" for name in several[0])
    return [
        f"categories spelled in several ways, which stay apart: {len(several):,}, such as {first}"
    ]


def _metadata(bases: Sequence[KnowledgeBase]) -> KnowledgeMetadata:
    records = [base.metadata for base in bases]
    prompts = dict.fromkeys(prompt for record in records for prompt in record.prompts)
    models: dict[WriterModel, None] = dict.fromkeys(m for record in records for m in record.models)
    dropped: dict[str, int] = {}
    for record in records:
        for reason, n in record.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + n
    return KnowledgeMetadata(
        dataset=" + ".join(dict.fromkeys(record.dataset for record in records if record.dataset)),
        prompts=tuple(prompts),
        models=tuple(models),
        token_limit=max(record.token_limit for record in records),
        items=_items(bases),
        dropped=dropped,
    )


def _items(bases: Sequence[KnowledgeBase]) -> dict[Modality, DescribedCorpus]:
    items: dict[Modality, tuple[DescribedCorpus, str]] = {}
    for base in bases:
        for modality in base.modalities:
            corpus = base.metadata.items.get(modality, DescribedCorpus(""))
            first, owner = items.setdefault(modality, (corpus, base.name))
            if first != corpus:
                raise DataError(
                    f"'{owner}' and '{base.name}' describe different {modality} items",
                    why=f"those of {_named(first)} and of {_named(corpus)}",
                    fix="one corpus that holds both, described anew; or two knowledge bases",
                    modality=modality,
                )
    return {modality: corpus for modality, (corpus, _) in items.items() if corpus.corpus}


def _named(corpus: DescribedCorpus) -> str:
    if not corpus.corpus:
        return "a corpus that is not named"
    return f"'{corpus.corpus}' ({corpus.digest[:12]}...)" if corpus.digest else f"'{corpus.corpus}'"
