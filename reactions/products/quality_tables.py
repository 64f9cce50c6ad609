"""What a bundle's record says of its quality, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reactions.products.remarks import options


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
