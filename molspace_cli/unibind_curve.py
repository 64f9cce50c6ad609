"""``molspace reproduce unibind-curve``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import complete, opening, options
from molspace_cli.console import print_json, print_note, print_table

if TYPE_CHECKING:
    from reactions.experiments.unibind.curve import CentreCurve


def unibind_curve(
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="How many seeds.")] = 3,
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
    precision: options.Precision = None,
    device: options.Device = "auto",
    executor: options.Executor = "local",
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Measure what stray, biased or unknown words cost centres on the mini lab, by k and rule.

    Points that ImageBind gains over one template, with pictures and sounds, for describers that err
    otherwise than that of the knowledge base kb. Nothing is claimed.
    """
    from reactions.experiments.unibind.curve import measure_curve

    sessions = [
        opening.open_session(
            lab,
            seed=seed,
            precision=precision,
            device=device,
            executor=executor,
            quiet=quiet,
            command="reproduce unibind-curve",
            has_rows=True,
        )
        for seed in range(first, first + seeds)
    ]
    events = sessions[0].events  # one display for all seeds
    curve = measure_curve([replace(session, events=events) for session in sessions], events=events)
    if as_json:
        print_json("unibind-curve", curve.to_json())
    else:
        _print(curve)


def _print(curve: CentreCurve) -> None:
    from reactions.experiments.unibind.curve import SPACE

    seeds = ", ".join(map(str, curve.seeds))
    ks = list(dict.fromkeys(point.k for point in curve.points))
    for task, template in curve.templates.items():
        rows: dict[tuple[str, str], list[str]] = {}
        for point in curve.points:
            if point.task == task:
                row = rows.setdefault((point.describer, point.rule), [])
                row.append(f"{point.gain:+.1f}")
        print_table(
            f"{task}   {SPACE}   lab: {curve.lab}   points over one template, seeds {seeds}",
            ("describer", "rule", *(f"k = {k}" for k in ks)),
            [(*names, *cells) for names, cells in rows.items()],
        )
        print_note(f"one template: {template:.1f} %")
