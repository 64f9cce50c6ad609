"""Soft retrieval: the product against what else one could write, and against its bound.

    python benchmarks/retrieval.py [--json FILE] [--quick] [--device cuda:0] [--rounds 3]
                                   [--sizes 8192x65536] [--within SECONDS] [--one-thread]

Tables: contenders at three sizes; growth; one similarity pass for several value matrices; inputs
on disk and a memory budget smaller than they are.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hardware import fast_half, left_out
from retrieval_contenders import (
    SMALL_TILE,
    Call,
    Peak,
    Problem,
    Reference,
    attention,
    flat_index,
    naive,
    naive_from_stored,
    products,
    top_k,
)
from timing import Budget, OneThread, Table, Timings, alternate, parser, progress, publish, seconds

from reactions.ops.retrieval import soft_retrieve

SIZES = {
    "cpu": ((1024, 16_384), (2048, 65_536), (1024, 262_144)),
    "cpu without 16 bits": ((1024, 16_384), (1024, 65_536)),
    "cuda": ((16_384, 65_536), (65_536, 262_144), (65_536, 1_048_576)),
    "quick": ((256, 4096), (256, 8192), (512, 16_384)),
}
NAIVE, FAST, EXACT = "naive, chunked fp32", "**molspace, fast**", "**molspace, exact**"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=3, help="rounds a contender (default 3)")
    options.add_argument(
        "--sizes", type=parse_sizes, metavar="QxK,...", help="only compare, at other sizes"
    )
    options.add_argument("--one-thread", action=OneThread)
    chosen = options.parse_args()
    publish(measured(chosen), chosen)


def parse_sizes(text: str) -> list[tuple[int, int]]:
    """Read ``8192x65536,...``."""
    pairs = [part.partition("x") for part in text.split(",")]
    return [(int(queries), int(keys)) for queries, _, keys in pairs]


def measured(chosen: argparse.Namespace) -> Iterator[Table]:
    """Make the tables in turn."""
    device = torch.device(chosen.device)
    halved = fast_half(device, "retrieval") is not None
    kind = device.type if halved or device.type != "cpu" else "cpu without 16 bits"
    sizes = chosen.sizes or SIZES["quick" if chosen.quick else kind]
    if not halved:
        progress(left_out(device, "what multiplies in 16 bits, and the largest sizes"))
    growth: dict[str, list[float]] = {name: [] for name in (NAIVE, *ours_on(device).values())}
    budget, done, took_s = Budget(chosen.within), [], 0.0
    for n, m in sizes:
        # As long a pair of query and key as at the size before.
        if done and not budget.fits(took_s * n * m / (done[-1][0] * done[-1][1])):
            progress(
                f"{n} queries, {m} keys: left out, they would not end within {chosen.within} s"
            )
            break
        progress(f"{n} queries, {m} keys")
        began = time.perf_counter()
        table, timings = compare(Problem.make(n, m, device), chosen.rounds)
        took_s = time.perf_counter() - began
        done.append((n, m))
        yield table
        for name, rates in growth.items():
            rates.append(timings.seconds(name) / (n * m) * 1e12)
    left = [f"{n:,} x {m:,}" for n, m in sizes[len(done) :]]
    yield grown(done, growth, left)
    sizes = done
    if chosen.sizes:
        return
    n, m = sizes[min(1, len(sizes) - 1)]
    progress("one pass")
    yield one_pass(n, m, device, chosen.rounds)
    progress("memory-mapped")
    yield mapped(*sizes[-1], device)


def ours_on(device: torch.device) -> dict[str, str]:
    """Return the precisions that differ on a device, and the product's name with each.

    Without 16 bits ``fast`` still draws among light keys on a CPU; on a GPU it is ``exact``.
    """
    names = {"fast": FAST, "exact": EXACT}
    if device.type != "cpu" and fast_half(device, "retrieval") is None:
        del names["fast"]
    return names


def ours(problem: Problem, precision: str, **options: Any) -> Call:
    """The product, from float16 on the host to float32 on the host."""
    return lambda: soft_retrieve(
        problem.queries,
        problem.keys,
        problem.values,
        temperature=problem.temperature,
        device=problem.device,
        precision=precision,
        **options,
    )


def compare(problem: Problem, rounds: int) -> tuple[Table, Timings]:
    """Time and check every contender on one problem."""
    half = fast_half(problem.device, "retrieval")
    name = str(half or torch.float32).removeprefix("torch.")
    contenders: dict[str, Call] = {
        NAIVE: naive(problem, torch.float32),
        "the same, from the stored float16": naive_from_stored(problem),
    }
    if half:
        contenders["naive, everything bf16"] = naive(problem, torch.bfloat16)
    contenders["scaled_dot_product_attention fp32"] = attention(problem, torch.float32)
    if half:
        contenders["scaled_dot_product_attention bf16"] = attention(problem, torch.bfloat16)
    index = flat_index(problem)
    for k in (64, 256) if index else ():
        contenders[f"FAISS flat top-{k}, softmax over them"] = top_k(problem, index, k)
    our_labels = ours_on(problem.device)
    contenders |= {label: ours(problem, precision) for precision, label in our_labels.items()}
    best = next(iter(our_labels.values()))
    bounds: dict[str, Call] = {"the products alone, fp32": products(problem, torch.float32)}
    if problem.device.type == "cpu":
        small = "the products alone, fp32, in small tiles"
        bounds[small] = products(problem, torch.float32, SMALL_TILE)
    in_fp32 = list(bounds)
    if half:
        bounds[f"the products alone, {name}"] = products(problem, half)
    reference = Reference.of(problem)
    # The call that is checked also warms up.
    errors = {label: reference.error(call()) for label, call in contenders.items()}
    square = Peak.of(half or torch.float32, problem.device)
    peak = f"products of {square.size:,} cubed, {name}"
    bounds[peak] = square.run
    for call in bounds.values():
        call()
    timings = alternate(contenders | bounds, rounds=rounds, warmup=0, device=problem.device)
    rows = []
    top = square.flops / timings.seconds(peak)
    fastest = min(in_fp32, key=timings.seconds)
    bound_of = dict.fromkeys(our_labels.values(), fastest)
    if half:
        bound_of[FAST] = f"the products alone, {name}"
    for label in contenders | bounds:
        flops = square.flops if label == peak else problem.flops
        rate = flops / timings.seconds(label)
        share = timings.speed(label, bound_of[label]) if label in bound_of else None
        rows.append(
            (
                label,
                timings.seconds(label),
                None if label == peak else timings.speed(label, NAIVE),
                rate / 1e12,
                percent(share),
                percent(rate / top) if label in (best, bound_of[best], peak) else None,
                errors.get(label),
            )
        )
    table = Table(
        f"Soft retrieval, {problem.n:,} queries x {problem.m:,} keys of 1024, values 1024 + 768",
        (
            "contender",
            "seconds",
            "x naive",
            "TFLOP/s",
            "of its bound",
            "of the peak",
            "relative error",
        ),
        rows,
        [
            *([] if index else ["FAISS left out: it takes faiss-cpu, and the CPU."]),
            *([] if half else [left_out(problem.device, "what multiplies in 16 bits")]),
        ],
    )
    return table, timings


def percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.0f} %"


def grown(
    sizes: Sequence[tuple[int, int]], rates: dict[str, list[float]], left_out: Sequence[str] = ()
) -> Table:
    """Time a pair at each size: constant if time is linear in n m."""
    return Table(
        "Growth: picoseconds a (query, key) pair",
        ("contender", *(f"{n:,} x {m:,}" for n, m in sizes)),
        [(name, *figures) for name, figures in rates.items()],
        [f"Left out for want of time: {', '.join(left_out)}."] if left_out else [],
    )


def one_pass(n: int, m: int, device: torch.device, rounds: int) -> Table:
    """Several value matrices in one call against one call each."""
    rows = []
    for widths in ((1024, 768), (1024, 512, 512)):
        problem = Problem.make(n, m, device, widths)
        alone = [
            Problem(problem.queries, problem.keys, [value], problem.temperature, device)
            for value in problem.values
        ]
        for precision in ours_on(device):
            calls = [ours(single, precision) for single in alone]
            timings = alternate(
                {
                    "together": ours(problem, precision),
                    "each": lambda calls=calls: [call() for call in calls],
                },
                rounds=rounds,
                device=device,
            )
            rows.append(
                (
                    " + ".join(map(str, widths)),
                    precision,
                    timings.seconds("together"),
                    timings.seconds("each"),
                    timings.speed("together", "each"),
                )
            )
    return Table(
        f"One similarity pass for several value matrices, {n:,} x {m:,}",
        ("values", "precision", "one pass, s", "a pass each, s", "x faster"),
        rows,
    )


def mapped(n: int, m: int, device: torch.device) -> Table:
    """Inputs on disk, not in the page cache, and budgets smaller than they are."""
    problem = Problem.make(n, m, device)
    whole = problem.keys.nbytes + problem.values[1].nbytes
    rows: list[tuple[str | float | None, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        keys, other = Path(name, "keys.npy"), Path(name, "values.npy")
        for path, table in ((keys, problem.keys), (other, problem.values[1])):
            np.save(path, table.numpy())
        for share in (None, 2, 4, 8):
            budget = (2 << 30) if share is None else whole // share
            if share is None:
                inputs = (problem.keys, problem.values)
            else:
                forget(keys, other)
                table = np.load(keys, mmap_mode="r")
                inputs = (table, [table, np.load(other, mmap_mode="r")])
            results: list[torch.Tensor] = []
            with peak_bytes(device) as peak:
                call = partial(
                    soft_retrieve,
                    problem.queries,
                    *inputs,
                    temperature=problem.temperature,
                    device=device,
                    memory_bytes=budget,
                )
                took = seconds(lambda call=call, out=results: out.extend(call()), device=device)
            if share is None:
                first = results
            difference = max(
                float((a - b).abs().max()) for a, b in zip(first, results, strict=True)
            )
            rows.append(
                (
                    "memory" if share is None else "disk",
                    budget / 1e6,
                    took,
                    peak[0] / 1e6 if peak else None,
                    difference,
                )
            )
    return Table(
        f"Inputs of {whole / 1e6:,.0f} MB, {n:,} x {m:,}",
        ("inputs in", "budget, MB", "seconds", "peak above start, MB", "largest difference"),
        rows,
        ["Files are dropped from the page cache before each run. The peak counts the result too."],
    )


def forget(*paths: Path) -> None:
    """Drop files from the page cache, where the system lets us."""
    for path in paths:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())  # pages that are not on the disk yet would stay
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def peak_bytes(device: torch.device) -> Iterator[list[int]]:
    """Fill in the peak above the start: bytes allocated on the GPU, or anonymous memory."""
    peak: list[int] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        yield peak
        peak.append(torch.cuda.max_memory_allocated(device) - start)
        return
    if not Path("/proc/self/status").exists():
        yield peak
        return
    with suppress(OSError, AttributeError):  # glibc keeps what was freed: give it back first
        ctypes.CDLL(None).malloc_trim(0)
    start, seen, done = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen[0] = max(seen[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
    peak.append(max(0, seen[0] - start))


def anonymous_bytes() -> int:
    """Return this process's resident memory that is not a file's (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
