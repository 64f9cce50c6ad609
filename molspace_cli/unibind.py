"""``molspace reproduce unibind-findings``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import complete, opening, options
from molspace_cli.console import print_json, print_table, print_text, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reactions.experiments.unibind.judge import Judged
    from reactions.experiments.unibind.measure import UniBindFindings


def unibind_findings(
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=2, help="How many seeds.")] = 6,
    first: Annotated[
        int, typer.Option("--from", metavar="N", min=0, help="The first of them.")
    ] = 30,
    lab: Annotated[
        str,
        typer.Option(
            "--lab",
            metavar="FILE",
            autocompletion=complete.labs,
            help="A lab that extends mini: other encoders.",
        ),
    ] = "mini",
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="NAME,...", help="Only these findings: U1a,U3."),
    ] = None,
    precision: options.Precision = None,
    device: options.Device = "auto",
    executor: options.Executor = "local",
    track: options.Track = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Measure UniBind's findings on the mini lab, with baselines and confidence intervals.

    A seed decides corpora, described items, layers and evaluation data; the encoders stay.
    Settings were chosen on seed 26. A claim holds where the mean reaches its margin, fixed before
    anything was measured, and the wider of two intervals (over items, and over seeds) lies above
    zero. Exits with 4 if a finding does not hold.
    """
    from reactions.core.errors import EXIT_STEP_FAILED
    from reactions.experiments.unibind.claims import STATEMENTS, parse_findings
    from reactions.experiments.unibind.measure import measure

    chosen = parse_findings(only)
    sessions = [
        opening.open_session(
            lab,
            seed=seed,
            precision=precision,
            device=device,
            executor=executor,
            quiet=quiet,
            track=track if seed == first else None,
            command="reproduce unibind-findings",
            has_rows=True,
        )
        for seed in range(first, first + seeds)
    ]
    events = sessions[0].events  # one display for all seeds
    sessions = [replace(session, events=events) for session in sessions]
    if not quiet:
        say(f"lab: {sessions[0].lab.label}")
    measured = measure(sessions, chosen, events=events)
    if as_json:
        print_json("unibind-findings", measured.to_json())
    else:
        _print_scores(measured)
        _print_judged(measured.lab, "claims", measured.judged, margins=True)
        _print_judged(measured.lab, "baselines and controls", measured.controls, margins=False)
        for name in measured.names:
            verdict = "holds" if measured.holds(name) else "DOES NOT HOLD"
            print_text(f"({name}) {verdict}: {STATEMENTS[name]}")
    if not all(measured.holds(name) for name in measured.names):
        raise typer.Exit(EXIT_STEP_FAILED)


def _print_scores(measured: UniBindFindings) -> None:
    families = list(dict.fromkeys(family for row in measured.scores.values() for family in row))
    rows = measured.scores.items()
    print_table(
        f"lab: {measured.lab}   means, %, seeds {', '.join(map(str, measured.seeds))}",
        ("measured", "by", "%"),
        [
            (family, arm, f"{row[family]:.1f}")
            for family in families
            for arm, row in rows
            if family in row
        ],
    )


def _print_judged(lab: str, title: str, judged: Sequence[Judged], *, margins: bool) -> None:
    if not judged:
        return
    print_table(
        f"lab: {lab}   {title}, points, 95 % intervals over items and over seeds",
        (
            "finding",
            "this",
            "less that",
            "of",
            "difference",
            "over items",
            "over seeds",
            "by seed",
            *(("at least", "holds") if margins else ()),
        ),
        [
            (
                one.claim.finding,
                one.claim.arm,
                _other(one),
                one.claim.family,
                f"{one.difference.mean:+.2f}{' %' if one.claim.relative else ''}",
                f"[{one.difference.low:+.2f}, {one.difference.high:+.2f}]",
                f"[{one.over_seeds.low:+.2f}, {one.over_seeds.high:+.2f}]",
                " ".join(f"{value:+.1f}" for value in one.by_seed),
                *((f"{one.claim.at_least:g}", "yes" if one.holds else "NO") if margins else ()),
            )
            for one in judged
        ],
    )


def _other(judged: Judged) -> str:
    if judged.claim.beyond is None:
        return judged.claim.other
    arm, other, family = judged.claim.beyond
    return f"{judged.claim.other}, by more than {arm} less {other} of {family}"
