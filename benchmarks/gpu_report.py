"""The report of a GPU: what was measured on it, beside the products it is capable of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timing import Table, about

RESULTS = Path(__file__).parent / "results"
OF_THE_PEAK = "of the peak"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one command.

    Attributes:
        name: of the tests or the benchmark.
        command: as one would type it.
        seconds: it took.
        code: its exit status; None if its time was up and it was stopped.
        tail: the last lines that it printed.
        record: what a benchmark wrote with ``--json``; None without.
    """

    name: str
    command: str
    seconds: float
    code: int | None
    tail: str
    record: Mapping[str, Any] | None = None

    @property
    def ended(self) -> str:
        """Say how."""
        if self.code is None:
            return "stopped: its time was up"
        return "ended" if self.code == 0 else f"failed, exit status {self.code}"


def place_of(gpu: str) -> Path:
    """Return where the report of a GPU lies."""
    return RESULTS / (re.sub(r"[^A-Za-z0-9]+", "-", gpu).strip("-") + ".md")


def report(
    machine: Mapping[str, str | int],
    peaks: Mapping[str, float],
    outcomes: Sequence[Outcome],
    *,
    kernels: Mapping[str, Mapping[str, Any]],
    date: str,
    revision: str,
) -> str:
    """Return a report as Markdown.

    Args:
        machine: from ``timing.machine``.
        peaks: FLOP/s of square products, measured in this run, by type.
        outcomes: of the tests and of each benchmark, in the order in which they ran.
        kernels: what was chosen for the device, by operation and versions.
        date: of the run.
        revision: of the code.
    """
    parts = [
        f"# {machine['gpu']}",
        f"`make gpu`, {date}, revision {revision}. {about(machine)}.",
        _peaks(peaks).markdown(),
        _commands(outcomes).markdown(),
        _shares(peaks, outcomes).markdown(),
        _kernels(kernels).markdown(),
    ]
    for outcome in outcomes:
        parts.append(f"## {outcome.name}\n\n`{outcome.command}`")
        tables = (outcome.record or {}).get("tables", ())
        parts += [Table(**table).markdown() for table in tables]
        if outcome.code != 0 or not tables:
            parts.append("```text\n" + outcome.tail.strip("\n") + "\n```")
    return "\n\n".join(parts) + "\n"


def _peaks(peaks: Mapping[str, float]) -> Table:
    rows = [(name, rate / 1e12) for name, rate in peaks.items()]
    return Table("Square products (8,192 cubed), the peak of this run", ("type", "TFLOP/s"), rows)


def _commands(outcomes: Sequence[Outcome]) -> Table:
    rows = [(outcome.name, outcome.seconds, outcome.ended) for outcome in outcomes]
    return Table("What ran", ("command", "seconds", "how it went"), rows)


def _shares(peaks: Mapping[str, float], outcomes: Sequence[Outcome]) -> Table:
    rows = [row for outcome in outcomes for row in _rates(peaks, outcome)]
    return Table(
        "Of the peak",
        ("what", "contender", "TFLOP/s", OF_THE_PEAK, "relative error"),
        rows,
        [
            "Of the products of the same type: in retrieval and training measured in turn with the "
            "contenders, else those above."
        ],
    )


def _kernels(kernels: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for operation, entry in kernels.items():
        for name, ms in entry["ms"].items():
            verdict = "taken" if name == entry["fastest"] else "agrees"
            rows.append((operation, name, ms, verdict))
        rows += [(operation, name, None, why) for name, why in entry["left_out"].items()]
    return Table("Kernels", ("operation", "way", "ms", "what came of it"), rows)


def _rates(
    peaks: Mapping[str, float], outcome: Outcome
) -> Iterator[tuple[str | float | None, ...]]:
    """Yield a row of ``_shares`` for every rate that has a peak."""
    for table in (outcome.record or {}).get("tables", ()):
        columns = table["columns"]
        for row in table["rows"]:
            cells = dict(zip(columns, row, strict=True))
            if cells.get(OF_THE_PEAK) is not None:
                yield (
                    table["title"],
                    cells["contender"],
                    cells["TFLOP/s"],
                    cells[OF_THE_PEAK],
                    cells.get("relative error"),
                )
            elif table["title"] == "Measured" and "what" in cells:
                # Of paper_scale: pseudo-pairs are collected in float16, projectors in bfloat16.
                kind = "float16" if cells["what"].startswith("pseudo-pairs") else "bfloat16"
                if kind in peaks:
                    share = f"{100 * cells['TFLOP/s'] * 1e12 / peaks[kind]:.0f} %"
                    name = f"{cells['what']}, paper_scale"
                    yield (name, "molspace, fast", cells["TFLOP/s"], share, None)
