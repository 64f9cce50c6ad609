"""Tables on a terminal: boxed where they fit, one field a line where they cannot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reactions.core.printable import printable_cell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ROOMY, _LEAST = 24, 12
"""Cells that a wrapped column keeps, with blanks beside the lines and without."""


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, stderr: bool = False
) -> None:
    """Print a table on a terminal, never wider than it is.

    Columns without any content are left out, and a table without rows is its title alone. Where
    the width does not suffice, the widest columns are wrapped and the others are not, so that
    words stay whole; where nothing helps, each row is printed as a list of its fields.

    Args:
        title: heading.
        columns: headings.
        rows: one text a column each; columns that hold only numbers are right-aligned.
        stderr: print there, not on stdout.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(no_color=bool(os.environ.get("NO_COLOR")), stderr=stderr)
    # As a table's own title it would be wrapped to the table's width.
    console.print(Text(printable_cell(title), style="bold"))
    cells = [list(map(printable_cell, row)) for row in rows]
    filled = [i for i in range(len(columns)) if any(row[i] for row in cells)]
    headings = [printable_cell(columns[i]) for i in filled]
    cells = [[row[i] for i in filled] for row in cells]
    if not cells:
        return
    if table := _boxed(headings, cells, console.width):
        console.print(table)
    else:
        _print_fields(console, headings, cells)


def _boxed(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table | None:
    """Lay a table out; None if columns would have to be narrower than is readable."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    natural = [
        max(map(cell_len, (heading, *(row[i] for row in rows))))
        for i, heading in enumerate(columns)
    ]
    room = width - len(columns) - 1  # without the lines
    padding = 1
    wrapped = _wrapped(natural, room - 2 * len(columns), _ROOMY)  # a blank on either side
    if wrapped is None:
        padding = 0
        wrapped = _wrapped(natural, room, _LEAST)
    if wrapped is None:
        return None
    table = Table(padding=(0, padding))
    for i, heading in enumerate(columns):
        numeric = all(is_numeric(row[i]) for row in rows)
        table.add_column(
            Text(heading),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=i not in wrapped,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _wrapped(natural: Sequence[int], room: int, least: int) -> set[int] | None:
    """Return which columns to wrap, the widest first; None where all of them do not suffice."""
    columns: set[int] = set()
    width = sum(natural)
    for i in sorted(range(len(natural)), key=lambda i: -natural[i]):
        if width <= room or natural[i] <= least:
            break
        columns.add(i)
        width -= natural[i] - least
    return columns if width <= room else None


def _print_fields(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print each row as lines of a heading and what stands below it."""
    from rich.text import Text

    for row in rows:
        for i, (heading, cell) in enumerate(zip(columns, row, strict=True)):
            if cell:
                label = f"{heading}: " if heading else ""
                console.print(Text(f"{'  ' if i else '- '}{label}{cell}"))


def is_numeric(cell: str) -> bool:
    """Return whether a cell holds numbers, and is aligned like them."""
    return not cell.strip("0123456789.,-+%/ ") or cell in ("", "-")
