"""Which rows of an answer are kept: reasons to drop the others, each of them counted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from reactions.core.printable import printable_cell
from reactions.encoders.preprocessing.clip_bpe import count_tokens

EMPTY = "empty"
REFUSAL = "refusal"
UNPRINTABLE = "control signs"
DUPLICATE = "duplicate"
OTHER_CLASS = "names another class"
TOO_MANY = "more than was asked for"

_MAX_CHARACTERS = 4000
_REFUSALS = re.compile(
    r"(i('m| am) (very |so )?sorry|sorry|i apologi[sz]e|unfortunately,? i|as an? (ai|language)\b|"
    r"i('m| am) (unable|not able|just an? )|i (cannot|can't|can not|won't|will not|could not|"
    r"couldn't|do not|don't) (\w+ ){0,2}(provide|generate|create|write|assist|help|fulfil|comply|"
    r"describe|produce|see|view|hear|play|have access|continue|access|process|listen))",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_MAX_NAME_WORDS = 8


def too_long(token_limit: int) -> str:
    """Return the reason for a row of more tokens than a text tower reads."""
    return f"over {token_limit} tokens"


def folded(text: str) -> str:
    """Return what is the same in descriptions that only differ in case and punctuation."""
    return " ".join(_words(text))


class ClassNames:
    """The names of a set's classes, found in sentences.

    Args:
        classes: as tasks name them: underscores are blanks, and commas part synonyms.
    """

    def __init__(self, classes: Iterable[str]) -> None:
        self._owners: dict[tuple[str, ...], set[str]] = {}
        self._longest = 0
        for category in classes:
            for name in category.split(","):
                words = tuple(_words(name))
                if 0 < len(words) <= _MAX_NAME_WORDS:
                    self._owners.setdefault(words, set()).add(category)
                    self._longest = max(self._longest, len(words))

    def named_in(self, text: str) -> set[str]:
        """Return the classes that a sentence names, in the singular or with an s.

        A name inside a longer one is none: "snake" in "water snake".
        """
        words, found, start = _words(text), set[str](), 0
        while start < len(words):
            for length in range(min(self._longest, len(words) - start), 0, -1):
                owners = self._of(tuple(words[start : start + length]))
                if owners:
                    found |= owners
                    start += length - 1
                    break
            start += 1
        return found

    def _of(self, words: tuple[str, ...]) -> set[str]:
        owners = self._owners.get(words, set())
        for ending in ("s", "es"):
            if words[-1].endswith(ending) and len(words[-1]) > len(ending) + 1:
                singular = (*words[:-1], words[-1][: -len(ending)])
                owners = owners | self._owners.get(singular, set())
        return owners


@dataclass
class Screen:
    """Judges the rows of one category or item, in order.

    Attributes:
        category: whose rows they are; "" if that is not known.
        names: the names of all classes; None where rows may name any.
        token_limit: the most tokens of CLIP's text towers, start and end included.
        cut_long: shorten a row that is too long to whole sentences, where its first one fits.
    """

    category: str = ""
    names: ClassNames | None = None
    token_limit: int = 77
    cut_long: bool = False
    _seen: set[str] = field(default_factory=set)

    def judge(self, row: str) -> tuple[str, str]:
        """Return what is kept of a row ("" for nothing), and why not all of it is ("" if it is)."""
        row = unicodedata.normalize("NFC", row.strip())
        if not _WORD.search(row):
            return "", EMPTY
        if _REFUSALS.match(row):
            return "", REFUSAL
        if printable_cell(row) != row:
            return "", UNPRINTABLE
        reason = ""
        if len(row) > _MAX_CHARACTERS or count_tokens(row) > self.token_limit:
            reason = too_long(self.token_limit)
            row = self._first_sentences(row[:_MAX_CHARACTERS]) if self.cut_long else ""
            if not row:
                return "", reason
            reason += ", cut to whole sentences"
        key = folded(row)
        if key in self._seen:
            return "", DUPLICATE
        if self.names is not None and self.category:
            named = self.names.named_in(row)
            if named and self.category not in named:
                return "", OTHER_CLASS
        self._seen.add(key)
        return row, reason

    def _first_sentences(self, row: str) -> str:
        for end in reversed([match.end() for match in re.finditer(r"[.!?](?=\s)", row)]):
            if count_tokens(row[:end]) <= self.token_limit:
                return row[:end]
        return ""


def _words(text: str) -> list[str]:
    return _WORD.findall(text.replace("_", " ").casefold())
