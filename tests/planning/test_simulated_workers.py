"""Simulated runs: what can be said of them without running anything."""

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from virtual_workers import counted_s

from reactions.core.step import NOT_IN_KEY, Artifact, Cost, Step, inputs_from
from reactions.planning import workers
from reactions.run.schedule import schedule


@dataclass(frozen=True, eq=False, kw_only=True)
class Planned(Step):
    KIND, VERSION = "embed", 1
    label: str
    sources: tuple = field(default=(), metadata=inputs_from())
    n_rows: int | None = field(default=None, metadata=NOT_IN_KEY)
    shard_rows: int = field(default=0, metadata=NOT_IN_KEY)
    flops: float = field(default=0.0, metadata=NOT_IN_KEY)
    shared_flops: float = field(default=0.0, metadata=NOT_IN_KEY)
    together: str = field(default="", metadata=NOT_IN_KEY)
    encoder: str = field(default="", metadata=NOT_IN_KEY)

    @property
    def cost(self):
        return Cost(self.flops, shared_flops=self.shared_flops)

    def run(self, context, inputs, start, stop):
        return Artifact({"x": np.zeros((stop - start, 1), np.float32)})


def simulated(steps, count):
    seconds = workers.step_seconds(steps, {}, 1.0)
    return workers.simulate(steps, workers.tasks(steps, seconds), count)


def chain(steps):
    todo = workers.tasks(steps, workers.step_seconds(steps, {}, 1.0))
    total, members = workers.longest_chain(steps, todo)
    return total, [step.label for step in members]


def test_one_worker_takes_the_sum():
    steps = [Planned(label=str(i), flops=float(i)) for i in range(1, 5)]
    run = simulated(steps, 1)
    assert (run.seconds, run.busy) == (10.0, 1.0)


def test_shards_are_divided():
    step = Planned(label="a", n_rows=10, shard_rows=3, flops=10.0)
    assert workers.shards(step) == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert simulated([step], 4).seconds == pytest.approx(3.0)
    assert simulated([step], 2).seconds == pytest.approx(6.0)
    assert simulated([step], 4).busy == pytest.approx(10 / 12)
    assert chain([step]) == (pytest.approx(3.0), ["a"])


def test_a_step_without_rows_is_one_task():
    assert workers.shards(Planned(label="a", n_rows=0, shard_rows=3)) == [(0, 0)]
    assert workers.shards(Planned(label="a")) == []
    assert workers.shards(Planned(label="a", n_rows=4)) == [(0, 4)]


def test_inputs_come_first():
    first = Planned(label="first", flops=2.0)
    second = Planned(label="second", sources=(first,), flops=3.0)
    independent = Planned(label="beside", flops=4.0)
    assert simulated([first, second, independent], 1).seconds == 9.0
    assert simulated([first, second, independent], 2).seconds == 5.0
    assert chain([first, second, independent]) == (5.0, ["first", "second"])


def test_inputs_that_are_done_already_are_not_waited_for():
    first = Planned(label="first", flops=2.0)
    second = Planned(label="second", sources=(first,), flops=3.0)
    assert simulated([second], 1).seconds == 3.0
    assert chain([second]) == (3.0, ["second"])


def test_what_steps_share_counts_once_and_records_win():
    both = {"together": "t", "flops": 10.0, "shared_flops": 8.0}
    steps = [Planned(label=name, n_rows=4, shard_rows=2, **both) for name in "ab"]
    alone = Planned(label="c", flops=5.0)
    times = workers.step_seconds([*steps, alone], {alone.key: 77.0}, 2.0)
    assert [times[s.key].alone for s in (*steps, alone)] == [5.0, 5.0, 77.0]
    assert workers.simulate(steps, workers.tasks(steps, times), 1).seconds == 6.0
    # One worker makes a shard of both: a second one has the other shard, a third nothing to do.
    for count in (2, 3, 9):
        assert workers.simulate(steps, workers.tasks(steps, times), count).seconds == 3.0


def test_workers_stay_with_their_encoder():
    # In the plan's order a worker would change encoders with each task.
    steps = [
        Planned(label=f"{name}{i}", encoder=name, flops=1.0 + (name == "b"))
        for i in range(3)
        for name in "ab"
    ]
    # One takes the three of 1 s, the other two of the three of 2 s; then the first helps.
    assert simulated(steps, 2).seconds == 5.0


def any_plan(seed, n_steps, groups):
    """Return steps that need one another, some of which can be run together."""
    rng = random.Random(seed)
    steps = []
    for i in range(n_steps):
        sources = tuple(rng.sample(steps, min(len(steps), rng.randrange(3))))
        n_rows = rng.choice([None, 7, 20])
        group = rng.choice(["", *groups]) if n_rows == 7 else ""
        steps.append(
            Planned(
                label=str(i),
                sources=sources,
                n_rows=n_rows,
                shard_rows=3,
                flops=rng.uniform(1.0, 5.0),
                shared_flops=0.8 if group else 0.0,
                together=group,
                encoder=rng.choice(["", "a", "b"]),
            )
        )
    return steps


def seconds_of(work):
    """Return what a unit of work takes at one operation a second."""
    if work.joins_shards:
        return 0.0
    own_flops = sum(step.flops - step.shared_flops for step in work.steps)
    rows, n_rows = work.rows or (0, 1), work.steps[0].n_rows or 1
    return (own_flops + work.steps[0].shared_flops) * (rows[1] - rows[0]) / n_rows


@pytest.mark.parametrize("seed", range(4))
def test_it_takes_as_long_as_the_dispatcher_itself(seed, tmp_path, monkeypatch):
    pending = schedule(any_plan(seed, 9, "gh"), lambda key: None).pending
    assert any(step.together for step in pending)
    for count in (1, 2, 3):
        took_s = counted_s(monkeypatch, tmp_path / str(count), pending, count, seconds_of)
        # To join shards takes a worker, if no time: another may then begin what comes next.
        assert simulated(pending, count).seconds == pytest.approx(took_s, rel=0.03)


@pytest.mark.parametrize("seed", range(8))
def test_bounds_hold_for_any_plan(seed):
    steps = any_plan(seed, 30, "")
    total = sum(step.flops for step in steps)
    bound, _ = chain(steps)
    for count in (1, 2, 3, 8, 64):
        run = simulated(steps, count)
        # Graham's bound for any choice that leaves no worker idle beside a ready task.
        assert max(bound, total / count) <= run.seconds * (1 + 1e-9)
        assert run.seconds <= bound + total / count + 1e-9
        assert run.busy == pytest.approx(total / (count * run.seconds))


def test_enough_is_where_more_stop_paying():
    step = Planned(label="a", n_rows=16, shard_rows=1, flops=16.0)
    last = Planned(label="b", sources=(step,), flops=4.0)
    steps = [step, last]
    count = workers.enough(lambda n: simulated(steps, n), chain(steps)[0], 17)
    assert count == 16
    assert workers.enough(lambda n: simulated([], n), 0.0, 0) == 1


def test_enough_is_not_where_times_only_stand_still_for_a_while():
    times = {1: 10.0, 2: 5.0, 4: 4.9, 8: 2.0, 16: 1.9, 32: 1.9}
    count = workers.enough(lambda n: workers.Simulated(n, times[n], 1.0), 0.5, 20)
    assert count == 8


def test_shards_that_are_there_are_not_counted():
    steps = [Planned(label=name, n_rows=10, shard_rows=5, flops=10.0) for name in "ab"]
    remaining = {steps[0].key: [(5, 10)], steps[1].key: []}
    times = workers.step_seconds(steps, {}, 1.0)
    todo = workers.tasks(steps, times, lambda step: remaining[step.key])
    assert [task.seconds.alone for task in todo] == [5.0, 0.0]
    assert workers.simulate(steps, todo, 2).seconds == 5.0
