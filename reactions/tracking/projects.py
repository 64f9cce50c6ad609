"""What trackers of other packages have in common: names of projects, and messages."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from reactions.core.errors import UsageError


def project_name(tracker: str, text: str) -> str:
    """Check the name of a project.

    Raises:
        UsageError: it is empty, or no name.
    """
    name = text.strip()
    if not name or any(sign in name for sign in '\\#?%:"\0\n'):
        raise UsageError(
            f"'{tracker}:{text}' names no project" if not name else f"no project '{name}'",
            why="" if not name else "a project's name is letters, digits, dashes and dots",
            fix=f"--track {tracker}:PROJECT",
        )
    return name


@contextlib.contextmanager
def messages_on_stderr() -> Iterator[None]:
    """Send what a package prints to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
