"""End to end on the mini lab: times and peak memory of the three commands.

    python benchmarks/end_to_end.py [--json FILE] [--quick] [--device D] [--lines 100000]

Runs in temporary folders, so that the first react is cold.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import Table, parser, progress, publish

EXPRESSION = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
MOLSPACE = [sys.executable, "-m", "molspace_cli"]


def run(arguments: list[str], env: dict[str, str], stdin: Path | None = None) -> tuple[float, int]:
    """Run one command; return its wall-clock seconds and peak resident bytes."""
    with (stdin or Path(os.devnull)).open("rb") as source:
        began = time.perf_counter()
        process = subprocess.Popen(
            arguments, env=env, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        messages = process.stderr.read().decode()
        # wait4 for this child's own peak: getrusage has only the largest of all children.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(arguments)} failed with {code}:\n{messages}")
    return seconds, usage.ru_maxrss * 1024  # Linux counts in kilobytes


def measure(folder: Path, device: str, lines: int, repeats: int) -> Table:
    """Run the three commands in a folder of their own."""
    env = {
        **os.environ,
        "MOLSPACE_CACHE": str(folder / "cache"),
        "XDG_DATA_HOME": str(folder / "data"),
    }
    rows: list[tuple[str, float, float | None, str]] = []

    def row(name: str, arguments: list[str], *, times: int = 1, stdin: Path | None = None) -> float:
        progress(name)
        runs = [run([*MOLSPACE, *arguments], env, stdin) for _ in range(times)]
        seconds = statistics.median(seconds for seconds, _ in runs)
        peak = max(peak for _, peak in runs)
        rows.append((name, seconds, peak / 1e6, f"median of {times}" if times > 1 else ""))
        return seconds

    quiet = ["--device", device, "-q"]
    row("`molspace --help`", ["--help"], times=repeats)
    row("`react`, cold", ["react", EXPRESSION, *quiet])
    row("`react`, repeated", ["react", EXPRESSION, *quiet], times=repeats)
    row("`eval --task esc50`, first", ["eval", "--task", "esc50", *quiet])
    row("`eval --task freebind`, the other eight", ["eval", "--task", "freebind", *quiet])
    for count in (1000, lines):
        queries = folder / f"{count}.jsonl"
        with queries.open("w") as stream:
            for i in range(count):
                stream.write(json.dumps({"id": str(i), "text": f"a low hum number {i}"}) + "\n")
        out = str(folder / f"{count}.safetensors")
        took = row(f"`infer`, {count:,} lines", ["infer", *quiet, "--out", out], stdin=queries)
        rows[-1] = (*rows[-1][:3], f"{count / took:,.0f} lines/s")
    return Table("End to end (lab: mini)", ("command", "seconds", "peak, MB", ""), rows)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--lines", type=int, default=100_000, help="to infer (default 100,000)")
    arguments = options.parse_args()
    lines, repeats = (5000, 3) if arguments.quick else (arguments.lines, 7)
    with tempfile.TemporaryDirectory() as name:
        table = measure(Path(name), arguments.device, lines, repeats)
    publish([table], arguments, extra={"lab": "mini"})


if __name__ == "__main__":
    main()
