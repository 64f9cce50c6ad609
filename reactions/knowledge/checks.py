"""What is wrong with a description: told row by row, as rows are generated or imported."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

from reactions.core.types import Modality
from reactions.knowledge.base import LABEL, TOKEN_LIMIT, Description

Fault: TypeAlias = Literal["blank", "too long", "names another category", "duplicate"]
"""Why a row should not be kept; the first that holds."""

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Return the words of a text, case folded; an underscore is a space."""
    return _WORD.findall(text.replace("_", " ").casefold())


class CategoryNames:
    """Finds which categories a sentence names.

    Names are matched as whole words in a row, the longest first, in the singular or with a
    plural's s: "water snakes" names ``water_snake`` and not ``snake``. A name of ImageNet that
    lists synonyms with commas between is each of them.

    Args:
        categories: of the knowledge base.
        synonyms: further names of a category.
    """

    def __init__(
        self, categories: Iterable[str], synonyms: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._owners: dict[tuple[str, ...], set[str]] = {}
        for category in categories:
            for name in (*category.split(","), *(synonyms or {}).get(category, ())):
                if words := tuple(words_of(name)):
                    self._owners.setdefault(words, set()).add(category)
        self._lengths = sorted({len(name) for name in self._owners}, reverse=True)

    def others(self, category: str, text: str) -> list[str]:
        """Return what a sentence names of other categories, in order.

        Args:
            category: that the sentence is about; its own names are not looked into.
            text: the sentence.
        """
        words, categories, place = words_of(text), [], 0
        while place < len(words):
            name, n = self._longest(words, place)
            if name is not None and category not in (owners := self._owners[name]):
                categories.append(min(owners))
            place += n
        return list(dict.fromkeys(categories))

    def _longest(self, words: Sequence[str], place: int) -> tuple[tuple[str, ...] | None, int]:
        for n in self._lengths:
            if place + n > len(words):
                continue
            *head, last = words[place : place + n]
            for ending in ("", "s", "es"):
                if last.endswith(ending) and len(last) > len(ending):
                    name = (*head, last[: len(last) - len(ending)])
                    if name in self._owners:
                        return name, n
        return None, 1


class TokenCounter:
    """Counts the tokens of CLIP's vocabulary.

    Attributes:
        n_unrepaired: texts that are not plain ASCII, counted as they are where ftfy is missing.
    """

    def __init__(self) -> None:
        self.n_unrepaired = 0

    @cached_property
    def _repairs(self) -> bool:
        from reactions.core.errors import MissingError
        from reactions.encoders.preprocessing.clip_bpe import require_ftfy

        try:
            require_ftfy()
        except MissingError:
            return False
        return True

    def count(self, text: str) -> int:
        """Return the tokens of a text, start and end included."""
        from reactions.encoders.preprocessing.clip_bpe import count_tokens, is_plain

        repair = is_plain(text) or self._repairs
        self.n_unrepaired += not repair
        return count_tokens(text, repair=repair)


class RowChecker:
    """Tells for each row, as it comes, whether it should be kept.

    Args:
        names: of all categories; None allows any to be named.
        token_limit: that a description may have, start and end included.

    Attributes:
        counts: rows by fault, of all that were checked.
    """

    def __init__(self, names: CategoryNames | None, token_limit: int = TOKEN_LIMIT) -> None:
        self._names = names
        self._limit = token_limit
        self._tokens = TokenCounter()
        self._rows_seen: set[tuple[str, Modality, str]] = set()
        self.counts: Counter[str] = Counter()

    def fault(self, row: Description) -> Fault | None:
        """Return why a row should not be kept, or None; equal rows are known from then on.

        A sentence is a duplicate where its category, or its item, has one of the same words
        already; items may share a sentence.
        """
        fault = self._fault(row)
        if fault is not None:
            self.counts[fault] += 1
        return fault

    def _fault(self, row: Description) -> Fault | None:
        words = words_of(row.description)
        if not words:
            return "blank"
        if row.source == LABEL:
            return None
        if self._tokens.count(row.description) > self._limit:
            return "too long"
        # Items are described from what they show: only of categories is another name a fault.
        if (
            self._names is not None
            and not row.modality
            and self._names.others(row.category, row.description)
        ):
            return "names another category"
        key = (row.id if row.modality else row.category, row.modality, " ".join(words))
        if key in self._rows_seen:
            return "duplicate"
        self._rows_seen.add(key)
        return None
