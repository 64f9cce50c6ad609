"""What a table of the paper is: rows, columns, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reactions.core.errors import UsageError, suggestion
from reactions.products.tree import NO_ADJUSTMENT, Adjustment


@dataclass(frozen=True, slots=True)
class SpaceRow:
    """A row of a table: a space, and how it is made.

    Attributes:
        name: as in the paper; another reading of a row has a name of its own.
        group: the paper's heading above it.
        reaction: how it is made, or a space's name as the language writes it.
        adjustment: factors and experts; products that differ only in them are trained once.
        paper_name: the row whose figures stand beside it, where that is not its name.
        remark: how we read the paper here, where it leaves that open.
    """

    name: str
    group: str
    reaction: str
    adjustment: Adjustment = NO_ADJUSTMENT
    paper_name: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of one task.

    Attributes:
        task: its name.
        metric: as ``Score.metrics`` calls it.
        title: as the paper calls it.
    """

    task: str
    metric: str
    title: str


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        number: the paper's.
        title: the paper's.
        columns: from left to right.
        rows: from top to bottom.
        figures: row name to the paper's figures, per cent; None where it has a dash.
        free_of: the row beside which rows of what trains nothing stand; "" for none.
    """

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[SpaceRow, ...] = field(repr=False)
    figures: Mapping[str, tuple[float | None, ...]] = field(repr=False)
    free_of: str = ""

    @property
    def name(self) -> str:
        """As the command line calls it."""
        return f"table{self.number}"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, each once, in order."""
        return tuple(dict.fromkeys(column.task for column in self.columns))

    def columns_of(self, task: str) -> tuple[Column, ...]:
        """Return the columns of one task."""
        return tuple(column for column in self.columns if column.task == task)

    def paper(self, row: SpaceRow, column: Column) -> float | None:
        """Return the paper's figure, per cent; None where it has a dash, or no such row."""
        figures = self.figures.get(row.paper_name or row.name)
        return None if figures is None else figures[self.columns.index(column)]


def read_figures(text: str) -> dict[str, tuple[float | None, ...]]:
    """Read lines of a name and, after a bar, figures or dashes."""
    pairs = (line.split("|") for line in text.strip().splitlines())
    return {
        name.strip(): tuple(None if cell == "-" else float(cell) for cell in cells.split())
        for name, cells in pairs
    }


def recalls(*tasks: str, cutoffs: Sequence[int] = (1,)) -> tuple[Column, ...]:
    """Return columns of the mean of both directions' R@k."""
    return tuple(Column(task, f"mean R@{k}", f"R@{k}") for task in tasks for k in cutoffs)


RETRIEVAL = ("audiocaps", "clotho", "vggss", "flickrnet", "coco", "flickr30k")
"""The retrieval sets of the paper's tables, in their order."""


def parse_rows(text: str | None, rows: Sequence[SpaceRow]) -> tuple[SpaceRow, ...]:
    """Return the rows of a comma-separated list; None means all.

    Case and punctuation do not matter; ``ft`` stands for the dagger, ``pp`` for ``++``, and a
    name without its setting for both settings.

    Args:
        text: as typed after ``--rows``.
        rows: those to choose from.

    Raises:
        UsageError: no row has such a name, or the list is empty.
    """
    if text is None:
        return tuple(rows)
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(
            "--rows names none", fix=f"--rows '{rows[0].name},{rows[-1].name}'   or leave it out"
        )
    row_names: set[str] = set()
    for name in names:
        row_names |= {row.name for row in rows_called(name, rows, option="--rows")}
    return tuple(row for row in rows if row.name in row_names)


def rows_called(name: str, rows: Sequence[SpaceRow], *, option: str) -> tuple[SpaceRow, ...]:
    """Return the rows that a name stands for; see ``parse_rows``.

    Args:
        name: as typed.
        rows: those to choose from.
        option: where it was typed, for the message.

    Raises:
        UsageError: no row has such a name.
    """
    matching = tuple(row for row in rows if _fold(name) in (_fold(row.name), _product(row)))
    if not matching:
        row_names = list(dict.fromkeys(row.name for row in rows))
        raise UsageError(
            f"{option}: unknown row '{name}'",
            fix=suggestion(name, row_names),
            name=name,
            known=row_names,
        )
    return matching


def _fold(name: str) -> str:
    spelled = name.casefold().replace("†", "ft").replace("++", "pp").replace("ψ", "psi")
    return "".join(c for c in spelled if c.isalnum())


def _product(row: SpaceRow) -> str:
    return _fold(row.name.removesuffix(" AT E.").removesuffix(" Ver."))
