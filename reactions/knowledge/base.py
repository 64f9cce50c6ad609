"""Rows of a knowledge base, what is known of all of them, and how they are looked up."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, TypeAlias

from reactions.core.errors import DataError, UsageError, suggestion
from reactions.core.types import Digest, Modality

FORMAT = "molspace-knowledge-1"

Provenance: TypeAlias = Literal["LLM", "MLLM", "label", "human"]
"""Who wrote a description: a language model of a category, a multimodal one of an item, nobody
(the class's name, or a synonym of it), or a person."""

LLM, MLLM, LABEL, HUMAN = "LLM", "MLLM", "label", "human"
UNLABELLED = "unlabelled"
"""The category of items whose class is not known."""

PROVENANCES: tuple[str, ...] = (LLM, MLLM, LABEL, HUMAN)

TOKEN_LIMIT = 77
"""Tokens of a description, start and end included: what CLIP's text towers read.

Source: UniBind, supplement A.1.
"""


@dataclass(frozen=True, slots=True)
class Description:
    """One row: a sentence about a category, or about an item.

    Attributes:
        id: of a category's row, its own; of an item's, the item's in its corpus, which several
            rows may share.
        category: the class, letter for letter as tasks name it.
        description: the sentence; "" where a generator gave none.
        source: ``LLM`` describes a category, ``MLLM`` an item, ``label`` is a name of the
            category, ``human`` may be either.
        modality: of the item; "" for what describes a category.
        model: that wrote it.
        prompt: that it was asked with.
        seed: of the model's sampling; None where it had none.
    """

    id: str
    category: str
    description: str
    source: str
    modality: Modality = ""
    model: str = ""
    prompt: str = ""
    seed: int | None = None

    def check(self, where: str) -> None:
        """Refuse a row that cannot be looked up.

        Args:
            where: it stands, for the error.

        Raises:
            DataError: its source is unknown or does not go with its modality, or it has no
                category or id.
        """
        if self.source not in PROVENANCES:
            raise DataError(
                f"{where}: the source is '{self.source}'", fix=suggestion(self.source, PROVENANCES)
            )
        if self.source == LLM and self.modality:
            raise DataError(
                f"{where}: the source is LLM, the modality '{self.modality}'",
                why="LLM rows describe categories, which have no modality",
                fix=f"source MLLM, or no modality; one of: {', '.join(PROVENANCES)}",
            )
        if self.source == MLLM and not self.modality:
            raise DataError(
                f"{where}: the source is MLLM, and there is no modality",
                why="MLLM rows describe items, which have one",
                fix="give the item's modality, or source LLM",
            )
        for name, value in (("category", self.category), ("id", self.id)):
            if not value.strip():
                raise DataError(f"{where}: the {name} is empty")


@dataclass(frozen=True, slots=True)
class WriterModel:
    """A model that wrote descriptions.

    Attributes:
        name: as it is asked for.
        revision: of its weights; "" if unknown.
        licence: of what it writes, or of its weights; "" if unknown.
    """

    name: str
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class DescribedCorpus:
    """The items that rows of one modality describe.

    Attributes:
        corpus: its name, as ``Lab.named_corpus`` takes it; "" if unknown.
        digest: of the corpus when it was described; "" if unknown.
    """

    corpus: str
    digest: Digest = ""


@dataclass(frozen=True)
class KnowledgeMetadata:
    """What is known of all rows of a knowledge base.

    Attributes:
        dataset: whose categories it describes; "" if unknown.
        prompts: that models were asked with.
        models: that wrote descriptions.
        token_limit: tokens that a description may have, start and end included.
        items: modality to the corpus whose items are described.
        dropped: reason to the number of rows that were left out when it was made.
    """

    dataset: str = ""
    prompts: tuple[str, ...] = ()
    models: tuple[WriterModel, ...] = ()
    token_limit: int = TOKEN_LIMIT
    items: Mapping[Modality, DescribedCorpus] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemDescriptions:
    """Descriptions of items of one modality; row ``i`` of each list belongs together.

    Attributes:
        ids: of the items, in the order of the knowledge base; an id may come several times.
        categories: of the items.
        descriptions: none is blank.
    """

    ids: list[str]
    categories: list[str]
    descriptions: list[str]

    def __len__(self) -> int:
        return len(self.ids)


class KnowledgeBase(Protocol):
    """Descriptions of categories and of items, looked up by category and by modality."""

    @property
    def name(self) -> str:
        """Its name in the lab, or that of its file."""

    @property
    def digest(self) -> Digest:
        """Digest of all rows in order; not of where they lie."""

    @property
    def metadata(self) -> KnowledgeMetadata:
        """What is known of all rows."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader should know, such as rows that are left out; a sentence each."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories, in the order of their first rows."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities whose items are described, sorted."""

    def of_category(self, category: str) -> Sequence[str]:
        """Return the descriptions of a category, in order; names and blank rows left out.

        Raises:
            UsageError: there is no such category.
        """

    def synonyms(self, category: str) -> Sequence[str]:
        """Return the names of a category, in order; () where none are given.

        Raises:
            UsageError: there is no such category.
        """

    def items(self, modality: Modality) -> ItemDescriptions:
        """Return the descriptions of one modality's items, in order; blank rows left out.

        Raises:
            DataError: no item of this modality is described.
        """

    def rows(self) -> Iterator[Description]:
        """Yield all rows, in order, blank ones included."""

    def __len__(self) -> int: ...


class KnowledgeTable:
    """A knowledge base whose rows are in memory.

    Args:
        name: for messages.
        rows: in order; at least one.
        metadata: what is known of them.
        notices: what a reader should know, besides what the rows show.

    Raises:
        DataError: there are no rows, or one cannot be looked up.
    """

    def __init__(
        self,
        name: str,
        rows: Iterable[Description],
        metadata: KnowledgeMetadata | None = None,
        notices: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.metadata = metadata or KnowledgeMetadata()
        self._rows = tuple(rows)
        if not self._rows:
            raise DataError(f"knowledge base '{name}' is empty", why="it has no rows")
        for number, row in enumerate(self._rows, start=1):
            row.check(f"row {number} of knowledge base '{name}'")
        n_blank = sum(not row.description.strip() for row in self._rows)
        blank = (
            f"knowledge base '{name}': {n_blank:,} of {len(self._rows):,} rows have no "
            "description and are left out"
        )
        self.notices = (*notices, blank) if n_blank else tuple(notices)

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def digest(self) -> Digest:
        """Digest of all rows in order."""
        return rows_digest(self._rows)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Categories, in the order of their first rows."""
        return tuple(dict.fromkeys(row.category for row in self._rows))

    @cached_property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities whose items are described, sorted."""
        return tuple(sorted({row.modality for row in self._rows if row.modality}))

    @cached_property
    def _by_category(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The descriptions and the names of each category."""
        texts: dict[str, list[str]] = {category: [] for category in self.categories}
        names: dict[str, list[str]] = {category: [] for category in self.categories}
        for row in self._rows:
            if not row.modality and row.description.strip():
                (names if row.source == LABEL else texts)[row.category].append(row.description)
        return texts, names

    def of_category(self, category: str) -> Sequence[str]:
        """Return the descriptions of a category, in order."""
        check_category(self, category)
        return self._by_category[0][category]

    def synonyms(self, category: str) -> Sequence[str]:
        """Return the names of a category, in order."""
        check_category(self, category)
        return self._by_category[1][category]

    def items(self, modality: Modality) -> ItemDescriptions:
        """Return the descriptions of one modality's items, in order."""
        check_modality(self, modality)
        rows = [r for r in self._rows if r.modality == modality and r.description.strip()]
        return ItemDescriptions(
            [row.id for row in rows],
            [row.category for row in rows],
            [row.description for row in rows],
        )

    def rows(self) -> Iterator[Description]:
        """Yield all rows, in order."""
        return iter(self._rows)


def check_category(knowledge: KnowledgeBase, category: str) -> None:
    """Refuse a category that a knowledge base does not have (UsageError)."""
    if category not in knowledge.categories:
        raise UsageError(
            f"knowledge base '{knowledge.name}' has no category '{category}'",
            fix=suggestion(category, knowledge.categories[:_LISTED])
            if len(knowledge.categories) <= _LISTED
            else _nearest(category, knowledge),
            category=category,
        )


def check_modality(knowledge: KnowledgeBase, modality: Modality) -> None:
    """Refuse a modality whose items a knowledge base does not describe (DataError)."""
    if modality not in knowledge.modalities:
        raise DataError(
            f"knowledge base '{knowledge.name}' describes no {modality} items",
            why="it describes items of " + (", ".join(knowledge.modalities) or "no modality"),
            fix="molspace kb describe --corpus NAME",
            modality=modality,
        )


_LISTED = 20
"""So many categories are listed where none is near to what was asked for."""


def _nearest(category: str, knowledge: KnowledgeBase) -> str:
    near = suggestion(category, knowledge.categories)
    many = f"(all {len(knowledge.categories)}: molspace kb show {knowledge.name})"
    return f"{near}  {many}" if near.startswith("did you mean") else many


def rows_digest(rows: Iterable[Description]) -> Digest:
    """Return the digest of rows in order: all their columns, and the format."""
    sha = hashlib.sha256(f"molspace:{FORMAT}\n".encode())
    for row in rows:
        values = [getattr(row, name) for name in COLUMNS]
        line = json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"
        sha.update(line.encode("utf-8", "surrogatepass"))
    return sha.hexdigest()


COLUMNS: tuple[str, ...] = tuple(Description.__dataclass_fields__)
"""Names of a row's columns, in order."""

REQUIRED_COLUMNS = COLUMNS[:4]
"""Those of the paper's table (supplement A.3); the others may be missing in a file."""


def count_sources(rows: Iterable[Description]) -> dict[str, int]:
    """Return the number of rows of each source, in the order of ``PROVENANCES``."""
    counts = Counter(row.source for row in rows)
    return {source: counts[source] for source in PROVENANCES if counts[source]}
