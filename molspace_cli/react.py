"""``molspace react``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import options
from molspace_cli.console import human_bytes, human_flops, print_json, say

if TYPE_CHECKING:
    from reactions.plan import Plan
    from reactions.workbench import Workbench

Expression = Annotated[
    str,
    typer.Argument(
        metavar="EXPR|FILE.rxn|-",
        help='A reaction, such as "ImageBind + Cr(CLAP_m) & Cr(CLAP_g)"; - reads stdin.',
        show_default=False,
    ),
]


def react(
    expression: Expression,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The bundle's directory.")
    ] = None,
    lab: options.Lab = None,
    data: options.Data = None,
    weights: options.Weights = None,
    trust: options.Trust = False,
    seed: options.Seed = None,
    precision: options.Precision = None,
    device: options.Device = "auto",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a long run.")] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a reaction and print its bundle's path.

    What an earlier run has done is not done again; a run that was stopped goes on where it
    was. The bundle becomes the one that eval and infer use.
    """
    bench = options.workbench(
        lab,
        seed=seed,
        precision=precision,
        device=device,
        quiet=quiet,
        data=data,
        weights=weights,
        trust=trust,
    )
    checked = bench.check(read_expression(expression))
    planned = bench.plan(checked)
    if not quiet:
        say(f"lab: {bench.lab.label}   {checked.expression}")
        for notice in planned.notices:
            say(f"note: {notice}")
    consider(bench, planned, yes)
    bundle = bench.react(checked, out=out)
    if as_json:
        print_json(
            "react",
            {
                "bundle": str(bundle.path),
                "expression": bundle.expression,
                "dim": bundle.space.dim,
                "modalities": list(bundle.space.modalities),
                "lab": bundle.lab,
                "seed": bench.lab.seed,
                "digest": bundle.digest,
            },
        )
    else:
        print(bundle.path)


def consider(bench: Workbench, planned: Plan, yes: bool) -> None:
    """Refuse what the disk has no room for; ask a person before a long run."""
    from molspace_cli.progress import duration
    from reactions.errors import StoreError

    outlook = bench.outlook(planned)
    disk = f"{human_bytes(outlook.cost.size_bytes)} on disk, {human_bytes(outlook.free_bytes)} free"
    if not outlook.fits:
        raise StoreError("the results do not fit on the disk", why=disk, fix="set MOLSPACE_CACHE")
    if not outlook.is_long or yes:
        return
    for modality, usable, found in outlook.corpora:
        say(f"{modality}: {usable:,} usable items of {found:,} found")
    took = duration(bench.seconds(outlook))
    say(
        f"{outlook.steps} steps, {human_flops(outlook.cost.flops)}: about {took} at the speed of "
        f"this device, without decoding; {disk}"
    )
    # In a script nobody could answer: it goes on.
    if _somebody_is_there() and not typer.confirm("go on?", default=True, err=True):
        raise typer.Exit(130)  # as if interrupted


def _somebody_is_there() -> bool:
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)


def read_expression(text: str) -> str:
    """Return the reaction; ``-`` stands for stdin."""
    return sys.stdin.read() if text == "-" else text
