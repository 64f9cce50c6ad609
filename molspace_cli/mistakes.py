"""How a mistake is shown: in the width there is, and the system's errors in our form."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reactions.core.errors import MolspaceError

_LONGEST_WORD = 200
_PIPE_COLUMNS = 160
_CARET = re.compile(r"  \s*\^+$")


def system_error(error: OSError) -> MolspaceError:
    """Return an error of the operating system, which no step named, as one of ours."""
    from reactions.core.errors import StoreError, UsageError

    path = f"'{error.filename}'" if error.filename is not None else ""
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(
            "a path is longer than the file system allows", why=path, fix="shorten it"
        )
    why = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if not path:
        return StoreError(
            f"the system refused: {why}", fix="try again; if the error persists, report it"
        )
    return StoreError(
        f"cannot use {path}", why=why, fix="check the path and its permissions", path=path
    )


def with_near_file(error: MolspaceError, arguments: Sequence[str]) -> MolspaceError:
    """Let an error about a file that is not there name one that is nearly called so.

    Args:
        error: changed where it has no such proposal yet.
        arguments: of the command line; the one that the error is about is quoted in it.
    """
    from reactions.core.errors import BundleError, MissingError, UsageError
    from reactions.core.file_names import near_file

    is_missed = isinstance(error, MissingError | BundleError)
    if "did you mean" in error.fix or not (is_missed or isinstance(error, UsageError)):
        return error
    for argument in arguments:
        for text in dict.fromkeys((argument, argument.partition("=")[2])):
            # What has no ending may be the name of anything, unless something was missed.
            if not _may_be_path(text, is_missed) or not _is_about(error, text):
                continue
            if near := near_file(text):
                error.fix = "   or ".join(filter(None, (f"did you mean '{near}'?", error.fix)))
                return error
    return error


def _may_be_path(text: str, is_missed: bool) -> bool:
    """Return whether an argument may name a file that is not there."""
    has_ending = "." in os.path.basename(text)  # noqa: PTH119
    is_option = not text or text.startswith("-")
    return not is_option and (has_ending or is_missed) and not os.path.lexists(text)


def _is_about(error: MolspaceError, text: str) -> bool:
    whole = rf"(?<![\w.]){re.escape(text)}(?![\w.])"
    return re.search(whole, f"{error.what} {error.why}") is not None


def error_text(error: MolspaceError) -> str:
    """Return an error for people: very long words cut, the caret in view."""
    lines = error.lines()
    for i in range(1, len(lines)):
        if _CARET.match(lines[i]):
            lines[i - 1], lines[i] = _window(lines[i - 1], lines[i])
    return "error: " + "\n".join(_shortened(line) for line in lines)


def _columns() -> int:
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return max(20, shutil.get_terminal_size().columns) if terminal else _PIPE_COLUMNS


def _window(source: str, caret: str) -> tuple[str, str]:
    """Cut a line of source and the caret below it to what is around the caret."""
    width = _columns()
    if len(source) <= width:
        return source, caret
    start = len(caret) - len(caret.lstrip())
    end = min(len(caret), start + width // 2)
    first = max(0, min(start - width // 3, len(source) - width + 4))
    last = min(len(source), first + width - 4)
    head, tail = "…" if first > 0 else " ", "…" if last < len(source) else ""
    marks = " " * (start - first) + "^" * max(1, min(end, last) - start)
    return f" {head}{source[first:last]}{tail}", f"  {marks}"


def _shortened(line: str) -> str:
    def cut(match: re.Match[str]) -> str:
        word = match[0]
        return f"{word[: _LONGEST_WORD // 2]}…{word[-_LONGEST_WORD // 2 :]}"

    return re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", cut, line)
