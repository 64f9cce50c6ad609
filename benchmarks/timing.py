"""Timing contenders against each other, and writing the results as Markdown and JSON.

Machines slow down and speed up while one measures. So contenders alternate (A B C A B C ...), a
ratio is taken within a round, and what is reported is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of every round, by contender; all contenders have as many rounds."""

    rounds: Mapping[str, Sequence[float]]

    def seconds(self, name: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.rounds[name])

    def speed(self, name: str, reference: str) -> float:
        """Return how many times faster ``name`` is: the median of the ratios within a round."""
        pairs = zip(self.rounds[reference], self.rounds[name], strict=True)
        return statistics.median(of_reference / of_name for of_reference, of_name in pairs)


def alternate(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 5,
    warmup: int = 1,
    device: str | torch.device = "cpu",
) -> Timings:
    """Time contenders in turn, after ``warmup`` calls of each that do not count.

    Results are dropped at once; on CUDA each call is timed to its end on the device.
    """
    for call in contenders.values():
        for _ in range(warmup):
            call()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            times[name].append(seconds(call, device=device))
    return Timings(times)


def seconds(call: Callable[[], object], *, device: str | torch.device = "cpu") -> float:
    """Time one call to its end, on the device too."""
    synchronise(device)
    began = _read()
    call()
    synchronise(device)
    return _read() - began


_read = time.perf_counter


class OneThread(argparse.Action):
    """``--one-thread``: one thread is timed by what it computes, not by what it waits for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
        text = "one thread, timed by its own CPU time: for ratios on a busy machine"
        super().__init__(option_strings, dest, nargs=0, help=text)

    def __call__(self, *_: Any) -> None:
        import torch

        global _read
        torch.set_num_threads(1)
        _read = time.thread_time


def synchronise(device: str | torch.device) -> None:
    """Wait for what was queued on a CUDA device; nothing to wait for on others."""
    if str(device).startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of results.

    Attributes:
        title: what was measured, with its sizes.
        columns: heads of the columns.
        rows: as many entries each as there are columns; None prints as an empty cell.
        notes: printed below.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float | None]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """Return the title, the table and the notes."""
        lines = [f"**{self.title}**", "", _row(self.columns), "|" + "---|" * len(self.columns)]
        lines += [_row([_cell(entry) for entry in row]) for row in self.rows]
        return "\n".join([*lines, *("\n" + note for note in self.notes)])


@dataclass(frozen=True, slots=True)
class Report:
    """The tables of one run, and where and how they were measured."""

    tables: Sequence[Table]
    machine: Mapping[str, str | int]
    command: str
    date: str = field(default_factory=lambda: date.today().isoformat())

    def markdown(self) -> str:
        """Return all tables, with the hardware and the command above."""
        head = f"`{self.command}`, {self.date}\n\n{about(self.machine)}"
        return "\n\n".join([head, *(table.markdown() for table in self.tables)])

    def json(self) -> str:
        """Return everything as one JSON object."""
        return json.dumps({"version": 1, **asdict(self)}, indent=1, default=float)


def machine(device: str | torch.device = "cpu") -> dict[str, str | int]:
    """Describe the hardware and software that a benchmark runs on."""
    # Only now: what is timed in other processes must not inherit torch's memory as its peak.
    import torch

    facts: dict[str, str | int] = {
        "device": str(device),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
    }
    if str(device).startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["cuda"] = str(torch.version.cuda)
    return facts


def cpu_name() -> str:
    """Return the processor's name, as far as the system says."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def command() -> str:
    """Return the command line of this process, as one would type it."""
    return shlex.join(["python", *sys.argv])


def parser(doc: str | None, *, device: bool = True) -> argparse.ArgumentParser:
    """Return the options that every benchmark has."""
    options = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    options.add_argument("--quick", action="store_true", help="small sizes and few rounds: a check")
    options.add_argument(
        "--within", type=float, metavar="S", help="make no further table after S seconds"
    )
    if device:
        options.add_argument("--device", default="cpu", metavar="D", help="cpu (default) or cuda:0")
    return options


class Budget:
    """The time that a benchmark may take, from now on.

    Args:
        within_s: None sets no limit.
    """

    def __init__(self, within_s: float | None) -> None:
        self._end = None if within_s is None else time.monotonic() + within_s

    def fits(self, seconds: float = 0.0) -> bool:
        """Return whether what takes so long still ends in time."""
        return self._end is None or time.monotonic() + seconds < self._end


def publish(
    tables: Iterable[Table],
    arguments: argparse.Namespace,
    *,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Print the tables as Markdown, and write them as JSON if asked to.

    Tables appear as they are made, in the file too: a run that is stopped keeps what it measured.
    Once the time of ``--within`` is up, no further one is made, which the last one says.
    """
    budget = Budget(getattr(arguments, "within", None))
    device = getattr(arguments, "device", "cpu")
    report = Report([], {**machine(device), **(extra or {})}, command())
    print(report.markdown(), flush=True)
    for table in tables:
        if stops := not budget.fits():
            note = (
                f"The {arguments.within:g} seconds were up here: what else would follow was not "
                "made."
            )
            table = replace(table, notes=[*table.notes, note])
        print(f"\n{table.markdown()}", flush=True)
        report = replace(report, tables=[*report.tables, table])
        if arguments.json:
            arguments.json.write_text(report.json() + "\n")
        if stops:
            return


def progress(message: str) -> None:
    """Report on stderr what is being done."""
    print(message, file=sys.stderr, flush=True)


def about(facts: Mapping[str, str | int]) -> str:
    """Return what ``machine`` found, in one line."""
    templates = {
        "gpu": "{}",
        "cpu": "{}",
        "cores": "{} cores",
        "threads": "{} threads",
        "torch": "torch {}",
        "instructions": "{} at most",
        "cuda": "CUDA {}",
        "python": "Python {}",
    }
    described = [text.format(facts[key]) for key, text in templates.items() if key in facts]
    rest = [f"{key} {facts[key]}" for key in facts.keys() - templates.keys() - {"device"}]
    return ", ".join(described + sorted(rest))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(entry: str | int | float | None) -> str:
    if entry is None:
        return ""
    if isinstance(entry, int):
        return f"{entry:,}"
    return entry if isinstance(entry, str) else figure(entry)


def figure(value: float) -> str:
    """Write a number with three digits or so: 1,234, 12.3, 0.00123, 2.3e-05."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.2g}"
