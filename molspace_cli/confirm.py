"""The estimate that is shown, and the question that is asked, before a long run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from molspace_cli.console import human_bytes, human_flops, say

if TYPE_CHECKING:
    from reactions.labs.trust import Mention
    from reactions.planning.plan import Plan
    from reactions.session import Session


def confirm(session: Session, planned: Plan, *, yes: bool, quiet: bool) -> None:
    """Refuse what the disk has no room for; warn of leaks; ask a person before a long run."""
    from molspace_cli.amounts import duration
    from reactions.core.errors import EXIT_INTERRUPTED, StoreError
    from reactions.modalities.text import TEXT

    estimate = session.estimate(planned)
    disk = (
        f"{human_bytes(estimate.cost.size_bytes)} on disk, {human_bytes(estimate.free_bytes)} free"
    )
    if not estimate.fits:
        raise StoreError("the results do not fit on the disk", why=disk, fix="set MOLSPACE_CACHE")
    if estimate.steps and not quiet and TEXT.name in {name for name, _, _ in estimate.corpora}:
        from reactions.labs.inventory import leaks  # loads much, and often nothing is to be run

        for leak in leaks(session.lab):
            say(f"note: {leak}")
    if not estimate.is_long or yes:
        return
    for name, usable, n_items in estimate.corpora:
        say(f"{name}: {usable:,} usable items of {n_items:,}")
    took = duration(session.seconds(estimate))
    without = ", ".join(("decoding", *estimate.uncounted))
    say(
        f"{estimate.steps} steps, {human_flops(estimate.cost.flops)}: about {took} at the speed of "
        f"this device, not counting {without}; {disk}"
    )
    # A script cannot answer, so it goes on without being asked.
    if _somebody_is_there() and not typer.confirm("go on?", default=True, err=True):
        say("interrupted; nothing was run")
        raise typer.Exit(EXIT_INTERRUPTED)


def agree(path: Path, mentions: Sequence[Mention]) -> bool:
    """Ask a person on a terminal whether to use a lab file that was found by itself."""
    from reactions.labs.trust import listing

    if not _somebody_is_there():
        return False
    say(f"{path}, found in the working folder, names what would be fetched, imported or run:")
    for line in listing(mentions):
        say(f"  {line}")
    return typer.confirm("use it, now and as long as it does not change?", default=False, err=True)


def _somebody_is_there() -> bool:
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)
