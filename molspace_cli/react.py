"""``molspace react``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from molspace_cli import complete, options
from molspace_cli.boxes import show_table
from molspace_cli.confirm import confirm
from molspace_cli.console import print_json, print_path, say
from molspace_cli.quality import aligned, remarks, row_line, tables

Expression = Annotated[
    str,
    typer.Argument(
        metavar="EXPR|FILE.rxn|-",
        autocompletion=complete.reactions,
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
    trust: options.Trust = None,
    seed: options.Seed = None,
    precision: options.Precision = None,
    device: options.Device = "auto",
    yes: options.Yes = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a reaction and print its bundle's path.

    What an earlier run has done is not done again; a run that was stopped goes on where it
    was. The bundle becomes the one that eval and infer use in this folder and lab.
    """
    session = options.open_session(
        lab,
        seed=seed,
        precision=precision,
        device=device,
        quiet=quiet,
        data=data,
        weights=weights,
        trust=trust,
    )
    checked = session.check(read_expression(expression))
    options.refuse_unused_weights(session, checked.space)
    planned = session.plan(checked)
    if not quiet:
        say(f"lab: {session.lab.label}   {checked.expression}")
        for notice in planned.notices:
            say(f"note: {notice}")
        say(f"trains on: {row_line([count.to_json() for count in planned.rows])}")
    confirm(session, planned, yes=yes, quiet=quiet)
    bundle = session.react(checked, out=out)
    say_quality(bundle.record.get("quality"), quiet=quiet)
    if as_json:
        print_json(
            "react",
            {
                "bundle": str(bundle.path),
                "expression": bundle.expression,
                "dim": bundle.space.dim,
                "modalities": list(bundle.space.modalities),
                "lab": bundle.lab,
                "seed": session.lab.seed,
                "digest": bundle.digest,
                "rows": bundle.record.get("rows"),
                "projectors": bundle.record.get("projectors"),
                "quality": bundle.record.get("quality"),
            },
        )
    else:
        print_path(bundle.path)


def say_quality(report: Mapping[str, Any] | None, *, quiet: bool = False) -> None:
    """Print what was measured on held-out items, on stderr; if quiet, only warnings."""
    if quiet:
        for remark in remarks(report) if report else ():
            if not remark.startswith("note: "):
                say(remark)
        return
    if report is None:
        say("nothing was held back, so the product was not measured; molspace eval measures it")
        return
    for table in tables(report):
        if sys.stderr is not None and sys.stderr.isatty():
            show_table(*table, stderr=True)
            continue
        for line in aligned(table):
            say(line)
    for remark in remarks(report):
        say(remark)


def read_expression(text: str) -> str:
    """Return the reaction; ``-`` stands for stdin, of which no more is read than can be parsed."""
    if text != "-":
        return text
    from reactions.core.errors import UsageError
    from reactions.dsl.parser import MAX_CHARACTERS

    try:
        return sys.stdin.read(MAX_CHARACTERS + 1) if sys.stdin is not None else ""
    except UnicodeDecodeError as error:
        raise UsageError(
            "the reaction on stdin is not text", why=f"byte {error.start} is not UTF-8"
        ) from None
