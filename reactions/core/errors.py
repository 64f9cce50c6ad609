"""Every error a user can cause, with what happened, why, and how to fix it.

The command line prints these without a traceback; anything else that escapes is
a bug of ours (exit code 1). Fields survive into ``--json`` output.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

EXIT_OK = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_MISSING = 3
EXIT_STEP_FAILED = 4
EXIT_INTERRUPTED = 130

MOST_LISTED = 60
"""Names that a fix lists where none is near: more help nobody."""


class MolspaceError(Exception):
    """Base of all user-facing errors.

    Args:
        what: one line, lower case, no full stop: what went wrong.
        why: the reason, where it is not plain from ``what``.
        fix: what the user can do about it.
        fields: JSON-able facts for machine readers (paths, numbers, names).
    """

    exit_code = EXIT_STEP_FAILED

    def __init__(self, what: str, *, why: str = "", fix: str = "", **fields: Any) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.fields = fields

    def lines(self) -> list[str]:
        """Return the message as the command line prints it, without the ``error:`` prefix."""
        return [self.what, *self._remarks()]

    def _remarks(self) -> list[str]:
        """Return where we looked (field ``looked_in``, a list), why, and the fix."""
        looked_in = ", ".join(self.fields.get("looked_in", ()))
        remarks = {"looked in": looked_in, "why": self.why, "fix": self.fix}
        return [f"  {label}: {text}" for label, text in remarks.items() if text]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_json(self) -> dict[str, Any]:
        """Return the error as a JSON object."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "why": self.why,
            "fix": self.fix,
            **self.fields,
        }


class UsageError(MolspaceError):
    """An option or argument that cannot mean anything."""

    exit_code = EXIT_USAGE


class LanguageError(UsageError):
    """A reaction that does not parse or does not check.

    Args:
        what: as for MolspaceError.
        text: the source text the column refers to.
        column: 0-based offset of the first offending character in ``text``;
            may equal ``len(text)`` when the text ends too early.
        width: number of characters to underline, >= 1.
        origin: file name and line where the text came from, if any.
    """

    def __init__(
        self,
        what: str,
        *,
        text: str,
        column: int,
        width: int = 1,
        origin: str = "",
        why: str = "",
        fix: str = "",
        **fields: Any,
    ) -> None:
        super().__init__(
            what, why=why, fix=fix, text=text, column=column, width=width, origin=origin, **fields
        )
        self.text = text
        self.column = column
        self.width = max(1, width)
        self.origin = origin

    def lines(self) -> list[str]:
        """Return the message with the source line and a caret under the mistake."""
        start = self.text.rfind("\n", 0, self.column) + 1
        end = self.text.find("\n", start)
        source = self.text[start : len(self.text) if end < 0 else end]
        offset = self.column - start
        width = max(1, min(self.width, max(1, len(source) - offset)))
        head = f"{self.what} ({self.origin})" if self.origin else self.what
        # Tabs stay tabs, so that the caret stands under its character however wide they are.
        indent = "".join("\t" if c == "\t" else " " for c in source[:offset])
        return [head, f"  {source}", f"  {indent}{'^' * width}", *self._remarks()]


class MissingError(MolspaceError):
    """Weights, data or an optional package that is not there."""

    exit_code = EXIT_MISSING


class NotSupportedYet(MolspaceError):
    """Something the language can say that this version cannot run."""

    exit_code = EXIT_USAGE


class DataError(MolspaceError):
    """Data that is there but cannot be used: corrupt, empty, mismatched, not finite."""


class DimensionMismatch(DataError):
    """Two arrays or spaces whose shapes do not fit."""


class MediaError(DataError):
    """An image, audio or text item that cannot be decoded."""


class StoreError(MolspaceError):
    """The cache cannot be read or written."""


class BundleError(MolspaceError):
    """A bundle that is truncated, tampered with, or newer than this version."""


class StepError(MolspaceError):
    """A step failed while running."""


@contextmanager
def guarded(explain: Callable[[Exception], MolspaceError]) -> Iterator[None]:
    """Turn what a library raises over a file that it cannot read into an error of ours.

    For where the set of exceptions is open, as with parsers of files from anywhere. Our own
    errors, and a lack of memory, pass through as they are.

    Args:
        explain: returns the error to raise for an exception.

    Raises:
        MolspaceError: what ``explain`` returned, or what the block raised itself.
    """
    try:
        yield
    except (MolspaceError, MemoryError):
        raise
    except Exception as error:
        raise explain(error) from error


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return the known names nearest to ``name``, best first, ignoring case and punctuation.

    Args:
        name: what the user typed.
        known: the valid names.
        limit: at most this many suggestions.
    """

    def fold(text: str) -> str:
        return "".join(c for c in text.casefold() if c.isalnum())

    folded: dict[str, list[str]] = {}
    for candidate in dict.fromkeys(known):
        folded.setdefault(fold(candidate), []).append(candidate)
    if fold(name) in folded:  # only case or punctuation is off: nothing else is meant
        return folded[fold(name)][:limit]
    near = difflib.get_close_matches(fold(name), list(folded), n=limit, cutoff=0.6)
    return [original for match in near for original in folded[match]][:limit]


def suggestion(name: str, known: Iterable[str], *, see: str = "") -> str:
    """Return a ``fix`` line: the nearest known names, and where to see all of them."""
    known = list(dict.fromkeys(known))
    near = did_you_mean(name, known)
    parts = []
    if near:
        parts.append("did you mean " + " or ".join(f"'{n}'" for n in near) + "?")
    elif len(known) > MOST_LISTED:
        parts.append(f"one of {len(known)}, such as {', '.join(sorted(known)[:3])}")
    elif known:
        parts.append("one of: " + ", ".join(sorted(known)))
    if see:
        parts.append(f"(all: {see})")
    return "  ".join(parts)
