"""Which bundle a command uses, and which one later commands use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reactions.products.target import Target


def say_bundle(target: Target, *, quiet: bool) -> None:
    """Say which bundle is used, and why."""
    if target.bundle is not None and not quiet:
        say_current(target.bundle.path, target.reason)


def say_current(directory: Path, reason: str) -> None:
    """Say which bundle is used, and why; a terminal's line is short where it can be."""
    from molspace_cli.console import say, shortened

    say(shortened(f"bundle: {directory} ({reason})"))


def make_current(directory: Path) -> None:
    """Make a bundle the current one of this folder; where that fails, only warn."""
    from molspace_cli.console import say
    from reactions.core.errors import StoreError
    from reactions.products.bundles.current import set_current

    try:
        set_current(directory)
    except StoreError as error:
        say(f"warning: {error.what}: {error.why}")
