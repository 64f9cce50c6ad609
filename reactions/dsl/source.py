"""Where a reaction was written, for errors that point at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from reactions.core.errors import LanguageError

_LINE_CHARACTERS = 120


class Span(NamedTuple):
    """A half-open range of characters in a source text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ProgramText:
    """A text and where it came from.

    Attributes:
        text: the whole text that spans refer to.
        origin: file name, or "" for text typed in place.
        numbered: whether errors add the line number to the origin.
    """

    text: str
    origin: str = ""
    numbered: bool = True

    def line_number(self, offset: int) -> int:
        """Return the 1-based line that holds the character at ``offset``."""
        return self.text.count("\n", 0, offset) + 1

    def error(
        self, what: str, span: Span, *, why: str = "", fix: str = "", **fields: Any
    ) -> LanguageError:
        """Return (not raise) a language error that underlines ``span``."""
        origin = self.origin
        if origin and self.numbered:
            origin = f"{origin}:{self.line_number(span.start)}"
        return LanguageError(
            what,
            text=self.text,
            column=span.start,
            width=span.end - span.start,
            origin=origin,
            why=why,
            fix=fix,
            **fields,
        )

    def rewritten(self, span: Span, replacement: str) -> str:
        """Return the line around ``span`` with ``span`` replaced, to offer as a fix.

        Comments stay out; of a very long line only the replacement is returned.
        """
        start = self.text.rfind("\n", 0, span.start) + 1
        stop = self.text.find("\n", span.end)
        after = self.text[span.end : len(self.text) if stop < 0 else stop]
        line = (self.text[start : span.start] + replacement + after.split("#")[0]).strip()
        return line if len(line) <= _LINE_CHARACTERS else replacement.strip()
