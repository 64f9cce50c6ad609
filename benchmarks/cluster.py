"""A Ray cluster of this machine beside the ideal, and the paper's reaction on more machines.

    python benchmarks/cluster.py [--json FILE] [--quick] [--workers 1,2,4,8] [--flops 4e14]

Tables: shards that only sleep, on 1 to 8 workers, from the begin of the first to the end; the
paper's reaction on 1 to 64 workers, simulated from the operations that its plan counts and a
speed that is assumed. The second runs nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from paper_scale import EXPRESSION, scaled
from timing import Table, parser, progress, publish

from reactions.core.step import NOT_IN_KEY, Artifact, Context, Step
from reactions.planning import workers as sim
from reactions.run.cluster.executor import RayExecutor
from reactions.store import Store

SHARDS = 32
SHARD_S = 3.0
SIMULATED = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sleep(Step):
    """Row i is i; a row takes ``seconds`` in which nothing is computed.

    When each process began its first one is noted in the folder ``log``.
    """

    KIND, VERSION = "embed", 1
    n_rows: int
    seconds: float
    log: Path = field(metadata=NOT_IN_KEY)
    shard_rows: int = field(default=1, metadata=NOT_IN_KEY)

    def run(self, context: Context, inputs: object, start: int, stop: int) -> Artifact:
        with suppress(FileExistsError):
            (self.log / str(os.getpid())).symlink_to(repr(time.time()))
        time.sleep(self.seconds * (stop - start))
        return Artifact({"x": np.arange(start, stop, dtype=np.float32)[:, None]})


def main() -> None:
    options = parser(__doc__, device=False)
    options.add_argument("--workers", default="1,2,4,8", help="numbers of workers (1,2,4,8)")
    options.add_argument(
        "--flops", type=float, default=4e14, help="FLOP/s of a simulated worker (4e14)"
    )
    arguments = options.parse_args()
    publish(measured(arguments), arguments)


def measured(arguments: argparse.Namespace) -> Iterator[Table]:
    """Make the tables in turn."""
    counts = [int(word) for word in arguments.workers.split(",")]
    if arguments.quick:
        yield sleeping(counts[:2], 8, 0.2)
    else:
        yield sleeping(counts, SHARDS, SHARD_S)
    yield paper(arguments.flops)


def sleeping(counts: list[int], n_shards: int, shard_s: float) -> Table:
    """Run shards that sleep with several numbers of workers."""
    import ray

    # Actors import this file by name.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [
            str(Path(__file__).parent),
            str(Path(__file__).parents[1]),
            os.environ.get("PYTHONPATH", ""),
        ]
    )
    ray.init(num_cpus=max(counts), include_dashboard=False, log_to_driver=False)
    rows = []
    for count in counts:
        progress(f"{count} workers")
        worked_s, present_s = _timed(count, n_shards, shard_s)
        rows.append((count, present_s / count, worked_s / count, present_s / worked_s))
    ray.shutdown()
    title = f"{n_shards} shards that sleep {shard_s} s each, on actors of one machine"
    columns = ("workers", "s a worker", "of them asleep", "of the ideal")
    notes = ["From each worker's first shard to the end of all: starting Ray is left out."]
    return Table(title, columns, rows, notes)


def _timed(count: int, n_shards: int, shard_s: float) -> tuple[float, float]:
    """Return the seconds that workers slept, and those for which they were there."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.mkdir()
        step = Sleep(n_rows=n_shards, seconds=shard_s, log=log)
        executor = RayExecutor(
            Store(Path(folder) / "store"),
            device="cpu",
            address=f"?workers={count}",
            load_encoder=_no_encoder,
        )
        executor.run([step])
        begun_s = [float(path.readlink().name) for path in log.iterdir()]
        assert len(begun_s) == count
        ended_s = max(path.stat().st_mtime for path in (Path(folder) / "store").rglob("*.npy"))
    return n_shards * shard_s, sum(ended_s - began for began in begun_s)


def _no_encoder(spec: object, device: str) -> object:
    raise AssertionError("steps that sleep load no encoder")


def paper(flops_per_s: float) -> Table:
    """Simulate the paper's reaction with several numbers of workers, without and with encoders."""
    steps = list(scaled(1.0).steps)
    seconds = sim.step_seconds(steps, {}, flops_per_s)
    costs = [
        {k: sim.StepSeconds(0.0) if k in _embedding(steps) else s for k, s in seconds.items()},
        seconds,
    ]
    plans = [sim.tasks(steps, cost) for cost in costs]
    runs = [[sim.simulate(steps, todo, count) for todo in plans] for count in SIMULATED]
    rows = [
        (alone.workers, alone.seconds / 3600, alone.busy, both.seconds / 3600, both.busy)
        for alone, both in runs
    ]
    notes = [
        "First collecting and training alone, as if embeddings were there; then encoders too, by "
        "the operations of the published ones at the same speed. Decoding, loading encoders and "
        "moving rows are not counted."
    ]
    for name, todo in zip(("Without encoders", "With them"), plans, strict=True):
        bound_s, chain = sim.longest_chain(steps, todo)
        enough = sim.enough(
            lambda count, todo=todo: sim.simulate(steps, todo, count), bound_s, len(todo)
        )
        last = " -> ".join(
            f"{step.kind} {step.label.removeprefix(step.kind).strip()}"
            for step in chain
            if any(task.seconds.alone for task in todo if task.step.key == step.key)
        )
        notes.append(
            f"{name}, no number of workers takes less than {bound_s / 3600:.3g} h ({last}), and "
            f"from {enough} on twice as many save less than a tenth."
        )
    return Table(
        f"{EXPRESSION} at the paper's size, simulated at {flops_per_s:.3g} FLOP/s a worker",
        ("workers", "h", "busy", "h with encoders", "busy with them"),
        rows,
        notes,
    )


def _embedding(steps: Sequence[Step]) -> set[str]:
    """Return the keys of the steps that encode corpora."""
    return {step.key for step in steps if step.space is not None}


if __name__ == "__main__":
    import cluster  # workers know the step by this module's name

    cluster.main()
