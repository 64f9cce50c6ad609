"""All that a GPU should be asked, within nine minutes: its tests and benchmarks, in one report.

    python benchmarks/gpu.py [--device cuda:0] [--minutes 9] [--out FILE]

Writes benchmarks/results/GPU-NAME.md. Each command has its share of the time, is stopped when it
is up, and keeps what it measured until then.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gpu_report import Outcome, place_of, report
from timing import machine, progress

from reactions.core.kept_choices import KeptChoices

ROOT = Path(__file__).parents[1]
TAIL_LINES = 40
NO_DEVICE = 3
"""Exit status without a GPU: that of commands that lack something they need."""


@dataclass(frozen=True, slots=True)
class Part:
    """One command.

    Attributes:
        name: in the report.
        arguments: of Python; ``{device}`` and ``{seconds}`` stand for those.
        share: of the time in which all are done.
        writes_tables: whether it takes ``--json FILE``.
    """

    name: str
    arguments: tuple[str, ...]
    share: float
    writes_tables: bool = True


def _bench(name: str, share: float, *options: str) -> Part:
    return Part(name, (f"benchmarks/{name}.py", "--device", "{device}", *options), share)


PARTS = (
    Part("tests", ("-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"), 0.2, False),
    _bench("retrieval", 0.28, "--within", "{seconds}"),
    _bench("train", 0.24, "--within", "{seconds}"),
    # A third for collecting and a third for training; the rest makes embeddings and warms up.
    _bench("paper_scale", 0.16, "--minutes", "{third_of_minutes}"),
    _bench("encoding", 0.08, "--items", "1024", "--rounds", "2"),
)
"""Their shares leave 4 % for the products, and for starting Python."""


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--device", default="cuda:0", metavar="D", help="cuda:N (default cuda:0)")
    options.add_argument("--minutes", type=float, default=9.0, help="for all (default 9)")
    options.add_argument("--out", type=Path, metavar="FILE", help="of the report")
    arguments = options.parse_args()
    if (why := missing(arguments.device)) is not None:
        print(
            f"error: no GPU '{arguments.device}'\n  why: {why}\n"
            "  fix: --device cuda:0, where `nvidia-smi` lists a GPU, with a CUDA build of torch",
            file=sys.stderr,
        )
        sys.exit(NO_DEVICE)
    end = time.monotonic() + 60 * arguments.minutes
    facts = machine(arguments.device)
    peaks = measured_peaks(arguments.device)
    outcomes = run_all(PARTS, arguments.device, 60 * arguments.minutes, end)
    place = arguments.out or place_of(str(facts["gpu"]))
    write(place, facts, peaks, outcomes)
    print(place)
    if stopped := [outcome.name for outcome in outcomes if outcome.code is None]:
        what = "the report has what they did until then"
        print(f"note: not ended in their time: {', '.join(stopped)}; {what}", file=sys.stderr)
    # Tests that did not end have shown nothing.
    failed = [
        outcome.name
        for outcome in outcomes
        if outcome.code or (outcome.code is None and outcome.name == "tests")
    ]
    if failed:
        print(
            f"error: failed: {', '.join(failed)}; the report has their last lines", file=sys.stderr
        )
        sys.exit(1)


def missing(device: str) -> str | None:
    """Return why a device cannot be used; None if it can."""
    import torch

    if not device.startswith("cuda"):
        return "this measures CUDA devices; the benchmarks themselves take --device cpu"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    index = torch.device(device).index or 0
    count = torch.cuda.device_count()
    return None if index < count else f"torch sees {count} CUDA device(s)"


def measured_peaks(device: str) -> dict[str, float]:
    """Return the FLOP/s of square products by type, of those that the device multiplies fast."""
    import torch
    from hardware import fast_half
    from retrieval_contenders import Peak
    from timing import alternate

    kinds = {torch.float32, fast_half(device, "retrieval"), fast_half(device, "training")}
    peaks = {
        str(kind).removeprefix("torch."): Peak.of(kind, torch.device(device))
        for kind in sorted(kinds - {None}, key=str)
    }
    timings = alternate({name: peak.run for name, peak in peaks.items()}, rounds=3, device=device)
    return {name: peak.flops / timings.seconds(name) for name, peak in peaks.items()}


def run_all(parts: Sequence[Part], device: str, total_s: float, end: float) -> list[Outcome]:
    """Run the parts in turn; none goes on beyond ``end``, of the monotonic clock."""
    outcomes = []
    for part in parts:
        limit_s = min(part.share * total_s, end - time.monotonic())
        if limit_s <= 0:
            progress(f"{part.name}: left out, the time is up")
            outcomes.append(Outcome(part.name, "", 0.0, None, "left out: the time was up"))
            continue
        progress(f"{part.name}: {limit_s:.0f} s at most")
        outcomes.append(run(part, device, limit_s))
        progress(f"{part.name}: {outcomes[-1].ended} after {outcomes[-1].seconds:.0f} s")
    return outcomes


def run(part: Part, device: str, limit_s: float) -> Outcome:
    """Run one part in processes of its own, and stop all of them when its time is up."""
    values = {
        "device": device,
        # A little less than its limit, so that it ends by itself.
        "seconds": f"{0.9 * limit_s:.0f}",
        "third_of_minutes": f"{limit_s / 180:.2f}",
    }
    arguments = [argument.format(**values) for argument in part.arguments]
    command = shlex.join(["python", *arguments])
    with tempfile.TemporaryDirectory() as folder:
        record, printed = Path(folder, "record.json"), Path(folder, "printed")
        if part.writes_tables:
            arguments += ["--json", str(record)]
        began = time.monotonic()
        with printed.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code: int | None
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                stop(process)
        took_s = time.monotonic() - began
        lines = printed.read_text(errors="replace").splitlines()
        tables = json.loads(record.read_text()) if record.exists() else None
    return Outcome(part.name, command, took_s, code, "\n".join(lines[-TAIL_LINES:]), tables)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started; nothing to do if it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def write(
    place: Path,
    facts: dict[str, str | int],
    peaks: dict[str, float],
    outcomes: Sequence[Outcome],
) -> None:
    """Write the report."""
    place.parent.mkdir(parents=True, exist_ok=True)
    kernels = KeptChoices("kernels", str(facts["gpu"])).all()
    today = date.today().isoformat()
    text = report(facts, peaks, outcomes, kernels=kernels, date=today, revision=revision())
    place.write_text(text)


def revision() -> str:
    """Return the commit that runs, as far as git knows it."""
    try:
        completed = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return completed.stdout.strip()


if __name__ == "__main__":
    main()
