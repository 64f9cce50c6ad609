"""The estimate that is shown, and the question that is asked, before a long run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from molspace_cli.console import human_bytes, human_flops, say

if TYPE_CHECKING:
    from reactions.core.types import Space
    from reactions.knowledge.generation.base import Generator
    from reactions.knowledge.generation.settings import Expectation
    from reactions.labs.trust import Mention
    from reactions.planning.plan import Plan
    from reactions.session import Session


def confirm(session: Session, planned: Plan, *, yes: bool, quiet: bool) -> None:
    """Refuse a cache that cannot take the results; warn of leaks; ask before a long run."""
    from molspace_cli.amounts import duration
    from reactions.core.errors import EXIT_INTERRUPTED, StoreError
    from reactions.modalities.text import TEXT

    estimate = session.estimate(planned)
    disk = (
        f"{human_bytes(estimate.cost.size_bytes)} on disk, {human_bytes(estimate.free_bytes)} free"
    )
    if not estimate.fits:
        raise StoreError(
            "the results do not fit on the disk",
            why=disk,
            fix="free some space (molspace cache gc), or set MOLSPACE_CACHE to a folder on a "
            "larger disk",
        )
    if estimate.steps:
        session.store.try_writing()
    if estimate.steps and not quiet and TEXT.name in {name for name, _, _ in estimate.corpora}:
        from reactions.labs.inventory import leaks  # loads much, and often nothing is to be run

        for leak in leaks(session.lab):
            say(f"note: {leak}")
    if estimate.steps and not quiet and planned.pairs:
        from reactions.labs.pairs_audit import leaked_pairs

        for pairs in planned.pairs:
            for leak in leaked_pairs(session.lab, pairs):
                say(f"note: {leak}")
    if not estimate.is_long or yes:
        return
    for name, usable, n_items in estimate.corpora:
        say(f"{name}: {usable:,} usable items of {n_items:,}")
    took = duration(session.seconds(estimate))
    without = ", ".join(("decoding", *estimate.uncounted))
    speed = "at the speed of this device"
    if session.has_other_workers:
        speed += f" alone (the workers of --executor {session.executor} may be other devices)"
    say(
        f"{estimate.steps} steps, {human_flops(estimate.cost.flops)}: about {took} {speed}, "
        f"not counting {without}; {disk}"
    )
    # A script cannot answer, so it goes on without being asked.
    if _somebody_is_there() and not typer.confirm("go on?", default=True, err=True):
        say("interrupted; nothing was run")
        raise typer.Exit(EXIT_INTERRUPTED)


def checked_first(
    check: Callable[[Space], object], confirm: Callable[[Plan], None]
) -> Callable[[Plan], None]:
    """Return a question before a run that refuses first what does not fit a reaction's product.

    Args:
        check: refuses factors, say, that the product does not have: before it is trained.
        confirm: asks.
    """
    from reactions.planning.plan import ReactionPlan

    def asked(planned: Plan) -> None:
        if isinstance(planned, ReactionPlan):
            check(planned.checked.space)
        confirm(planned)

    return asked


MANY_CELLS = 100_000
"""Settings times tasks that are scored without a question."""

_CELL_S = 0.005
"""About what one setting takes on an evaluation set of 1,000 items with five captions each."""


def agree_to_cells(n_cells: int, n_tasks: int, *, yes: bool) -> None:
    """Ask before a sweep of very many settings.

    Raises:
        UsageError: there are that many, and no terminal to ask on.
    """
    from molspace_cli.amounts import duration
    from reactions.core.errors import EXIT_INTERRUPTED, UsageError

    if n_cells * n_tasks <= MANY_CELLS or yes:
        return
    took = duration(_CELL_S * n_cells * n_tasks)
    what = f"{n_cells:,} settings x {n_tasks} {'task' if n_tasks == 1 else 'tasks'}"
    if not _somebody_is_there():
        raise UsageError(
            f"{what} are many",
            why=f"about {took} at 1,000 items a task, and in proportion to the items",
            fix="larger steps, or --yes",
            cells=n_cells,
        )
    say(f"{what}: about {took} at 1,000 items a task, and in proportion to the items")
    if not typer.confirm("go on?", default=True, err=True):
        say("interrupted; nothing was run")
        raise typer.Exit(EXIT_INTERRUPTED)


MANY_QUESTIONS = 100
"""That are asked of a model on this machine without a question to the user."""


def agree_to_questions(
    expected: Expectation, generator: Generator, *, yes: bool, quiet: bool
) -> None:
    """Say what will be asked of a generator and where, and ask a person first.

    Raises:
        UsageError: it is not on this machine, and there is no terminal to ask on.
    """
    from molspace_cli.amounts import counted, duration
    from reactions.core.errors import EXIT_INTERRUPTED, UsageError

    if not expected.requests:
        return
    price = "unknown cost (--price-in, --price-out)"
    if expected.money is not None:
        price = f"about {expected.money:.2g} in the currency of the prices"
    elif not generator.is_remote:
        price = ""
    tokens = f"about {expected.tokens_in:,} tokens to read and {expected.tokens_out:,} to write"
    least = f"at least {duration(expected.least_s)}" if expected.least_s else ""
    answered = f"{expected.answered:,} answered before" if expected.answered else ""
    requests = f"{counted(expected.requests, 'request')} to {generator.place}"
    what = ", ".join(filter(None, (requests, tokens, price, least, answered)))
    goes_on = yes or (not generator.is_remote and expected.requests <= MANY_QUESTIONS)
    if not quiet or not goes_on:
        say(f"{what}, if no row is dropped")
    if goes_on:
        return
    if not _somebody_is_there():
        if generator.is_remote:
            raise UsageError(
                f"{what}: nobody can be asked whether to go on",
                why="what is described leaves this machine, and may cost money",
                fix="--yes, and --max-requests or --max-cost to bound it",
                requests=expected.requests,
            )
        return
    if not typer.confirm("go on?", default=True, err=True):
        say("interrupted; nothing was asked")
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
