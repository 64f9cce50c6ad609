"""Folders and projects that boards are written to, checked before anything runs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from reactions.core.errors import StoreError, UsageError


def check_folder(folder: Path, option: str) -> None:
    """Make a folder, and find out whether it can be written to.

    Raises:
        StoreError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        why = "" if os.access(folder, os.W_OK | os.X_OK) else "it may not be written to"
    except FileExistsError:
        why = "it is a file"
    except NotADirectoryError:
        why = "a part of the path is a file"
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
    if why:
        raise StoreError(
            f"cannot write to the folder {folder}", why=why, fix=f"another folder than {option}"
        )


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
