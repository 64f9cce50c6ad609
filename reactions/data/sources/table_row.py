"""A row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class TableRow(NamedTuple):
    """A row, as far as it can be read.

    Attributes:
        place: file and line, or number of the row.
        id: what the column of ids says; "" without one, or if ``why`` is set.
        values: of the columns, in order; () if ``why`` is set.
        why: what is wrong with it, lower case, no full stop.
    """

    place: str
    id: str = ""
    values: Sequence[Any] = ()
    why: str = ""
