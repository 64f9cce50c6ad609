"""What is asked of an evaluation set: protocol, prompts, main score, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Modality
from reactions.modalities.text import TEXT

Kind: TypeAlias = Literal["classification", "multilabel", "retrieval"]

Hit: TypeAlias = Literal["pair", "class"]
"""What counts as found in retrieval: the paired item itself, or any item of the query's class."""

CUTOFFS = (1, 5, 10)
"""The k of R@k unless a task says otherwise; the papers of most sets report 1 and 5."""

FREEBIND, UNIBIND = GROUPS = ("freebind", "unibind")
"""Whose evaluation sets ``--task GROUP`` takes: Molecule-Space's nine, and UniBind's thirteen."""

OWN = "own"
"""Stands for the tasks of no group: a lab's own, and those that packages add."""

MAIN_SCORES: Mapping[Kind, str] = {
    "classification": "accuracy",
    "multilabel": "mAP",
    "retrieval": "mean R@1",
}
"""What stands for a task of each kind unless it says otherwise."""

SOUND_TEMPLATES = ("This is a sound of {class}.",)
IMAGE_TEMPLATES = ("a photo of a {class}.",)

CLIP_DEFAULT = "the prompt is CLIP's default template, as UniBind says of its baselines"
"""Protocol of the sets whose prompt no paper gives."""

CAPTIONS = (
    "text->{m} pools all captions, each a query with one right answer; {m}->text counts the "
    "best-ranked of an item's captions; main score: mean of both directions' R@1"
)
"""Protocol of retrieval with captions of the modality ``{m}``."""

PAIRS = (
    "each item has one partner; both directions; main score: mean of both directions' R@1; "
    "parts of the set are gone from the web, so the items found are reported"
)
"""Protocol of retrieval between the sounds and the images of videos."""


@dataclass(frozen=True, slots=True)
class Task:
    """An evaluation set's description, and how it is scored.

    Attributes:
        name: as ``--task`` takes it.
        title: as its authors write it.
        kind: which protocol scores it.
        query: modality of the queries; of the left items for retrieval.
        other: modality of the prompts, or of the right items.
        expected: items of the published evaluation set; 0 if unknown.
        protocol: the rules in words.
        licence: of the data.
        citation: author and year.
        source: where to get the data.
        templates: prompts with ``{class}`` where the class name goes; none for retrieval.
        aliases: other names people type.
        main_score: the metric that stands for the task; "" takes the usual one of its kind.
        paper_items: items that Molecule-Space, table 1, says it evaluates; 0 if it does not list
            the set.
        cutoffs: the k of R@k, ascending.
        hit: what counts as found in retrieval.
        groups: the papers that evaluate on it, of ``GROUPS``.
        rank: where lists of all sets have it; those of one rank are sorted by name.

    Raises:
        UsageError: templates, main score, cutoffs or kind of hit do not fit the kind, or a group
            is unknown.
    """

    name: str
    title: str
    kind: Kind
    query: Modality
    other: Modality
    expected: int = 0
    protocol: str = ""
    licence: str = ""
    citation: str = ""
    source: str = ""
    templates: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    main_score: str = ""
    paper_items: int = 0
    cutoffs: tuple[int, ...] = CUTOFFS
    hit: Hit = "pair"
    groups: tuple[str, ...] = ()
    rank: int = 100

    def __post_init__(self) -> None:
        if self.kind not in MAIN_SCORES:
            raise self._wrong(f"is of the kind '{self.kind}'", suggestion(self.kind, MAIN_SCORES))
        if self.kind == "retrieval" and self.templates:
            raise self._wrong("has prompt templates", "retrieval takes none: leave them out")
        if self.kind != "retrieval" and not self.templates:
            raise self._wrong("has no prompt template", 'such as "a photo of a {class}."')
        for template in self.templates:
            if "{class}" not in template:
                fix = "write {class} where the name of the class goes"
                raise self._wrong(f"has the template '{template}' without {{class}}", fix)
        if list(self.cutoffs) != sorted(set(self.cutoffs)) or min(self.cutoffs, default=0) < 1:
            raise self._wrong(f"has the cutoffs {self.cutoffs}", "such as (1, 5, 10), ascending")
        if self.hit != "pair" and self.kind != "retrieval":
            raise self._wrong(f"counts hits by {self.hit}", "only retrieval has kinds of hits")
        if self.hit not in get_args(Hit):
            raise self._wrong(f"counts hits by '{self.hit}'", suggestion(self.hit, get_args(Hit)))
        for group in self.groups:
            if group not in GROUPS:
                raise self._wrong(f"is of the group '{group}'", suggestion(group, GROUPS))
        if not self.main_score:
            object.__setattr__(self, "main_score", MAIN_SCORES[self.kind])
        if self.main_score not in self.metrics:
            fix = suggestion(self.main_score, self.metrics)
            raise self._wrong(f"has the main score '{self.main_score}'", fix)

    @property
    def directions(self) -> tuple[str, str]:
        """Names of the two directions of retrieval: to the query's modality, and from it."""
        return f"{self.other}->{self.query}", f"{self.query}->{self.other}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that every set of this kind has."""
        if self.kind != "retrieval":
            return (MAIN_SCORES[self.kind],)
        return tuple(f"{name} R@{k}" for name in (*self.directions, "mean") for k in self.cutoffs)

    @property
    def has_captions(self) -> bool:
        """Whether its right items are texts, which a corpus may hold, too."""
        return self.kind == "retrieval" and self.other == TEXT.name

    def spellings(self) -> frozenset[str]:
        """Return the name and the aliases, folded."""
        return frozenset(map(folded, (self.name, *self.aliases)))

    def _wrong(self, what: str, fix: str) -> UsageError:
        return UsageError(f"the task '{self.name}' {what}", fix=fix, task=self.name)


def counting_hits(tasks: Sequence[Task], hit: Hit) -> tuple[Task, ...]:
    """Return the same tasks, in which retrieval counts as found what is asked for.

    Raises:
        UsageError: none of them is retrieval.
    """
    if all(task.kind != "retrieval" for task in tasks):
        names = ", ".join(task.name for task in tasks)
        raise UsageError(
            f"hits by {hit} are of retrieval, and nothing that is asked for is: {names}",
            fix="leave --hit out",
        )
    return tuple(replace(t, hit=hit) if t.kind == "retrieval" else t for t in tasks)


def folded(name: str) -> str:
    """Return a task's name without what does not matter when one is typed: case, punctuation."""
    return "".join(c for c in name.casefold() if c.isalnum())
