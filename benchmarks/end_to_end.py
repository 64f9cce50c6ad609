"""End to end on the mini lab: times and peak memory of the three commands.

    python benchmarks/end_to_end.py [--json FILE] [--lines 100000]

Runs in temporary folders, so that the first react is cold. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(arguments)} failed with {code}:\n{messages}")
    return seconds, usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--lines", type=int, default=100_000)
    chosen = parser.parse_args()
    results: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {
            **os.environ,
            "MOLSPACE_CACHE": str(folder / "cache"),
            "XDG_DATA_HOME": str(folder / "data"),
        }
        helps = [run([*MOLSPACE, "--help"], env)[0] for _ in range(7)]
        results.append(("`molspace --help`, median of 7", f"{statistics.median(helps):.2f} s"))
        seconds, peak = run([*MOLSPACE, "react", EXPRESSION, "-q"], env)
        results.append(("`react`, cold", f"{seconds:.1f} s, peak {peak / 1e9:.2f} GB"))
        repeats = [run([*MOLSPACE, "react", EXPRESSION, "-q"], env)[0] for _ in range(5)]
        results.append(("`react`, repeated, median of 5", f"{statistics.median(repeats):.2f} s"))
        seconds, _ = run([*MOLSPACE, "eval", "--task", "esc50", "-q"], env)
        results.append(("`eval --task esc50`, first", f"{seconds:.1f} s"))
        seconds, _ = run([*MOLSPACE, "eval", "--task", "all", "-q"], env)
        results.append(("`eval --task all`, the other eight", f"{seconds:.1f} s"))
        for lines in (1000, chosen.lines):
            queries = folder / f"{lines}.jsonl"
            with queries.open("w") as stream:
                for i in range(lines):
                    stream.write(json.dumps({"id": str(i), "text": f"a low hum number {i}"}) + "\n")
            out = str(folder / "out.safetensors")
            seconds, peak = run([*MOLSPACE, "infer", "-q", "--out", out], env, queries)
            results.append(
                (
                    f"`infer`, {lines:,} text lines",
                    f"{seconds:.1f} s, {lines / seconds:,.0f} lines/s, peak {peak / 1e9:.3f} GB",
                )
            )
    cpu = _cpu()
    print(f"lab: mini   {cpu}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| command | measured |\n|---|---|")
    for command, figure in results:
        print(f"| {command} | {figure} |")
    if chosen.json:
        chosen.json.write_text(json.dumps({"lab": "mini", "cpu": cpu, "results": dict(results)}))


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
