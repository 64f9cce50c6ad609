"""What a bundle's record says of its rows and of its quality, as lines and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from reactions.products.remarks import options, remarks

__all__ = ["QualityTable", "aligned", "remarks", "row_line", "tables"]


class QualityTable(NamedTuple):
    """A table of a report.

    Attributes:
        title: with the unit.
        columns: headings.
        rows: one text a column each.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def row_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how much of every corpus is trained on; "" where it is not known."""
    return "; ".join(
        f"{count['modality']} {count['rows']:,} rows"
        + (f", {count['held_out']:,} held back" if count["held_out"] else "")
        + f" ({count['corpus']})"
        for count in rows
    )


def tables(report: Mapping[str, Any]) -> Iterator[QualityTable]:
    """Yield the tables of a quality report."""
    yield QualityTable(
        "held-out items, projected and looked for among those of the other space (%, there / back)",
        ("projected", "into", "modality", "n", "R@1", "R@10"),
        [
            (
                *((e["base"], e["expert"]) if e["op"] == "dr" else (e["expert"], e["base"])),
                e["modality"],
                str(e["n"]),
                *(f"{e['there'][k]:.1f} / {e['back'][k]:.1f}" for k in ("R@1", "R@10")),
            )
            for e in report["found_again"]
        ],
    )
    for cross in report["cross"]:
        yield QualityTable(
            f"{'-'.join(cross['modalities'])}, {cross['n']:,} held-out pairs "
            "(%, mean of both directions)",
            ("by", "R@1", "R@10"),
            [(_name(row), f"{row['R@1']:.1f}", f"{row['R@10']:.1f}") for row in cross["rows"]],
        )


def _name(row: Mapping[str, Any]) -> str:
    kind = row["row"]
    if kind == "part":
        return f"{row['name']} alone"
    if kind == "better factors":
        return f"product, {options(row['factors'])}"
    if kind == "product":
        return "product, default factors"
    shares = " + ".join(f"{weight:.2g} {name}" for name, weight in row["weights"].items())
    bare = ", each less its modality means" if kind == "centred sum" else ""
    return f"no training: cosines {shares}{bare}"


def aligned(table: QualityTable) -> Iterator[str]:
    """Yield a table's lines for stderr in a pipe: a title, and columns as wide as they must be."""
    yield table.title
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    for line in lines:
        cells = zip(line, widths, strict=True)
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in cells)).rstrip()
