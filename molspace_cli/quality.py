"""What a bundle's record says of its rows and of its quality, as lines and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from molspace_cli.amounts import counted
from reactions.products.quality_tables import QualityTable, tables
from reactions.products.remarks import remarks

if TYPE_CHECKING:
    from reactions.planning.plan import Plan
    from reactions.products.bundles.bundle import Bundle

__all__ = [
    "QualityTable",
    "aligned",
    "rank_lines",
    "remarks",
    "row_line",
    "tables",
    "training_line",
]


def row_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how much of every corpus is trained on; "" where it is not known."""
    return "; ".join(
        f"{count['modality']} {count['rows']:,} rows"
        + (f", {count['held_out']:,} held back" if count["held_out"] else "")
        + f" ({count['corpus']})"
        for count in rows
    )


def training_line(planned: Plan) -> str:
    """Say what a reaction trains on: rows of its corpora, and pairs."""
    rows = row_line([count.to_json() for count in planned.rows])
    pairs = [f"{counted(len(source), 'pair')} ({source.name})" for source in planned.pairs]
    return f"trains on: {'; '.join(part for part in (rows, *pairs) if part) or 'nothing'}"


def rank_lines(bundle: Bundle) -> Iterator[tuple[str, str, bool]]:
    """Yield spaces, rank and whether it is full of each map that was solved for."""
    from reactions.products.tree import mixtures

    ranks = bundle.record.get("ranks", {})
    for index, (fusion, i) in enumerate(mixtures(bundle.space)):
        expert = fusion.experts[i]
        spaces = f"{fusion.base.label} + {fusion.op.capitalize()}({expert.label})"
        most = min(fusion.base.dim, expert.space.dim)
        for subset in bundle.record["mixtures"][index]["subsets"]:
            if (rank := ranks.get(f"{index}.{subset}")) is not None:
                yield spaces, f"{subset}: closed form, rank {rank} of {most}", rank >= most


def aligned(table: QualityTable) -> Iterator[str]:
    """Yield a table's lines for stderr in a pipe: a title, and columns as wide as they must be."""
    yield table.title
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    for line in lines:
        cells = zip(line, widths, strict=True)
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in cells)).rstrip()
