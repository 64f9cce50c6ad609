"""The packages that spaces can be compared with, by name; nothing here imports any of them."""

from __future__ import annotations

from reactions.core.errors import UsageError, suggestion

NAMES = ("laion_clap", "open_clip", "transformers", "imagebind")


def known(name: str) -> str:
    """Return a name if it is that of a package.

    Raises:
        UsageError: it is not.
    """
    if name not in NAMES:
        raise UsageError(
            f"no package to compare with is called '{name}'",
            why=f"there are {', '.join(NAMES)}",
            fix=suggestion(name, NAMES),
        )
    return name
