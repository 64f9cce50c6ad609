"""Commands that measure the mini lab on several seeds: their options, and a session for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from molspace_cli import complete, opening

if TYPE_CHECKING:
    from reactions.session import Session

Seeds: TypeAlias = Annotated[
    int, typer.Option("--seeds", metavar="N", min=2, help="How many seeds.")
]
First: TypeAlias = Annotated[
    int, typer.Option("--from", metavar="N", min=0, help="The first of them.")
]
MiniLab: TypeAlias = Annotated[
    str,
    typer.Option(
        "--lab",
        metavar="FILE",
        autocompletion=complete.labs,
        help="A lab that extends mini: other encoders.",
    ),
]


def open_seeds(
    command: str,
    lab: str,
    seeds: range,
    *,
    precision: str | None,
    device: str | None,
    executor: str,
    quiet: bool,
    track: str | None = None,
) -> list[Session]:
    """Open a session for each seed; all have one display.

    Args:
        command: what is running, for what is tracked.
        lab: its name or file.
        seeds: instead of the lab's.
        precision: instead of the lab's.
        device: where to run.
        executor: what runs the steps.
        quiet: show warnings only.
        track: where losses and scores go.
    """
    sessions = [
        opening.open_session(
            lab,
            seed=seed,
            precision=precision,
            device=device,
            executor=executor,
            quiet=quiet,
            track=track if seed == seeds[0] else None,
            command=command,
            has_rows=True,
        )
        for seed in seeds
    ]
    return [replace(session, events=sessions[0].events) for session in sessions]
