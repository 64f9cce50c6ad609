"""What is to be said of a product that was measured: warnings, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote as quoted
from typing import Any

FEW = 30
"""Fewer held-out items than this say little: one of them is more than three points."""

_PICKED = ("sum", "centred sum", "better factors")


def remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is to be kept in mind beside the tables, and the warnings."""
    if report["cross_reason"]:
        yield (
            f"note: cross-modal quality was not measured: {report['cross_reason']}; "
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
        yield "note: weights and other factors are picked on these pairs, which flatters them a bit"
    for cross in report["cross"]:
        yield from _verdict(cross)


def _verdict(cross: Mapping[str, Any]) -> Iterator[str]:
    name = "-".join(cross["modalities"])
    worse, better = cross["worse"], cross["better"]
    rows = {row["row"]: row for row in cross["rows"]}
    if worse:
        metric, part = worse["metric"], worse["part"]
        part_score = next(
            row[metric] for row in cross["rows"] if row["row"] == "part" and row["name"] == part
        )
        chance = "" if worse["high"] < 0 else ", which may be chance"
        yield (
            f"warning: {name}: at its default factors the product is worse than {part} alone: "
            f"{metric} {rows['product'][metric]:.1f} against {part_score:.1f}, "
            f"{worse['mean']:+.1f} [{worse['low']:+.1f}, {worse['high']:+.1f}]{chance}"
        )
    if better:
        row = rows["better factors"]
        gives = (
            f"{options(better)} gives R@1 {row['R@1']:.1f}, R@10 {row['R@10']:.1f}, at eval and "
            "infer, without training"
        )
        if not worse:
            yield f"note: {name}: {gives}"
        elif raises_what_is_worse(cross):
            still = f"; still less than {part} alone" if row[metric] < part_score else ""
            yield f"  fix: {gives}{still}"
        else:
            yield f"  fix: try other spaces, or more rows; {gives}, which does not raise {metric}"
    elif worse:
        yield (
            "  fix: no factor that was tried gains a point on average of R@1 and R@10; try other "
            "spaces, or more rows"
        )
    if "centred sum" in rows:
        bare, plain = (
            sum(rows[kind][metric] for metric in ("R@1", "R@10")) / 2
            for kind in ("centred sum", "sum")
        )
        if bare > plain + 1:
            yield (
                f"note: {name}: without their modality means these spaces find more, with no "
                "training: try centre = true under [spaces.NAME]"
            )


def raises_what_is_worse(cross: Mapping[str, Any]) -> bool:
    """Return whether the better factors raise the metric at which a product is worse than a part.

    They are those of the best mean of R@1 and R@10, which may raise one alone.
    """
    rows = {row["row"]: row for row in cross["rows"]}
    metric = cross["worse"]["metric"]
    better: float = rows["better factors"][metric]
    default: float = rows["product"][metric]
    return better > default


def options(better: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
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
