"""``molspace reproduce``."""

from __future__ import annotations

from typing import Annotated

import typer

from molspace_cli import options
from molspace_cli.console import print_json, print_table, say

app = typer.Typer(rich_markup_mode=None, help="The paper's experiments.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The paper's experiments."""


@app.command("findings")
def findings(
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds.")] = 5,
    first: Annotated[int, typer.Option("--from", min=0, help="The first of them.")] = 5,
    lab: Annotated[
        str,
        typer.Option("--lab", metavar="FILE", help="A lab that extends mini: other encoders."),
    ] = "mini",
    precision: options.Precision = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Measure the paper's six findings on the mini lab, with confidence intervals.

    A seed decides corpora, projectors and evaluation data; the encoders stay. Seeds 0 and 1
    were looked at while the encoders were made, 2 to 4 just after, so the default starts at 5.
    Two to three minutes a seed on two cores. Exits with 4 if a finding does not hold.
    """
    from reactions.errors import EXIT_STEP_FAILED
    from reactions.findings import STATEMENTS, measure

    benches = [
        options.workbench(lab, seed=seed, precision=precision, device=device, quiet=True)
        for seed in range(first, first + seeds)
    ]
    found = measure(
        benches,
        started=lambda seed, space: (
            None if quiet else say(f"lab: {benches[0].lab.label}   seed {seed}: {space}")
        ),
    )
    if as_json:
        print_json("findings", found.to_json())
    else:
        families = list(next(iter(found.scores.values())))
        print_table(
            f"lab: {found.lab}   means of R@1 (both directions) or accuracy, "
            f"%, seeds {', '.join(map(str, found.seeds))}",
            ("space", *families),
            [
                (space, *(f"{row[f]:.1f}" if f in row else "-" for f in families))
                for space, row in found.scores.items()
            ],
        )
        print_table(
            f"lab: {found.lab}   contrasts, percentage points, 95 % bootstrap interval",
            ("finding", "space", "claim", "other", "family", "difference", "by seed", "holds"),
            [
                (
                    str(v.contrast.finding),
                    v.contrast.space,
                    v.contrast.claim,
                    v.contrast.other,
                    v.contrast.family,
                    f"{v.difference.mean:+.2f} [{v.difference.low:+.2f}, {v.difference.high:+.2f}]",
                    " ".join(f"{value:+.1f}" for value in v.by_seed),
                    "yes" if v.holds else "NO",
                )
                for v in found.verdicts
            ],
        )
        for number, statement in STATEMENTS.items():
            print(f"({number}) {'holds' if found.holds(number) else 'DOES NOT HOLD'}: {statement}")
    if not all(found.holds(number) for number in STATEMENTS):
        raise typer.Exit(EXIT_STEP_FAILED)
