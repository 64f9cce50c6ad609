"""What is wrong with a knowledge base as a whole, and how varied its descriptions are."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from reactions.core.types import Modality
from reactions.data.sources.config import OnProgress, silent
from reactions.knowledge.base import LABEL, Description, KnowledgeBase
from reactions.knowledge.checks import CategoryNames, TokenCounter, words_of

LEAST_ROWS = 50
"""Descriptions that a category should have: what a centre is chosen from.

Source: UniBind, supplement A.3, keeps 50 of 1,000.
"""

EXAMPLES = 5
_PROGRESS_ROWS = 1 << 14

FindingKind: TypeAlias = Literal[
    "missing", "blank", "too long", "duplicates", "names another", "few rows",
    "several categories", "shared by items", "unrepaired",
]  # fmt: skip

HARMLESS: tuple[FindingKind, ...] = ("shared by items", "unrepaired")
"""Findings that are worth knowing, and no fault of the knowledge base."""


@dataclass(frozen=True, slots=True)
class KnowledgeFinding:
    """Something that is wrong with rows of a knowledge base, or odd about them.

    Attributes:
        kind: ``missing`` and ``few rows`` count categories, all others rows.
        count: how many.
        total: of how many.
        message: one line, for people.
        examples: some of them.
    """

    kind: FindingKind
    count: int
    total: int
    message: str
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether it should be repaired."""
        return self.kind not in HARMLESS


@dataclass(frozen=True, slots=True)
class TextStatistics:
    """How long and how varied the descriptions of one kind are.

    Attributes:
        what: ``categories``, or a modality.
        n: descriptions, blank ones left out.
        groups: categories, or items.
        mean_tokens: of a description, start and end included.
        max_tokens: likewise.
        distinct_1: different words of all words, mean over categories.
        distinct_2: different pairs of neighbouring words of all pairs, likewise.
        overlap: mean cosine of the word sets of two descriptions of one category, likewise; 0
            where none has two.
    """

    what: str
    n: int
    groups: int
    mean_tokens: float
    max_tokens: int
    distinct_1: float
    distinct_2: float
    overlap: float


@dataclass(frozen=True)
class KnowledgeReport:
    """What a check of a knowledge base found.

    Attributes:
        name: of the knowledge base.
        n_rows: that were looked at.
        findings: what is wrong or odd; () if nothing is.
        texts: length and diversity, of categories and of each modality's items.
    """

    name: str
    n_rows: int
    findings: tuple[KnowledgeFinding, ...]
    texts: tuple[TextStatistics, ...]

    @property
    def faults(self) -> tuple[KnowledgeFinding, ...]:
        """The findings that should be repaired."""
        return tuple(finding for finding in self.findings if finding.is_fault)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        findings = [{**asdict(f), "is_fault": f.is_fault} for f in self.findings]
        return {**asdict(self), "findings": findings}


def check_knowledge(
    knowledge: KnowledgeBase,
    *,
    least_rows: int = LEAST_ROWS,
    token_limit: int | None = None,
    categories: Sequence[str] | None = None,
    on_progress: OnProgress = silent,
) -> KnowledgeReport:
    """Look through a knowledge base.

    Args:
        knowledge: any.
        least_rows: descriptions that a category should have.
        token_limit: of a description; None takes what the knowledge base says.
        categories: look at these alone, and take no other's name for a fault; case, blanks and
            underscores do not matter. None for all.
        on_progress: of the rows that were looked at.
    """
    limit = knowledge.metadata.token_limit if token_limit is None else token_limit
    categories_known = knowledge.categories
    matched, missing = _matched(
        categories_known if categories is None else categories, categories_known
    )
    look = _Look(knowledge, matched, limit)
    for category in missing:
        look.note("missing", category=category)
    what, n = f"knowledge base {knowledge.name}", len(knowledge)
    for number, row in enumerate(knowledge.rows(), start=1):
        look.at(row)
        if number % _PROGRESS_ROWS == 0 or number == n:
            on_progress(what, number, n)
    return KnowledgeReport(
        knowledge.name, look.n_rows, tuple(look.findings(least_rows)), tuple(look.texts())
    )


def _matched(
    classes: Sequence[str], categories: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the categories of classes, each once, and the classes that have none."""
    exact = set(categories)
    folded = {" ".join(words_of(category)): category for category in reversed(categories)}
    matched: dict[str, None] = {}
    missing: dict[str, None] = {}
    for name in classes:
        category = name if name in exact else folded.get(" ".join(words_of(name)))
        if category is None:
            missing[name] = None
        else:
            matched[category] = None
    return tuple(matched), list(missing)


@dataclass
class _Group:
    """What is counted of the descriptions of one category in one modality."""

    n: int = 0
    n_words: int = 0
    n_pairs: int = 0
    # Hashes, for a base of a million sentences has as many pairs of words as fill gigabytes.
    pairs: set[int] = field(default_factory=set)
    weights: Counter[str] = field(default_factory=Counter)

    def add(self, words: Sequence[str]) -> None:
        self.n += 1
        self.n_words += len(words)
        self.n_pairs += len(words) - 1
        self.pairs.update(map(hash, itertools.pairwise(words)))
        distinct = set(words)
        for word in distinct:
            self.weights[word] += 1 / len(distinct) ** 0.5

    def overlap(self) -> float:
        """Return the mean cosine of two word sets: of the n^2 pairs, n are of one with itself."""
        square = sum(weight**2 for weight in self.weights.values())
        return (square - self.n) / (self.n * (self.n - 1))


@dataclass
class _Lengths:
    """How many texts, how many tokens in all, and in the longest."""

    n: int = 0
    total: int = 0
    most: int = 0

    def add(self, n_tokens: int) -> None:
        self.n += 1
        self.total += n_tokens
        self.most = max(self.most, n_tokens)


@dataclass
class _Owners:
    """Whose each text is: its first owner, and all of them where there are several."""

    first: dict[str, str] = field(default_factory=dict)
    several: dict[str, set[str]] = field(default_factory=dict)

    def add(self, text: str, owner: str) -> None:
        if (first := self.first.setdefault(text, owner)) != owner:
            self.several.setdefault(text, {first}).add(owner)


@dataclass
class _Look:
    """Collects what rows show, in one pass."""

    knowledge: KnowledgeBase
    categories: tuple[str, ...]
    limit: int
    n_rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    groups: dict[Modality, dict[str, _Group]] = field(default_factory=dict)
    lengths: dict[Modality, _Lengths] = field(default_factory=dict)
    items: dict[Modality, set[str]] = field(default_factory=dict)
    owners: _Owners = field(default_factory=_Owners)
    sharing: dict[Modality, _Owners] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = {category: self.knowledge.synonyms(category) for category in self.categories}
        self.names = CategoryNames(self.categories, names)
        self.counter = TokenCounter()
        self.known = set(self.categories)

    def note(self, kind: str, **example: Any) -> None:
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(example)

    def at(self, row: Description) -> None:
        if row.category not in self.known:
            return
        self.n_rows += 1
        shown = {"id": row.id, "category": row.category, "description": row.description[:200]}
        words = words_of(row.description)
        if not words:
            self.note("blank", **shown)
        elif row.source != LABEL:
            self._at_text(row, words, shown)

    def _at_text(self, row: Description, words: list[str], shown: dict[str, Any]) -> None:
        n_tokens = self.counter.count(row.description)
        self.lengths.setdefault(row.modality, _Lengths()).add(n_tokens)
        groups = self.groups.setdefault(row.modality, {})
        groups.setdefault(row.category, _Group()).add(words)
        if n_tokens > self.limit:
            self.note("too long", **shown, tokens=n_tokens)
        text = " ".join(words)
        key = hash((row.id if row.modality else row.category, row.modality, text))
        if key in self.seen:
            self.note("duplicates", **shown)
        self.seen.add(key)
        if row.modality:
            self.items.setdefault(row.modality, set()).add(row.id)
            self.sharing.setdefault(row.modality, _Owners()).add(text, row.id)
            return
        if other_names := self.names.others(row.category, row.description):
            self.note("names another", **shown, names=other_names)
        self.owners.add(text, row.category)

    def findings(self, least_rows: int) -> list[KnowledgeFinding]:
        """Return what is wrong or odd, faults first."""
        all_findings: list[KnowledgeFinding] = []

        def report(kind: FindingKind, message: str, total: int) -> None:
            if count := self.counts[kind]:
                examples = tuple(self.examples.get(kind, ()))
                all_findings.append(KnowledgeFinding(kind, count, total, message, examples))

        written = {c: group.n for c, group in self.groups.get("", {}).items()}
        # A base of items alone has no descriptions of categories to be short of.
        for category in self.categories if written else ():
            if (n := written.get(category, 0)) < least_rows:
                self.note("few rows", category=category, rows=n)
        for text, owners in self.owners.several.items():
            self.note("several categories", description=text[:200], categories=sorted(owners))
        for modality, sharing in self.sharing.items():
            for text, ids in sharing.several.items():
                self.note("shared by items", modality=modality, description=text[:200], n=len(ids))
        self.counts["unrepaired"] = self.counter.n_unrepaired
        n_texts = sum(written.values())
        n_captions = sum(len(sharing.first) for sharing in self.sharing.values())
        n_asked = len(self.categories) + self.counts["missing"]
        report("missing", "classes that it has no rows of", n_asked)
        report("blank", "rows without a word", self.n_rows)
        report("too long", f"rows over {self.limit} tokens, which are cut", self.n_rows)
        report("duplicates", "rows that an earlier one of the category or item has", self.n_rows)
        report("names another", "rows of a category that name another one", n_texts)
        report(
            "few rows",
            f"categories with fewer than {least_rows} descriptions",
            len(self.categories),
        )
        report(
            "several categories", "sentences that several categories have", len(self.owners.first)
        )
        report("shared by items", "captions that several items have", n_captions)
        report(
            "unrepaired",
            "texts whose tokens were counted without ftfy, which is not installed",
            self.n_rows,
        )
        return all_findings

    def texts(self) -> list[TextStatistics]:
        """Return length and diversity, of categories first."""
        return [self._statistics(modality) for modality in sorted(self.groups)]

    def _statistics(self, modality: Modality) -> TextStatistics:
        groups = list(self.groups[modality].values())
        tokens = self.lengths[modality]
        several = [group for group in groups if group.n > 1]
        return TextStatistics(
            what=modality or "categories",
            n=tokens.n,
            groups=len(self.items[modality]) if modality else len(groups),
            mean_tokens=round(tokens.total / tokens.n, 1),
            max_tokens=tokens.most,
            distinct_1=_mean([len(g.weights) / g.n_words for g in groups]),
            distinct_2=_mean([len(g.pairs) / max(1, g.n_pairs) for g in groups]),
            overlap=_mean([group.overlap() for group in several]),
        )


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0
