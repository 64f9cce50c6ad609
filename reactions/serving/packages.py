"""What the server needs beside molspace."""

from __future__ import annotations

from importlib.util import find_spec

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra

_NEEDED = ("starlette", "uvicorn")


def check_packages() -> None:
    """Refuse to go on without the packages that serve pages.

    Raises:
        MissingError: one is not installed.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingError(
            f"molspace serve needs {' and '.join(missing)}",
            why="not installed",
            fix=install_extra("serve"),
            packages=missing,
        )
