"""What a run describes, how it asks for descriptions, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from reactions.core.types import Item
from reactions.knowledge.generation.base import Question
from reactions.knowledge.generation.lists import Sentences
from reactions.knowledge.generation.screening import Screen


@dataclass(frozen=True, slots=True)
class DescriptionSubject:
    """A category or an item that descriptions are wanted of.

    Attributes:
        key: tells it from all others.
        category: its class; "" if that is not known.
        count: descriptions that are wanted, >= 1.
        item: to be described, without its value; None for a category.
    """

    key: str
    category: str
    count: int
    item: Item | None = None


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A description, and where it came from."""

    text: str
    model: str
    prompt: str
    seed: int | None


@dataclass
class Outcome:
    """What a run has made, with that of the runs before it.

    Attributes:
        rows: by key, in the order in which they were wanted.
        dropped: reason to the number of rows that were left out.
        troubles: reason to the number of requests without a usable answer, of this run.
        short: key to how many rows are missing.
        failed: key to the reason why it was given up in this run.
        requests: that were sent, by this run and those before it.
        requests_now: that were sent by this run.
        tokens_in: read by the generator, also for requests without a usable answer.
        tokens_out: written by it, likewise.
        tokens_are_estimated: the generator did not say how many, for some requests.
    """

    rows: dict[str, list[KeptRow]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    short: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    requests_now: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_are_estimated: bool = False

    @property
    def n_rows(self) -> int:
        """Descriptions that are kept."""
        return sum(map(len, self.rows.values()))


@dataclass(frozen=True, slots=True)
class Making:
    """How questions are made and answers read.

    Attributes:
        question: (what is described, number of the question, rows to ask for) to the question;
            called in a thread.
        read: (text, whether it was cut) to its sentences.
        screen: judges rows.
        batch: rows that one question asks for at most.
    """

    question: Callable[[DescriptionSubject, int, int], Question]
    read: Callable[[str, bool], Sentences]
    screen: Screen
    batch: int
