"""Which rows of an answer are kept; the reasons to drop the others are counted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from reactions.core.errors import UsageError
from reactions.core.printable import printable_cell
from reactions.core.types import Modality
from reactions.knowledge.base import TOKEN_LIMIT, Description
from reactions.knowledge.checks import CategoryNames, RowChecker, TokenCounter

REFUSAL = "refusal"
UNPRINTABLE = "control signs"
TOO_MANY = "more than was asked for"
CUT = "too long, cut to whole sentences"

_MAX_CHARACTERS = 4000
_REFUSALS = re.compile(
    r"(i('m| am) (very |so )?sorry|sorry|i apologi[sz]e|unfortunately,? i|as an? (ai|language)\b|"
    r"i('m| am) (unable|not able|just an? )|i (cannot|can't|can not|won't|will not|could not|"
    r"couldn't|do not|don't) (\w+ ){0,2}(provide|generate|create|write|assist|help|fulfil|comply|"
    r"describe|produce|see|view|hear|play|have access|continue|access|process|listen))",
    re.IGNORECASE,
)
_STRAIGHT = str.maketrans({"\u2019": "'", "\u2018": "'"})


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which rows are kept.

    Attributes:
        token_limit: the most CLIP tokens of a row, start and end included.
        cut_long: shorten longer rows to whole sentences instead of dropping them.
        drop_other_class: drop rows of a category that name another one.
    """

    token_limit: int = TOKEN_LIMIT
    cut_long: bool = False
    drop_other_class: bool = True

    def __post_init__(self) -> None:
        if not 3 <= self.token_limit <= 1000:
            raise UsageError(
                f"--token-limit is {self.token_limit}",
                why=f"it must be from 3 to 1000; CLIP's text towers read {TOKEN_LIMIT}",
            )


@dataclass
class Screen:
    """Judges rows, those of each category or item in order.

    Attributes:
        rules: which rows are kept.
        names: of all categories; None where rows may name any.
        source: of the rows.
        modality: of the items; "" for categories.
    """

    rules: Rules
    names: CategoryNames | None
    source: str
    modality: Modality = ""
    _tokens: TokenCounter = field(default_factory=TokenCounter)

    def __post_init__(self) -> None:
        self._checker = RowChecker(self.names, self.rules.token_limit)

    def judge(self, key: str, category: str, row: str) -> tuple[str, str]:
        """Return what is kept of a row ("" for nothing), and why not all of it is ("" if it is).

        Args:
            key: of the item, or the category's.
            category: whose row it is.
            row: the sentence.
        """
        row = unicodedata.normalize("NFC", row.strip())
        if _REFUSALS.match(row.translate(_STRAIGHT)):
            return "", REFUSAL
        if printable_cell(row) != row:
            return "", UNPRINTABLE
        if len(row) > _MAX_CHARACTERS and not self.rules.cut_long:
            return "", "too long"
        reason = ""
        if self.rules.cut_long:
            shorter = self._whole_sentences(row)
            reason = CUT if shorter != row else ""
            row = shorter or row[:_MAX_CHARACTERS]
        description = Description(key, category, row, self.source, self.modality)
        if fault := self._checker.fault(description):
            return "", fault
        return row, reason

    def _whole_sentences(self, row: str) -> str:
        """Return as many whole sentences of a row as fit; "" if the first does not."""
        ends = [match.end() for match in re.finditer(r"[.!?](?=\s)", row[:_MAX_CHARACTERS])]
        for part in self._parts(row, ends):
            if self._tokens.count(part) <= self.rules.token_limit:
                return part
        return ""

    def _parts(self, row: str, ends: list[int]) -> Iterator[str]:
        if len(row) <= _MAX_CHARACTERS:
            yield row
        yield from (row[:end] for end in reversed(ends))
