"""What a bundle's record says of its rows and of its quality, as lines and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote as quoted
from typing import Any, NamedTuple

FEW = 30
"""Fewer held-out items than this say little."""

_PICKED = ("sum", "centred sum", "better factors")


class Table(NamedTuple):
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


def tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables of a quality report."""
    found = report["found_again"]
    yield Table(
        "held-out items, projected and looked for among those of the other space (%, there / back)",
        ("projected", "into", "modality", "n", "R@1", "R@10"),
        [
            (
                *((e["base"], e["expert"]) if e["op"] == "dr" else (e["expert"], e["base"])),
                e["modality"],
                str(e["n"]),
                *(f"{e['there'][k]:.1f} / {e['back'][k]:.1f}" for k in ("R@1", "R@10")),
            )
            for e in found
        ],
    )
    for cross in report["cross"]:
        yield Table(
            f"{'-'.join(cross['modalities'])}, {cross['n']:,} held-out pairs "
            "(%, mean of both directions)",
            ("by", "R@1", "R@10"),
            [(_name(row), f"{row['R@1']:.1f}", f"{row['R@10']:.1f}") for row in cross["rows"]],
        )


def remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is to be kept in mind beside the tables, and the warnings."""
    if report["cross_reason"]:
        yield (
            f"note: cross-modal quality cannot be told: {report['cross_reason']}; "
            "give paired items the same id"
        )
    counts = [entry["n"] for entry in (*report["found_again"], *report["cross"])]
    if counts and min(counts) < FEW:
        yield (
            f"note: with n = {min(counts)} these figures mean little: one item is "
            f"{100 / max(1, min(counts)):.1f} points"
            + (", and R@10 is always 100" if min(counts) <= 10 else "")
        )
    if any(row["row"] in _PICKED for cross in report["cross"] for row in cross["rows"]):
        yield "note: weights and other factors are picked on these very pairs: a little flattered"
    for cross in report["cross"]:
        yield from _verdict(cross)


def _verdict(cross: Mapping[str, Any]) -> Iterator[str]:
    name = "-".join(cross["modalities"])
    worse, better = cross["worse"], cross["better"]
    rows = {row["row"]: row for row in cross["rows"]}
    if worse:
        metric, part = worse["metric"], worse["part"]
        theirs = next(
            row[metric] for row in cross["rows"] if row["row"] == "part" and row["name"] == part
        )
        chance = "" if worse["high"] < 0 else ", which may be chance"
        yield (
            f"warning: {name}: at its default factors the product is worse than {part} alone: "
            f"{metric} {rows['product'][metric]:.1f} against {theirs:.1f}, "
            f"{worse['mean']:+.1f} [{worse['low']:+.1f}, {worse['high']:+.1f}]{chance}"
        )
    if better:
        found = rows["better factors"]
        yield (
            f"{'  fix' if worse else f'note: {name}'}: {_options(better)} gives R@1 "
            f"{found['R@1']:.1f}, R@10 {found['R@10']:.1f}, at eval and infer, without training"
        )
    elif worse:
        yield "  fix: no factor that was tried is better; try other spaces, or more rows"
    bare = rows.get("centred sum")
    best = max((row["R@10"] for kind, row in rows.items() if kind != "centred sum"), default=0)
    if bare and bare["R@10"] > best + 1:
        yield (
            f"note: {name}: less their modality means the spaces do better (R@10 "
            f"{bare['R@10']:.1f}): centre = true under [spaces.NAME]"
        )


def _name(row: Mapping[str, Any]) -> str:
    kind = row["row"]
    if kind == "part":
        return f"{row['name']} alone"
    if kind == "better factors":
        return f"product, {_options(row['factors'])}"
    if kind == "product":
        return "product, default factors"
    shares = " + ".join(f"{weight:.2g} {name}" for name, weight in row["weights"].items())
    bare = ", each less its modality means" if kind == "centred sum" else ""
    return f"no training: cosines {shares}{bare}"


def _options(better: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return factors as options of ``eval`` and ``infer``."""
    return " ".join(
        f"--{option} {quoted(name + ':' + _factors(factors))}"
        for option, experts in better.items()
        for name, factors in experts.items()
    )


def _factors(factors: Mapping[str, float]) -> str:
    values = set(factors.values())
    if len(values) == 1:
        return f"{values.pop():g}"
    return ",".join(f"{modality}={value:g}" for modality, value in factors.items())


def aligned(table: Table) -> Iterator[str]:
    """Yield a table's lines for stderr: a title, and columns as wide as they must be."""
    yield table.title
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    for line in lines:
        cells = zip(line, widths, strict=True)
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in cells)).rstrip()
