"""What a bundle's record says of its rows and of its quality, as lines and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reactions.products.quality_tables import QualityTable, tables
from reactions.products.remarks import remarks

__all__ = ["QualityTable", "aligned", "remarks", "row_line", "tables"]


def row_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how much of every corpus is trained on; "" where it is not known."""
    return "; ".join(
        f"{count['modality']} {count['rows']:,} rows"
        + (f", {count['held_out']:,} held back" if count["held_out"] else "")
        + f" ({count['corpus']})"
        for count in rows
    )


def aligned(table: QualityTable) -> Iterator[str]:
    """Yield a table's lines for stderr in a pipe: a title, and columns as wide as they must be."""
    yield table.title
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    for line in lines:
        cells = zip(line, widths, strict=True)
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in cells)).rstrip()
