"""A figure of the paper as it is printed: a table for each family of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molspace_cli.console import is_terminal, print_note, print_table
from molspace_cli.paper_table import print_facts, print_lack

if TYPE_CHECKING:
    from reactions.experiments.surfaces import MeasuredFigure, Surface

_MOST = 6
"""Values of a factor that fit on a terminal; pipes get them all."""


def print_figure(measured: MeasuredFigure) -> None:
    """Print the gain for each pair of factors, and how to read it."""
    for surface in measured.surfaces:
        _print_surface(measured, surface)
    for entry in measured.items:
        print_facts(entry, measured.lab, measured.seed, name=entry.task.title)
    for family, lack in measured.lacks.items():
        print_note(f"{measured.figure.name}{f', {family}' if family else ''}:")
        print_lack(lack)
    for note in measured.notes:
        print_note(note)


def _print_surface(measured: MeasuredFigure, surface: Surface) -> None:
    figure = measured.figure
    columns, rows = _shown(len(surface.x)), _shown(len(surface.y))
    x_axis, y_axis = figure.axes
    print_table(
        f"Figure {figure.number}   {surface.family}: points of mean R@1 over "
        f"{figure.reference.name}'s {surface.reference:.1f}   lab: {measured.lab}   "
        f"seed: {measured.seed}",
        (f"{y_axis} \\ {x_axis}", *(f"{surface.x[i]:g}" for i in columns)),
        [
            (f"{surface.y[row]:g}", *(_points(surface.gains[row, i]) for i in columns))
            for row in reversed(rows)
        ],
    )
    x, y, gain = surface.best()
    facts = [f"largest: {_points(gain)} at {x_axis} {x:g}, {y_axis} {y:g}"]
    if surface.plane is not None:
        facts.append(f"{figure.plane.name}: {_points(surface.plane)}")
    if len(columns) < len(surface.x) or len(rows) < len(surface.y):
        facts.append("every value: --json, --out, or in a pipe")
    print_note("   ".join(facts))


def _points(gain: float) -> str:
    """Return a gain with its sign; what rounds to nothing is +0.0."""
    return f"{round(gain, 1) + 0.0:+.1f}"


def _shown(n: int) -> list[int]:
    """Return which of n values are printed: on a terminal evenly chosen ones, ends included."""
    if not is_terminal() or n <= _MOST:
        return list(range(n))
    return sorted({round(i * (n - 1) / (_MOST - 1)) for i in range(_MOST)})
