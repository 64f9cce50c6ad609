"""``molspace react``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli import complete, options
from molspace_cli.boxes import show_table
from molspace_cli.confirm import confirm
from molspace_cli.console import print_json, print_path, say
from molspace_cli.groups import grouped
from molspace_cli.quality import aligned, rank_lines, remarks, tables, training_line

if TYPE_CHECKING:
    from reactions.planning.plan import ReactionPlan
    from reactions.session import Session

Expression = Annotated[
    str,
    typer.Argument(
        metavar="EXPR|FILE.rxn|-",
        autocompletion=complete.reactions,
        help='A reaction, such as "ImageBind + Cr(CLAP_m) & Cr(CLAP_g)"; - reads stdin.',
        show_default=False,
    ),
]


@grouped
def react(
    expression: Expression,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The bundle's directory.")
    ] = None,
    *,
    running: options.RunOptions,
    as_json: options.Json = False,
) -> None:
    """Train a reaction and print its bundle's path.

    What an earlier run has done is not done again; a run that was stopped goes on where it
    was. The bundle becomes the one that eval and infer use in this folder and lab.

    Examples:
      molspace react "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
      molspace react "ImageBind + Cr(CLAP_m, sigma=(0.8,0.5))" --out my-bundle
      molspace react reaction.rxn --lab lab.toml --yes
    """
    session, quiet = running.open(command="react"), running.quiet
    planned = plan_of(session, expression)
    if not quiet:
        say(f"lab: {session.lab.label}   {planned.checked.expression}")
        for notice in planned.notices:
            say(f"note: {notice}")
        say(training_line(planned))
    bundle = session.react(
        planned, out=out, confirm=partial(confirm, session, yes=running.yes, quiet=quiet)
    )
    if not quiet:
        for spaces, line, is_full in rank_lines(bundle):
            if not is_full:
                say(f"note: {spaces} on {line}: the pairs fix no more, the rest is left out")
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


def plan_of(session: Session, text: str) -> ReactionPlan:
    """Read, check and plan a reaction; refuse ``--weights`` that it does not use."""
    from reactions.core.types import leaves

    checked = session.check(read_expression(text))
    # Before anything runs.
    session.lab.refuse_unused_weights(leaf.spec.name for leaf in leaves(checked.space))
    return session.plan(checked)


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
