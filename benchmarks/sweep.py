"""Sweeps: 121 settings of a product beside a loop of single evaluations.

    python benchmarks/sweep.py [--json FILE] [--quick] [--device cuda:0] [--rounds 5]

Tables: the sweep, six single evaluations and the loop, on three tasks of the mini lab; the same
task at growing sizes, with the memory that it takes. The product is trained first, if it is not.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from retrieval import peak_bytes
from timing import Table, alternate, parser, progress, publish, seconds

from reactions.eval.registry import parse_tasks
from reactions.eval.task import Task
from reactions.experiments.choosing.data import PartLab
from reactions.experiments.sweep import make_grid, sweep
from reactions.labs.lab import Lab
from reactions.labs.lab_file import load_lab
from reactions.ops.weighted_ranks import WeightedRows, count_above, gram
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.session import Session

REACTION = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
TASKS = "audiocaps,vggss,coco"
SETTINGS = (NO_ADJUSTMENT, Adjustment(sigma={"": (0.8, 0.5)}))
SIZES = ((1000, 5000, 96), (5000, 25_000, 96), (10_000, 50_000, 96), (2000, 10_000, 1024))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5, help="rounds a contender (default 5)")
    options.add_argument(
        "--loop", type=int, default=0, metavar="N", help="settings of the loop to run (default all)"
    )
    arguments = options.parse_args()
    publish(measured(arguments), arguments)


def measured(arguments: argparse.Namespace) -> Iterator[Table]:
    """Make the tables in turn."""
    session = Session(load_lab("mini"), device=arguments.device)
    progress("training, unless it is trained")
    target = session.target(REACTION)
    tasks = parse_tasks("vggss" if arguments.quick else TASKS)
    yield compared(session, target, tasks, arguments)
    yield grown(SIZES[:1] if arguments.quick else SIZES, arguments.device)


def compared(
    session: Session, target: Target, tasks: Sequence[Task], arguments: argparse.Namespace
) -> Table:
    """Time the three contenders in the same process, with nothing of theirs in the store."""
    grid = make_grid(target.space, sigma="0:1:0.5" if arguments.quick else "0:1:0.1,0:1:0.1")
    session.evaluate(target, tasks)  # embeds the items, which all contenders read
    rounds = 1 if arguments.quick else arguments.rounds

    def singles() -> None:
        for adjustment in SETTINGS:
            for task in tasks:
                _fresh(session).evaluate(target, [task], adjustment)

    def whole() -> Any:
        return sweep(_fresh(session), target, tasks, grid)

    progress("six single evaluations and the sweep")
    names = (
        f"{len(SETTINGS) * len(tasks)} single evaluations",
        f"sweep of {len(grid.cells)} settings",
    )
    timings = alternate(
        {names[0]: singles, names[1]: whole}, rounds=rounds, device=arguments.device
    )
    progress("the loop")
    # Evenly chosen, where not all of them are run.
    n_run = min(arguments.loop or len(grid.cells), len(grid.cells))
    places = [i * len(grid.cells) // n_run for i in range(n_run)]
    loop: list[Any] = []
    looped = seconds(
        lambda: loop.extend(
            _fresh(session).evaluate(target, tasks, grid.cells[i].adjustment) for i in places
        ),
        device=arguments.device,
    )
    looped *= len(grid.cells) / n_run
    part = "" if n_run == len(grid.cells) else f", extrapolated from {n_run}"
    by_cell: dict[str, list[Any]] = {task.name: [] for task in tasks}
    for row in whole().rows:
        by_cell[row["task"]].append(row)
    differences = [
        abs(value - by_cell[task.name][i][name])
        for i, results in zip(places, loop, strict=True)
        for task, result in zip(tasks, results, strict=True)
        for name, value in result.record["metrics"].items()
    ]
    ratio = timings.speed(names[1], names[0])
    return Table(
        f"{len(grid.cells)} settings x {', '.join(task.name for task in tasks)}, mini lab",
        ("contender", "seconds", "of the single evaluations"),
        [
            (names[0], timings.seconds(names[0]), 1.0),
            (names[1], timings.seconds(names[1]), 1 / ratio),
            (
                f"loop of {len(grid.cells)} settings{part}",
                looped,
                looped / timings.seconds(names[0]),
            ),
        ],
        [
            f"Largest difference of any metric between sweep and loop: {max(differences):.1e} "
            "points. Every contender starts without its own results, and finds the items embedded.",
        ],
    )


_COUNT = itertools.count(1_000_000)


def _fresh(session: Session) -> Session:
    """Return a session whose store has the embeddings of the tasks, and none of their scores.

    How many items the published set has is part of a score, and changes nothing about its cost.
    """
    lab = session.lab
    lab_fields = {entry.name: getattr(lab, entry.name) for entry in fields(Lab) if entry.init}
    sets = {task.name: lab.benchmark(task.name) for task in parse_tasks(TASKS)}
    n = next(_COUNT)
    data_of_tasks = {name: replace(data, expected=n) for name, data in sets.items()}
    return replace(session, lab=PartLab(**lab_fields, held=data_of_tasks))


def grown(sizes: Sequence[tuple[int, int, int]], device: str) -> Table:
    """Count ranks at 121 settings of two terms a side, in both directions, at growing sizes."""
    rows: list[tuple[str | float | None, ...]] = []
    for n, m, dim in sizes:
        progress(f"{n} x {m}, {dim} dimensions")
        left, right = _sides(n, m, dim, device)
        owner = np.arange(m) % n
        order = np.argsort(owner, kind="stable")
        cells = np.array([(i, j) for i in range(11) for j in range(11)])

        def both(
            left: WeightedRows = left,
            right: WeightedRows = right,
            owner: np.ndarray = owner,
            order: np.ndarray = order,
            cells: np.ndarray = cells,
        ) -> None:
            pairs = (np.arange(len(owner)), owner)
            count_above(right, left, cells[:, ::-1], pairs, margin=-1e-6, rounding=5e-7)
            count_above(left, right, cells, (owner[order], order), margin=-1e-6, rounding=5e-7)

        both()
        with peak_bytes(torch.device(device)) as peak:
            took = seconds(both, device=device)
        products = 2.0 * n * m * dim * 2 * 121
        rows.append(
            (
                f"{n:,} x {m:,}, {dim}",
                took,
                took / 121 * 1e3,
                products / took / 1e9,
                peak[0] / 1e6 if peak else None,
                4 * n * m / 1e6,
            )
        )
    return Table(
        "Ranks at 121 settings, both directions",
        (
            "items x captions, dimensions",
            "seconds",
            "ms a setting",
            "GFLOP/s that the loop's products would need",
            "peak, MB",
            "one matrix of scores, MB",
        ),
        rows,
    )


def _sides(n: int, m: int, dim: int, device: str) -> tuple[WeightedRows, WeightedRows]:
    """Return items and captions that resemble them, at eleven weightings each."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(n, dim))
    sides = []
    for rows, noise in ((items, 0.6), (items[np.arange(m) % n], 0.9)):
        terms = [rows + noise * rng.normal(size=rows.shape) for _ in range(2)]
        unit = [
            torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)).float().to(device)
            for x in terms
        ]
        weights = np.array([[1 - i / 10, i / 10] for i in range(11)])
        squared = np.einsum("va,nab,vb->vn", weights, gram(unit), weights)
        sides.append(WeightedRows(unit, weights, np.sqrt(squared)))
    return sides[0], sides[1]


if __name__ == "__main__":
    main()
