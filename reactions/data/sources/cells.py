"""Parts of which rows are fields of parquet files, among files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reactions.data.parquet_cells import ParquetCell
from reactions.data.scan_cache import Column, ScanTable, Strings
from reactions.data.sources.parts import FilePart

NO_CELL: Final = -1
"""In place of the row of an item that is not a field."""


class CellPart(FilePart):
    """Fields of parquet files, and files.

    Column ``row`` is a field's row in the file at ``url``, or ``NO_CELL`` where that file is the
    item itself; column ``column`` says which of the fact ``columns`` the field is in.
    """

    def values(self, rows: NDArray[np.int64]) -> list[Any]:
        """Return blobs, and paths of what lies in files of its own."""
        columns: Sequence[str] = self.table.facts["columns"]
        numbers = [self.table.numbers(n)[rows].tolist() for n in ("row", "column", "size")]
        urls, tags = self.table.strings("url").at(rows), self.table.strings("tag").at(rows)
        return [
            file
            if row == NO_CELL
            else ParquetCell(url, size_bytes=size, tag=tag, row=row, column=columns[column])
            for file, row, column, size, url, tag in zip(
                super().values(rows), *numbers, urls, tags, strict=True
            )
        ]


def with_cells(table: ScanTable, cells: Sequence[ParquetCell | None]) -> ScanTable:
    """Return a table of files with fields of parquet files in some of its rows.

    Args:
        table: columns ``url``, ``tag`` and ``size``, and others, which are kept.
        cells: for each row, the field, or None for the file that the table has.
    """
    columns = list(dict.fromkeys(cell.column for cell in cells if cell))
    number = {name: i for i, name in enumerate(columns)}

    def joined(name: str, of_cells: Sequence[str]) -> Strings:
        of_files = table.strings(name)
        return Strings.pack(
            of_cell if cell else of_file
            for cell, of_cell, of_file in zip(cells, of_cells, of_files, strict=True)
        )

    sizes = table.numbers("size").tolist()
    fresh: dict[str, Column] = {
        "url": joined("url", [cell.url if cell else "" for cell in cells]),
        "tag": joined("tag", [cell.tag if cell else "" for cell in cells]),
        "size": np.array(
            [cell.size_bytes if cell else size for cell, size in zip(cells, sizes, strict=True)],
            np.int64,
        ),
        "row": np.array([cell.row if cell else NO_CELL for cell in cells], np.int64),
        "column": np.array([number[cell.column] if cell else 0 for cell in cells], np.int32),
    }
    return ScanTable({**table.columns, **fresh}, {**table.facts, "columns": columns})
