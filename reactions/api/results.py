"""What calls return: tables that notebooks show, pandas takes, and JSON can hold."""

from __future__ import annotations

import html
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from reactions.api.counting import ItemsCut, cut_json

if TYPE_CHECKING:
    import pandas as pd

Cell = str | int | float | bool | None

_Entry = TypeVar("_Entry")

SHOWN_ROWS: Final = 20
"""Of a table in a notebook or at a prompt; all are in ``to_dataframe()``."""

CAPTION: Final = "text-align:left;white-space:pre"
"""Style of captions: on one line, with their spaces."""

_WIDTH: Final = 44


class ResultTable(ABC):
    """A result as a table: ``to_dataframe()``, ``to_json()``, and itself in a notebook.

    Attributes:
        lab: label of the lab it comes from: ``mini`` says that miniature encoders made it.
        notices: what a reader should know of it.
        items_cut: what encoders left out of the items, an object a space and modality: those that
            were counted, clauses with how many are so, and how many were not counted.
    """

    lab: str
    notices: tuple[str, ...] = ()
    items_cut: ItemsCut = ()

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is, in a few words."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @abstractmethod
    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield the rows, a cell a column."""

    def to_dataframe(self) -> pd.DataFrame:
        """Return all rows as a data frame; ``attrs["lab"]`` has the lab's label.

        Raises:
            MissingError: pandas is not installed.
        """
        frame = data_frame(list(self.rows()), columns=list(self.columns))
        frame.attrs["lab"] = self.lab
        return frame

    def to_json(self) -> dict[str, Any]:
        """Return it as an object for ``json.dumps``: lab, notices, and a mapping a row."""
        return {
            "title": self.title,
            "lab": self.lab,
            "notices": list(self.notices),
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows()],
            **cut_json(self.items_cut),
        }

    def _shown(self) -> tuple[list[tuple[Cell, ...]], int]:
        """Return the rows that are shown, and how many are not."""
        rows = self.rows()
        shown = list(islice(rows, SHOWN_ROWS))
        return shown, sum(1 for _ in rows)

    def _caption(self) -> str:
        return "   ".join(filter(None, [self.title, f"lab: {self.lab}" if self.lab else ""]))

    def __repr__(self) -> str:
        rows, more = self._shown()
        lines = [self._caption(), *aligned(self.columns, rows)]
        lines += [f"... and {more:,} more rows: to_dataframe() has all"] if more else []
        return "\n".join([*lines, *(f"note: {notice}" for notice in self.notices)])

    def _repr_html_(self) -> str:
        rows, more = self._shown()
        return html_table(self._caption(), self.columns, rows, more=more, notes=self.notices)


class ResultList(ResultTable, Sequence[_Entry]):
    """A table whose entries are also a sequence: what each item, or each query, came to."""

    _entries: tuple[_Entry, ...]

    @overload
    def __getitem__(self, key: int) -> _Entry: ...

    @overload
    def __getitem__(self, key: slice) -> Sequence[_Entry]: ...

    def __getitem__(self, key: int | slice) -> _Entry | Sequence[_Entry]:
        return self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)


def data_frame(rows: Any, **options: Any) -> pd.DataFrame:
    """Make a pandas DataFrame.

    Raises:
        MissingError: pandas is not installed.
    """
    from reactions.encoders.packages import import_package

    frame: pd.DataFrame = import_package("pandas", "to_dataframe()", "pandas").DataFrame(
        rows, **options
    )
    return frame


def cell_text(value: Cell, width: int | None = _WIDTH) -> str:
    """Return a cell as a person reads it, on one line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value in (0.0, 1.0) or abs(value) >= 1e5:  # factors; operations
            return f"{value:.3g}"
        return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
    text = " ".join(str(value).split())
    return text if width is None or len(text) <= width else text[: width - 1] + "…"


def aligned(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> list[str]:
    """Return a table as lines: numbers to the right, the rest to the left."""
    rows = [list(row) for row in rows]
    table = [list(columns), *([cell_text(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = [
        bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
        for i in range(len(columns))
    ]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in table
    ]


def html_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    more: int = 0,
    notes: Sequence[str] = (),
) -> str:
    """Return an HTML table; everything in it is escaped, so that no item's name is markup."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(map(_html_cell, row)) + "</tr>" for row in rows)
    lines = [f"... and {more:,} more rows: to_dataframe() has all"] if more else []
    return (
        f'<table class="molspace"><caption style="{CAPTION}">{html.escape(caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        + html_lines([*lines, *(f"note: {note}" for note in notes)])
    )


def html_lines(lines: Iterable[str]) -> str:
    """Return lines of text below a table."""
    return "".join(f"<div>{html.escape(line)}</div>" for line in lines)


def _html_cell(value: Cell) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    align = "right" if is_number else "left"
    return f'<td style="text-align:{align}">{html.escape(cell_text(value, 200))}</td>'


def jsonable(value: Any) -> Any:
    """Return a value as JSON has it, to be sure that it can be written."""
    return json.loads(json.dumps(value, default=str))
