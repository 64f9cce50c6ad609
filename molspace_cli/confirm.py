"""What a person sees and is asked before a long run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from molspace_cli.console import human_bytes, human_flops, say

if TYPE_CHECKING:
    from reactions.labs.trust import Mention
    from reactions.planning.planner import Plan
    from reactions.session import Workbench


def consider(bench: Workbench, planned: Plan, *, yes: bool, quiet: bool) -> None:
    """Refuse what the disk has no room for; warn of leaks; ask a person before a long run."""
    from molspace_cli.amounts import duration
    from reactions.core.errors import StoreError

    outlook = bench.outlook(planned)
    disk = f"{human_bytes(outlook.cost.size_bytes)} on disk, {human_bytes(outlook.free_bytes)} free"
    if not outlook.fits:
        raise StoreError("the results do not fit on the disk", why=disk, fix="set MOLSPACE_CACHE")
    if outlook.steps and not quiet and "text" in {name for name, _, _ in outlook.corpora}:
        for leak in bench.lab.leaks():
            say(f"note: {leak}")
    if not outlook.is_long or yes:
        return
    for name, usable, found in outlook.corpora:
        say(f"{name}: {usable:,} usable items of {found:,}")
    took = duration(bench.seconds(outlook))
    without = ", ".join(("decoding", *outlook.uncounted))
    say(
        f"{outlook.steps} steps, {human_flops(outlook.cost.flops)}: about {took} at the speed of "
        f"this device, not counting {without}; {disk}"
    )
    # In a script nobody could answer: it goes on.
    if _somebody_is_there() and not typer.confirm("go on?", default=True, err=True):
        say("interrupted; nothing was run")
        raise typer.Exit(130)  # as if interrupted


def agree(path: Path, found: Sequence[Mention]) -> bool:
    """Ask a person on a terminal whether to use a lab file that was found by itself."""
    from reactions.labs.trust import listing

    if not _somebody_is_there():
        return False
    say(f"{path}, found in the working folder, names what would be fetched, imported or run:")
    for line in listing(found):
        say(f"  {line}")
    return typer.confirm("use it, now and as long as it does not change?", default=False, err=True)


def _somebody_is_there() -> bool:
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)
