"""How long a plan takes with how many workers: a simulation of the dispatcher's choices."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reactions.core.step import Step
from reactions.core.types import Digest

Rows = tuple[int, int]


@dataclass(frozen=True, slots=True)
class StepSeconds:
    """What a step is expected to take.

    Attributes:
        own: that it takes in any case.
        shared: that are spent once for all steps that are run together with it.
    """

    own: float
    shared: float = 0.0

    @property
    def alone(self) -> float:
        """What it takes when it is run alone: at least so long from its begin to its end."""
        return self.own + self.shared


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What a worker does in one go, perhaps together with the same rows of other steps.

    Attributes:
        step: the step.
        rows: the shard that is made of it; None for a step that is made whole.
        seconds: that it is expected to take.
    """

    step: Step
    rows: Rows | None
    seconds: StepSeconds


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


def tasks(
    steps: Sequence[Step],
    seconds: Mapping[Digest, StepSeconds],
    left: Callable[[Step], Sequence[Rows]] = shards,
) -> list[ShardTask]:
    """Return the tasks of steps, in the order in which a single worker does them.

    Args:
        steps: from ``schedule``: inputs before what needs them.
        seconds: that each step takes, by its key; shards take equally long a row.
        left: returns the shards of a step that have to be made; not asked for steps that are
            made whole.
    """
    todo = []
    for step in steps:
        # A step whose shards are all there is still to be joined, in no time.
        rows: Sequence[Rows | None] = [None]
        if step.n_rows is not None:
            rows = left(step) or [(step.n_rows, step.n_rows)]
        for part in rows:
            whole, share = seconds[step.key], _share(step, part)
            todo.append(ShardTask(step, part, StepSeconds(whole.own * share, whole.shared * share)))
    return todo


def step_seconds(
    steps: Sequence[Step], recorded: Mapping[Digest, float], flops_per_s: float
) -> dict[Digest, StepSeconds]:
    """Return how long each step takes: as recorded, else by its operations.

    Args:
        steps: which.
        recorded: seconds of steps that were made before, by key. Of steps that were run together
            it is a part each, and nothing is known of what they shared.
        flops_per_s: of one worker.
    """
    times = {}
    for step in steps:
        own_s = (step.cost.flops - step.cost.shared_flops) / flops_per_s
        estimate = StepSeconds(own_s, step.cost.shared_flops / flops_per_s)
        is_recorded = step.key in recorded
        times[step.key] = StepSeconds(recorded[step.key]) if is_recorded else estimate
    return times


def longest_chain(steps: Sequence[Step], todo: Sequence[ShardTask]) -> tuple[float, list[Step]]:
    """Return what no number of workers can undercut, and the steps that it consists of.

    A step takes at least as long as its longest task, after the last of its inputs.
    """
    longest: defaultdict[Digest, float] = defaultdict(float)
    for task in todo:
        longest[task.step.key] = max(longest[task.step.key], task.seconds.alone)
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
    that it holds, then what no other worker holds the encoder of, else the next task of the plan;
    with it, the same rows of what can be run together and is ready. Loading encoders, sending
    rows and joining shards take no time here.

    Args:
        steps: from ``schedule``: inputs before what needs them.
        todo: their tasks.
        workers: how many, from 1.
    """
    return _Simulation(steps, todo, workers).run()


class _Simulation:
    """The dispatcher's choices, in time that is only counted; see ``simulate``."""

    def __init__(self, steps: Sequence[Step], todo: Iterable[ShardTask], workers: int) -> None:
        self._steps = steps
        self._waiting: dict[Digest, dict[Rows | None, StepSeconds]] = {s.key: {} for s in steps}
        for task in todo:
            self._waiting[task.step.key][task.rows] = task.seconds
        self._unfinished = {key: len(shards) for key, shards in self._waiting.items()}
        self._position = {step.key: i for i, step in enumerate(steps)}
        self._missing = {
            step.key: {source.key for _, source in step.inputs if source.key in self._position}
            for step in steps
        }
        self._followers: defaultdict[Digest, list[Step]] = defaultdict(list)
        for step in steps:
            for key in self._missing[step.key]:
                self._followers[key].append(step)
        self._ready = [i for i, step in enumerate(steps) if not self._missing[step.key]]
        self._open = set(self._ready)  # those that are ready, or in progress
        self._groups: defaultdict[str, list[int]] = defaultdict(list)
        for i, step in enumerate(steps):
            if step.together:
                self._groups[step.together].append(i)
        self._n_workers = workers
        # Idle workers by what they hold: of those that hold the same, the first is taken.
        self._idle: defaultdict[str, list[int]] = defaultdict(list, {"": list(range(workers))})
        self._n_holders: Counter[str] = Counter({"": workers})
        self._running: list[tuple[float, int, str, list[Digest]]] = []

    def run(self) -> Simulated:
        now_s = worked_s = 0.0
        while self._ready or self._running:
            while self._ready and any(self._idle.values()):
                worked_s += self._give(now_s)
            now_s, worker, holds, keys = heapq.heappop(self._running)
            heapq.heappush(self._idle[holds], worker)
            for key in keys:
                self._note_done(key)
        busy = worked_s / (now_s * self._n_workers) if now_s else 1.0
        return Simulated(self._n_workers, now_s, busy)

    def _give(self, now_s: float) -> float:
        """Give an idle worker something to do; return the seconds that it takes."""
        # Of the steps that need the same, only the first can be next.
        offers: dict[str, Step] = {}
        for step in sorted((self._steps[place] for place in self._ready), key=self._place):
            offers.setdefault(_holds(step), step)
        pairs = [
            (loaded, step)
            for loaded, idle in self._idle.items()
            if idle
            for step in offers.values()
        ]
        loaded, step = min(pairs, key=self._rank)
        worker = heapq.heappop(self._idle[loaded])
        self._n_holders[loaded] -= 1
        self._n_holders[_holds(step)] += 1
        members = [step]
        if step.together:
            ready = [self._steps[place] for place in self._ready]
            members = [ready_step for ready_step in ready if ready_step.together == step.together]
        rows = min(
            (next(iter(self._waiting[member.key])) for member in members), key=lambda r: r or (0, 0)
        )
        parts = {
            member.key: self._waiting[member.key].pop(rows)
            for member in members
            if rows in self._waiting[member.key]
        }
        for key in parts:
            if not self._waiting[key]:
                self._ready.remove(self._position[key])
        took_s = sum(part.own for part in parts.values())
        took_s += max(part.shared for part in parts.values())
        heapq.heappush(self._running, (now_s + took_s, worker, _holds(step), list(parts)))
        return took_s

    def _note_done(self, key: Digest) -> None:
        self._unfinished[key] -= 1
        if self._unfinished[key]:
            return
        self._open.discard(self._position[key])
        for follower in self._followers[key]:
            self._missing[follower.key].discard(key)
            if not self._missing[follower.key]:
                insort(self._ready, self._position[follower.key])
                self._open.add(self._position[follower.key])

    def _rank(self, pair: tuple[str, Step]) -> tuple[int, int, int]:
        """Return how well a step suits a worker, best first; see ``dispatcher``."""
        loaded, step = pair
        need = _holds(step)
        if need and loaded == need:
            affinity = 0
        elif need and self._n_holders[need]:
            affinity = 2
        else:
            affinity = 1
        return affinity, self._place(step), self._idle[loaded][0]

    def _place(self, step: Step) -> int:
        """Return a step's place in the plan, or that of one in progress that it could run with."""
        members = self._groups.get(step.together, ())
        return min([self._position[step.key], *(p for p in members if p in self._open)])


def enough(
    simulated: Callable[[int], Simulated], bound_s: float, n_tasks: int, most: int = 4096
) -> int:
    """Return the number of workers from which on twice as many save less than a tenth.

    Numbers are doubled until no saving of a tenth is left, or no worker would be without a task:
    times may stand still for a while and fall again.

    Args:
        simulated: a run with a number of workers.
        bound_s: what no number of workers can undercut.
        n_tasks: of the plan.
        most: at which to stop.
    """
    workers = sufficient = 1
    present_s = simulated(1).seconds
    while workers < min(most, n_tasks) and 0.9 * present_s >= bound_s:
        workers, before_s = 2 * workers, present_s
        present_s = simulated(workers).seconds
        if present_s <= 0.9 * before_s:
            sufficient = workers
    return sufficient


def _holds(step: Step) -> str:
    return step.encoder or step.shares


def _share(step: Step, rows: Rows | None) -> float:
    if rows is None or not step.n_rows:
        return 1.0
    return (rows[1] - rows[0]) / step.n_rows
