"""``molspace reproduce unibind-curve``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molspace_cli import options
from molspace_cli.console import print_json, print_note, print_table
from molspace_cli.seeds import First, MiniLab, Seeds, open_seeds

if TYPE_CHECKING:
    from reactions.experiments.unibind.curve import CentreCurve


def unibind_curve(
    seeds: Seeds = 3,
    first: First = 30,
    lab: MiniLab = "mini",
    precision: options.Precision = None,
    device: options.Device = None,
    executor: options.Executor = "local",
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Measure what stray, biased or unknown words cost centres on the mini lab, by k and rule.

    Points that ImageBind gains over one template, with pictures and sounds, for describers that err
    otherwise than that of the knowledge base kb. Nothing is claimed.

    Examples:
      molspace reproduce unibind-curve
    """
    from reactions.experiments.unibind.curve import measure_curve

    sessions = open_seeds(
        "reproduce unibind-curve",
        lab,
        range(first, first + seeds),
        precision=precision,
        device=device,
        executor=executor,
        quiet=quiet,
    )
    curve = measure_curve(sessions, events=sessions[0].events)
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
