"""How long a plan takes with how many workers: a simulation of the dispatcher's choices."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reactions.core.step import Step
from reactions.core.types import Digest

Rows = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What a worker does in one go.

    Attributes:
        step: the step.
        rows: the shard that is made of it; None for a step that is made whole.
        seconds: that it is expected to take.
    """

    step: Step
    rows: Rows | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run with a number of workers.

    Attributes:
        workers: how many.
        seconds: from begin to end.
        busy: the part of the workers' time in which they work, 0 to 1.
    """

    workers: int
    seconds: float
    busy: float


def shards(step: Step) -> list[Rows]:
    """Return the rows of each shard of a step; [] for one that is made whole."""
    n_rows, size = step.n_rows, step.shard_rows or step.n_rows or 0
    if n_rows is None:
        return []
    return [(start, min(start + size, n_rows)) for start in range(0, n_rows, size)] or [(0, 0)]


def tasks(steps: Sequence[Step], seconds: Mapping[Digest, float]) -> list[ShardTask]:
    """Return the tasks of steps, in the order in which a single worker does them.

    Args:
        steps: from ``schedule``: inputs before what needs them.
        seconds: that each step takes, by its key; shards take equally long a row.
    """
    whole: list[Rows | None] = [None]
    return [
        ShardTask(step, rows, seconds[step.key] * _share(step, rows))
        for step in steps
        for rows in (shards(step) or whole)
    ]


def step_seconds(
    steps: Sequence[Step], recorded: Mapping[Digest, float], flops_per_s: float
) -> dict[Digest, float]:
    """Return how long each step takes: as recorded, else by its operations.

    What steps that run together have in common is divided among them.

    Args:
        steps: which.
        recorded: seconds of steps that were made before, by key.
        flops_per_s: of one worker.
    """
    members: defaultdict[str, int] = defaultdict(int)
    for step in steps:
        members[step.together or step.key] += 1
    times = {}
    for step in steps:
        shared, size = step.cost.shared_flops, members[step.together or step.key]
        flops = step.cost.flops - shared + shared / size
        times[step.key] = recorded.get(step.key, flops / flops_per_s)
    return times


def longest_chain(steps: Sequence[Step], todo: Sequence[ShardTask]) -> tuple[float, list[Step]]:
    """Return what no number of workers can undercut, and the steps that it consists of.

    A step takes at least as long as its longest task, after the last of its inputs.
    """
    longest: defaultdict[Digest, float] = defaultdict(float)
    for task in todo:
        longest[task.step.key] = max(longest[task.step.key], task.seconds)
    ends: dict[Digest, float] = {}
    before: dict[Digest, Step | None] = {}
    for step in steps:
        sources = [source for _, source in step.inputs if source.key in ends]
        last = max(sources, key=lambda source: ends[source.key], default=None)
        before[step.key] = last
        ends[step.key] = longest[step.key] + (ends[last.key] if last else 0.0)
    if not steps:
        return 0.0, []
    end: Step | None = max(steps, key=lambda step: ends[step.key])
    total = max(ends.values())
    chain: list[Step] = []
    while end is not None:
        chain.append(end)
        end = before[end.key]
    return total, chain[::-1]


def simulate(steps: Sequence[Step], todo: Iterable[ShardTask], workers: int) -> Simulated:
    """Return how a run goes with a number of workers.

    Each idle worker is given what the dispatcher would give it: first what needs the encoder
    that it holds, then what no other worker holds the encoder of, else the next task of the plan.
    Loading encoders, sending rows and joining shards take no time here.

    Args:
        steps: from ``schedule``: inputs before what needs them.
        todo: their tasks.
        workers: how many, from 1.
    """
    waiting: defaultdict[Digest, list[ShardTask]] = defaultdict(list)
    for task in todo:
        waiting[task.step.key].append(task)
    position = {step.key: i for i, step in enumerate(steps)}
    missing = {
        step.key: {source.key for _, source in step.inputs if source.key in position}
        for step in steps
    }
    followers: defaultdict[Digest, list[Step]] = defaultdict(list)
    for step in steps:
        for key in missing[step.key]:
            followers[key].append(step)
    unfinished = {key: len(own) for key, own in waiting.items()}
    ready = sorted(position[step.key] for step in steps if not missing[step.key])
    holds = [""] * workers
    idle = list(range(workers))
    running: list[tuple[float, int, Digest]] = []
    now_s = worked_s = 0.0
    while ready or running:
        while idle and ready:
            # Of the steps that need the same encoder, only the first can be next.
            offers: dict[str, Step] = {}
            for place in ready:
                offers.setdefault(_holds(steps[place]), steps[place])
            pairs = [(w, s) for w in idle for s in offers.values()]
            worker, step = min(pairs, key=lambda pair: _rank(pair[0], pair[1], holds, position))
            task = waiting[step.key].pop(0)
            if not waiting[step.key]:
                ready.remove(position[step.key])
            idle.remove(worker)
            holds[worker] = _holds(step)
            worked_s += task.seconds
            heapq.heappush(running, (now_s + task.seconds, worker, step.key))
        now_s, worker, key = heapq.heappop(running)
        idle.append(worker)
        unfinished[key] -= 1
        if unfinished[key]:
            continue
        for follower in followers[key]:
            missing[follower.key].discard(key)
            if not missing[follower.key]:
                insort(ready, position[follower.key])
    return Simulated(workers, now_s, worked_s / (now_s * workers) if now_s else 1.0)


def enough(simulated: Callable[[int], Simulated], bound_s: float, most: int = 4096) -> int:
    """Return the number of workers from which on twice as many save less than a tenth.

    Args:
        simulated: a run with a number of workers.
        bound_s: what no number of workers can undercut.
        most: at which to stop.
    """
    workers, present = 1, simulated(1).seconds
    while workers < most and present > bound_s:
        double = simulated(2 * workers).seconds
        if double > 0.9 * present:
            break
        workers, present = 2 * workers, double
    return workers


def _holds(step: Step) -> str:
    return step.encoder or step.shares


def _rank(
    worker: int, step: Step, holds: Sequence[str], position: Mapping[Digest, int]
) -> tuple[int, int, int]:
    need = _holds(step)
    if need and holds[worker] == need:
        affinity = 0
    elif need and need in holds:
        affinity = 2
    else:
        affinity = 1
    return affinity, position[step.key], worker


def _share(step: Step, rows: Rows | None) -> float:
    if rows is None or not step.n_rows:
        return 1.0
    return (rows[1] - rows[0]) / step.n_rows
