"""Which fields of a table's rows make the values that are asked for, and which rows are taken.

A column may be composed of others: ``{filepath}/{filename}``, ``Y{youtube_id}.wav``. Rows may be
chosen by what a column says: those whose ``split`` is ``test``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, suggestion
from reactions.data.sources.config import Source
from reactions.data.sources.table_row import TableRow
from reactions.data.sources.text_values import captions_in

_FIELD: Final = re.compile(r"\{([^{}]+)\}")
_SHOWN: Final = 6


def composed_of(column: str | int) -> list[str]:
    """Return the columns that one is composed of; [] of a plain one."""
    return _FIELD.findall(column) if isinstance(column, str) else []


@dataclass(frozen=True)
class RowPlan:
    """How rows are read.

    Attributes:
        columns: that are asked for, plain or composed.
        plain: columns that have to be read for them, each once.
        where: (column, values) pairs: of every one, rows have one of the values.
    """

    columns: tuple[str | int, ...]
    plain: tuple[str | int, ...]
    where: tuple[tuple[str | int, tuple[str, ...]], ...]

    @classmethod
    def of(cls, source: Source) -> Self:
        """Return the plan of what a source says."""
        needed: dict[str | int, None] = {}
        for column in (*source.columns, *(column for column, _ in source.where)):
            fields: list[str | int] = [*composed_of(column)] or [column]
            needed |= dict.fromkeys(fields)
        return cls(source.columns, tuple(needed), source.where)

    @property
    def is_plain(self) -> bool:
        """Whether rows are taken as they are."""
        return self.columns == self.plain and not self.where

    def rows(self, rows: Iterable[TableRow], file: Entry, remarks: list[str]) -> Iterator[TableRow]:
        """Yield the rows that are taken, with the values that are asked for.

        Args:
            rows: with values of ``plain``; one that cannot be read is taken, as a fault.
            file: for messages.
            remarks: gets how many rows are not taken.

        Raises:
            DataError: none is.
        """
        places = {column: place for place, column in enumerate(self.plain)}
        other_values: Counter[str] = Counter()
        n_taken = n_left_out = 0
        for row in rows:
            if row.why:
                yield row
                continue
            for column, values in self.where:
                value = _text(row.values[places[column]])
                if value not in values:
                    other_values[f"{column} = {value[:40]}"] += 1
                    n_left_out += 1
                    break
            else:
                n_taken += 1
                yield self._composed(row, places)
        listed = [f"{value} ({n:,})" for value, n in other_values.most_common(_SHOWN)]
        listed += [f"{len(other_values) - _SHOWN} others"] if len(other_values) > _SHOWN else []
        if self.where and not n_taken and n_left_out:
            wanted = " and ".join(f"{c} = {' or '.join(values)}" for c, values in self.where)
            column, (first, *_) = self.where[0]
            near = [value.partition(" = ")[2] for value in other_values]
            raise DataError(
                f"no row of '{file.url}' has {wanted}",
                why=f"its rows: {', '.join(listed)}",
                fix=suggestion(first, near),
                path=file.url,
                column=column,
            )
        if n_left_out:
            total = n_taken + n_left_out
            remarks.append(
                f"'{file.name}': {n_left_out:,} of its {total:,} rows are left out: "
                f"{', '.join(listed)}"
            )

    def _composed(self, row: TableRow, places: dict[str | int, int]) -> TableRow:
        values: list[Any] = []
        for column in self.columns:
            fields = composed_of(column)
            if not fields:
                values.append(row.values[places[column]])
                continue
            texts = {field: _text(row.values[places[field]]) for field in fields}
            if empty := [field for field, text in texts.items() if not text]:
                return row._replace(values=(), id="", why=f"its '{empty[0]}' is empty")
            values.append(_filled(str(column), texts))
        return row._replace(values=values)


def _filled(column: str, texts: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda match: texts[match[1]], column)


def _text(value: Any) -> str:
    """Return a field as a text; "" if it is none, or several."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    texts: Sequence[tuple[str, str]] = captions_in(value)
    return texts[0][0] if len(texts) == 1 else ""
