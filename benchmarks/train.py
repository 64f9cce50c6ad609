"""Training a projector: the product against what else one could write, and against its bound.

    python benchmarks/train.py [--json FILE] [--quick] [--device cuda:0] [--rounds 5]
                               [--within SECONDS] [--one-thread]

Tables: contenders at several sizes; growth; loss curves and retrieval scores; seven projectors
on shared pairs, resident and streamed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from hardware import fast_half, left_out
from retrieval_contenders import Peak
from timing import (
    Budget,
    OneThread,
    Table,
    Timings,
    alternate,
    parser,
    progress,
    publish,
    seconds,
    synchronise,
)
from training_contenders import (
    TEMPERATURE,
    Call,
    Problem,
    Step,
    compiled,
    endless,
    naive,
    ours,
    products,
    recall_at_1,
    running,
)

from reactions.ops import pairs
from reactions.ops.fit import TrainingSettings, fit
from reactions.ops.pairs import PseudoSet, PseudoTable
from reactions.ops.projector import Projector

SIZES: tuple[tuple[int, int, int, tuple[int, int, int]], ...] = (
    (128, 3, 2, (128, 256, 96)),  # a job of the mini lab
    (1024, 3, 2, (512, 2048, 512)),
    (2048, 3, 2, (1024, 2048, 768)),  # Dr(InternVL)
    (4096, 2, 3, (512, 2048, 1024)),  # Cr(CLAP)
    (4096, 3, 2, (1024, 2048, 1024)),
)
"""Rows a batch, modalities of both sides, and widths."""

ROUND_FLOPS = {"cpu": 2e9, "cuda": 1e14}
"""Smaller steps are repeated within a round, or the clock, and launches, would be measured."""

BATCHES = {"cpu": 4, "cuda": 32}
"""Batches in the table: an epoch begins with an order drawn on the host."""

WINDOW_ROWS = 4096

NAIVE, FAST, EXACT = "naive, fp32", "**molspace, fast**", "**molspace, exact**"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5, help="rounds a contender (default 5)")
    options.add_argument("--one-thread", action=OneThread)
    arguments = options.parse_args()
    publish(measured(arguments), arguments)


def measured(arguments: argparse.Namespace) -> Iterator[Table]:
    """Make the tables in turn."""
    device = torch.device(arguments.device)
    growth, budget, longest_s = [], Budget(arguments.within), 0.0
    sizes = sizes_on(device, quick=arguments.quick)
    if fast_half(device, "training") is None:
        progress(left_out(device, "what multiplies in 16 bits, and the largest size"))
    # With little time, first the largest, which matter most.
    for n, sources, targets, dims in sizes if arguments.within is None else sizes[::-1]:
        problem = Problem(
            n, sources, targets, dims, device, rows=max(BATCHES[device.type] * n, 4096)
        )
        if not budget.fits(longest_s):
            progress(f"{problem.label}: left out for want of time")
            continue
        progress(problem.label)
        began = time.perf_counter()
        table, timings = compare(problem, arguments.rounds)
        longest_s = max(longest_s, time.perf_counter() - began)
        yield table
        growth.append((problem, timings))
    yield grown(growth)
    progress("loss curves")
    yield curves(device, seeds=1 if arguments.quick else 3, epochs=2 if arguments.quick else 8)
    progress("seven projectors")
    yield seven(device, rows=4096 if arguments.quick else 12_288)


def sizes_on(
    device: torch.device, *, quick: bool
) -> Sequence[tuple[int, int, int, tuple[int, int, int]]]:
    """Return the sizes that a device is through with in ten minutes."""
    if quick:
        return SIZES[:2]
    return SIZES if fast_half(device, "training") else SIZES[:-1]


def compare(problem: Problem, rounds: int) -> tuple[Table, Timings]:
    """Time every contender on one problem: a batch fetched and a step taken."""
    device = problem.device
    half = fast_half(device, "training")
    name = str(half or torch.float32).removeprefix("torch.")
    contenders: dict[str, Call] = {
        NAIVE: running(problem, "exact", naive(problem.projector())),
        EXACT: running(problem, "exact", ours(problem.projector(), problem, "exact")),
    }
    if half:
        autocast = naive(problem.projector(), autocast=half)
        contenders[f"naive, autocast to {name}"] = running(problem, "exact", autocast)
        contenders[FAST] = running(problem, "fast", ours(problem.projector(), problem, "fast"))
    best = FAST if half else EXACT
    compiling = None
    fused = f"by hand in {name}, torch.compile"
    call = running(problem, "fast", compiled(problem.projector()))
    try:
        with warnings.catch_warnings(), nothing_compiled():
            warnings.simplefilter("ignore")
            compiling = seconds(call, device=device)
    except Exception as error:  # no compiler, or none that torch can use: reported below the table
        progress(f"torch.compile failed: {type(error).__name__}")
    else:
        contenders[fused] = call
    fp32, bound = "the seven products alone, fp32", f"the seven products alone, {name}"
    contenders[fp32] = products(problem, torch.float32)
    if half:
        contenders[bound] = products(problem, half)
    else:
        bound = fp32
    repeats = max(1, round(ROUND_FLOPS[device.type] / problem.flops))
    square = Peak.of(half or torch.float32, device)
    peak = f"products of {square.size:,} cubed, {name}"
    timings = alternate(
        {label: repeated(call, repeats) for label, call in contenders.items()} | {peak: square.run},
        rounds=rounds,
        warmup=2,
        device=device,
    )
    rows: list[tuple[str | float | None, ...]] = []
    top = square.flops / timings.seconds(peak)
    for label in contenders:
        rate = problem.flops * repeats / timings.seconds(label)
        reference = fp32 if label in (NAIVE, EXACT, fp32) else bound
        rows.append(
            (
                label,
                1e3 * timings.seconds(label) / repeats,
                timings.speed(label, NAIVE),
                rate / 1e12,
                f"{100 * timings.speed(label, reference):.0f} %",
                f"{100 * rate / top:.0f} %" if label in (best, bound) else None,
            )
        )
    rows.append((peak, 1e3 * timings.seconds(peak), None, top / 1e12, None, "100 %"))
    notes = (
        [f"The first call of what torch.compile made took {compiling:.0f} s."]
        if compiling is not None
        else ["torch.compile left out: it found no compiler."]
    )
    if not half:
        notes.append(left_out(device, "what multiplies in 16 bits"))
    columns = ("contender", "ms a step", "x naive", "TFLOP/s", "of its bound", "of the peak")
    return Table(f"Training, {problem.label}", columns, rows, notes), timings


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Keep torch.compile from finding what an earlier run compiled."""
    torch.compiler.reset()
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as empty:
        os.environ[name] = empty
        try:
            yield
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before


def repeated(call: Call, times: int) -> Call:
    """A call that makes another several times."""

    def run() -> None:
        for _ in range(times):
            call()

    return run


def grown(measured: Sequence[tuple[Problem, Timings]]) -> Table:
    """Share of the bound and speed against naive, by size."""
    rows = [
        (
            problem.label,
            problem.flops / 1e9,
            timings.speed(EXACT, NAIVE),
            timings.speed(FAST, NAIVE) if FAST in timings.rounds else None,
            # compare() puts the bound last but one, before the peak.
            f"{100 * timings.speed(_best(timings), list(timings.rounds)[-2]):.0f} %",
        )
        for problem, timings in measured
    ]
    columns = ("size", "GFLOP a step", "exact, x naive", "fast, x naive", "of its bound")
    return Table("Growth", columns, rows)


def _best(timings: Timings) -> str:
    return FAST if FAST in timings.rounds else EXACT


def curves(device: torch.device, *, seeds: int, epochs: int) -> Table:
    """Losses and retrieval scores of contenders that start from the same weights and batches."""
    contenders: dict[str, Callable[[Projector, Problem], Step]] = {
        NAIVE: lambda projector, problem: naive(projector),
        EXACT: lambda projector, problem: ours(projector, problem, "exact"),
        FAST: lambda projector, problem: ours(projector, problem, "fast"),
    }
    if not fast_half(device, "training"):
        del contenders[FAST]  # it would be exact once more
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contenders}
    problem = Problem(512, 3, 2, (256, 512, 256), device, rows=16_384)
    steps = problem.rows // problem.n
    for seed in range(seeds):
        for name, make in contenders.items():
            projector = problem.projector(seed)
            step = make(projector, problem)
            batches = endless(problem, "fast" if name == FAST else "exact", seed=100 * seed)
            losses = [float(step(*next(batches))) for _ in range(epochs * steps)]
            means = [statistics.fmean(losses[i : i + steps]) for i in range(0, len(losses), steps)]
            results[name].append((means[0], means[-1], 100 * recall_at_1(projector, problem)))
    rows = [
        (name, *(_spread([run[i] for run in runs]) for i in range(3)))
        for name, runs in results.items()
    ]
    return Table(
        f"The same training, {problem.label}, {problem.rows:,} pairs, {epochs} epochs",
        ("contender", "loss, first epoch", "loss, last epoch", "R@1 of 1,024 unseen items, %"),
        rows,
        [f"Means over {seeds} seeds, ± their standard deviation; temperature {TEMPERATURE}."],
    )


def _spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.3f} ± {deviation:.3f}"


def seven(device: torch.device, *, rows: int) -> Table:
    """Seven projectors on all subsets of three anchors, whose pairs lie on disk in float16."""
    dims = (512, 1024, 512)
    settings = TrainingSettings(
        hidden_dim=dims[1], temperature=TEMPERATURE, batch_size=1024, epochs=1, seed=0
    )
    subsets = [s for k in (1, 2, 3) for s in itertools.combinations(range(3), k)]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        sets = []
        for anchor in range(3):
            pairs = Problem(1024, 3, 2, dims, device, rows, seed=anchor).pairs
            sides = []
            for side in ("source", "target"):
                paths = [Path(folder, f"{anchor}.{side}.{m}.npy") for m in range(3)]
                for path, array in zip(paths, getattr(pairs, side), strict=False):
                    np.save(path, array)
                sides.append([np.load(p, mmap_mode="r") for p in paths if p.exists()])
            sets.append(PseudoSet(*sides))
        size = PseudoTable(sets, device=device, precision="fast").size_bytes

        def shared() -> None:
            table = PseudoTable(sets, device=device, precision="fast")
            for subset in subsets:
                fit(table, settings, chosen=subset)
            synchronise(device)

        def each(resident: bool) -> Call:
            def run() -> None:
                for subset in subsets:
                    subset_pairs = [sets[i] for i in subset]
                    fit(subset_pairs, settings, device=device, precision="fast", resident=resident)
                synchronise(device)

            return run

        reference = "loaded for each projector"
        calls = {
            "loaded once": shared,
            reference: each(True),
            f"streamed for each, windows of {WINDOW_ROWS:,} rows": each(False),
        }
        with small_windows():
            timings = alternate(calls, rounds=3, warmup=0, device=device)
        loading = seconds(lambda: PseudoTable(sets, device=device, precision="fast"), device=device)
    for name in calls:
        results.append((name, timings.seconds(name), timings.speed(name, reference)))
    results.append(("of which loading, once", loading, None))
    return Table(
        f"Seven projectors, 3 anchors of {rows:,} pairs, {'->'.join(map(str, dims))}, one epoch",
        ("pairs", "seconds", "x faster"),
        results,
        [f"The pairs take {size / 1e6:,.0f} MB on the device; float16 on disk."],
    )


@contextmanager
def small_windows() -> Iterator[None]:
    """Make a small table stream as one that does not fit would."""
    usual, pairs.WINDOW_ROWS = pairs.WINDOW_ROWS, WINDOW_ROWS
    try:
        yield
    finally:
        pairs.WINDOW_ROWS = usual


if __name__ == "__main__":
    main()
