"""Processes that run the same command on one store share its steps, shard by shard."""

import hashlib
import itertools
import json
import os
import signal
import textwrap
import time
from contextlib import ExitStack

import numpy as np
import pytest
from fakes import Context
from processes import finish, log_of, spawn
from toy import Sink, by_rows, executor

from reactions.core.errors import StepError
from reactions.core.step import Artifact
from reactions.run import events as ev
from reactions.run import job as job_module
from reactions.run.job import Job, claim_rows
from reactions.store import Store

N, SHARD = 24, 2  # twelve shards
WORK = f"""
    import json
    class Seen(list):
        def append(self, event):
            super().append(event)
            if type(event).__name__ == "Waiting": note("Waiting")
    complete = Store.complete
    Store.complete = lambda self, shards: (note("join"), complete(self, shards))[1]
    seen, ran = Seen(), []
    step = by_rows(ran, {N}, {SHARD}, hook=lambda start: (note(start), make(start)))
    rows = executor(store, seen).run([step])[step.key].arrays["x"].to_array().ravel().tolist()
    names = [type(event).__name__ for event in seen]
    print(json.dumps({{"rows": rows, "made": ran, "events": names}}))
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture
def start(store):
    """Start processes that all begin to work at the same time, and end when the test does."""
    processes = []

    def begin(n, make="pass"):
        gate = f"""
        def make(start):
            note(f"works{{os.getpid()}}")
            while len({{word for word in log.read_text().split() if "works" in word}}) < {n}:
                time.sleep(0.005)  # each of them makes some
            {make}
        def is_first():
            try: Path(f"{{log}}.first").mkdir()
            except FileExistsError: return False
            return True
        note(f"pid{{os.getpid()}}")
        while log.read_text().count("pid") < {n}: time.sleep(0.005)
        """
        source = textwrap.dedent(gate) + textwrap.dedent(WORK)
        processes.extend(spawn(source, store.root) for _ in range(n))
        return processes

    yield begin
    for process in processes:
        process.__exit__()


def shards_of(store):
    return [int(word) for word in log_of(store.root) if word.isdecimal()]


def wait_until(condition):
    deadline_s = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def assert_sound(store):
    assert list(store.verify()) == []
    for folder in ("tmp", "locks", "partial"):
        assert list((store.root / folder).iterdir()) == []


def test_three_processes_share_one_step(store, start):
    results = [json.loads(finish(process)[0]) for process in start(3)]
    assert all(result["rows"] == list(range(N)) for result in results)
    assert all(result["made"] for result in results)  # each of them makes some
    assert sorted(shards_of(store)) == list(range(0, N, SHARD))  # and none twice
    assert log_of(store.root).count("join") == 1
    for result in results:
        assert result["events"].count("StepStarted") == 1
        assert result["events"].count("StepFinished") == 1
        assert "StepHit" not in result["events"]
        assert result["events"].count("Waiting") <= 1
    assert len(list((store.root / "entries").glob("*/*"))) == 1
    assert_sound(store)


def test_the_others_finish_what_a_killed_process_began(store, start):
    processes = start(3, "time.sleep(600 if start == 6 and is_first() else 0)")
    shards = store.partial(by_rows([], N, SHARD), verify=False)
    wait_until(lambda: shards.missing() == [(6, 8)])
    # All but one shard are made. Its maker never ends; the others wait for it.
    wait_until(lambda: log_of(store.root).count("Waiting") == 2)
    (lock,) = (store.root / "locks").glob("*.6-8.lock")
    maker = int(lock.read_text().split()[0])
    assert all(process.is_running for process in processes)
    os.kill(maker, signal.SIGKILL)
    others = [process for process in processes if process.pid != maker]
    results = [json.loads(finish(process)[0]) for process in others]
    assert [result["rows"] for result in results] == [list(range(N))] * 2
    counts = {first: shards_of(store).count(first) for first in range(0, N, SHARD)}
    assert counts == {first: 2 if first == 6 else 1 for first in range(0, N, SHARD)}
    (killed,) = (process for process in processes if process.pid == maker)
    finish(killed, -signal.SIGKILL)
    assert list((store.root / "locks").iterdir()) == []
    assert list(store.verify()) == []


def test_a_process_with_nothing_to_do_says_which_one_it_waits_for(store):
    """The first shard is made here; a process that has the other one is waited for."""
    step, events, other_locks = by_rows([], 4, 2), [], ExitStack()
    other = Store(store.root)
    other_locks.enter_context(other.lock(step.key, part="2-4"))

    def follow(event):
        events.append(event)
        if isinstance(event, ev.Waiting):
            other_locks.close()

    rows = executor(store, Sink(follow)).run([step])[step.key].arrays["x"]
    assert np.array_equal(rows.to_array().ravel(), np.arange(4))
    ((pid, label),) = [(e.pid, e.label) for e in events if isinstance(e, ev.Waiting)]
    assert (pid, label) == (os.getpid(), "rows")
    assert [e.done for e in events if isinstance(e, ev.StepProgress)][-1] == 4


def test_a_step_that_only_others_made_is_a_hit(store):
    step, events, other_locks = by_rows([], 4, 2), [], ExitStack()
    other = Store(store.root)
    other_locks.enter_context(other.lock(step.key, part="0-2"))
    other_locks.enter_context(other.lock(step.key, part="2-4"))
    artifact = executor(Store(store.root / "elsewhere")).run([step])[step.key]

    def follow(event):
        events.append(event)
        if isinstance(event, ev.Waiting):
            other.put(step, artifact)

    executor(store, Sink(follow)).run([step])
    other_locks.close()
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["PlanStarted", "Waiting", "StepHit", "PlanFinished"]
    assert events[-1].executed == 0


def test_an_earlier_version_at_work_on_a_step_is_left_alone(store):
    """It holds the whole step: it does not know of locks of shards."""
    ran, step = [], by_rows([], 4, 2)
    code = """
        import fcntl
        path = store.root / "locks" / f"{by_rows([], 4, 2).key}.lock"
        path.parent.mkdir(parents=True)
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(str(os.getpid()))
            lock.flush()
            note("held")
            time.sleep(600)
    """
    earlier = spawn(code, store.root)
    wait_until(lambda: log_of(store.root) == ["held"])
    events = []

    def follow(event):
        events.append(event)
        if isinstance(event, ev.Waiting):
            earlier.send_signal(signal.SIGKILL)

    executor(store, Sink(follow)).run([by_rows(ran, 4, 2)])
    assert [event.pid for event in events if isinstance(event, ev.Waiting)] == [earlier.pid]
    finish(earlier, -signal.SIGKILL)
    assert ran == [(0, 2), (2, 4)]
    assert store.has(step.key)


@pytest.mark.parametrize("sizes", [(2, 3), (5, 2)])
def test_processes_that_cut_a_step_differently_both_end_well(store, sizes):
    code = """
        step = by_rows([], 30, {size}, hook=lambda start: time.sleep(0.02))
        rows = executor(store).run([step])[step.key].arrays["x"]
        assert rows.to_array().ravel().tolist() == list(range(30))
    """
    for process in [spawn(code.format(size=size), store.root) for size in sizes]:
        finish(process)
    assert list(store.verify()) == []
    assert list((store.root / "locks").iterdir()) == []


def taking_part(store, n=3):
    """Jobs of as many steps, of which this process could make all shards."""
    steps = [by_rows([], 8, 2, seed=seed) for seed in range(n)]
    jobs = [
        Job(step, position, set(), store=Store(store.root), events=lambda event: None)
        for position, step in enumerate(steps)
    ]
    assert all(job.take_part() for job in jobs)
    return jobs


def close(*groups):
    for job in itertools.chain(*groups):
        job.close()


def test_a_group_of_steps_is_not_torn_apart(store):
    """Of two processes that claim shards of steps that run together, each gets whole shards."""
    groups = [taking_part(store) for _ in range(2)]
    claimed = [claim_rows(group) for group in (*groups, *groups)]
    assert [(len(members), rows) for members, rows in claimed] == [
        (3, (0, 2)),
        (3, (2, 4)),
        (3, (4, 6)),
        (3, (6, 8)),
    ]
    assert claim_rows(groups[0]) is None
    close(*groups)


def test_a_shard_that_another_process_is_just_claiming_is_left_to_it(store):
    group = taking_part(store)
    first, *others = sorted(group, key=lambda job: job.step.key)
    with store.lock(first.step.key, part="0-2"):  # and is about to claim those of the others
        for rows in ((2, 4), (4, 6), (6, 8)):
            assert claim_rows(group) == (group, rows)
        # When there is nothing else to do, what only the first step lacks is not waited for.
        assert claim_rows(group) == (sorted(others, key=lambda job: job.position), (0, 2))
    close(group)


def test_a_shard_or_a_result_that_has_just_been_finished_is_not_made_again(store):
    (job,) = taking_part(store, 1)
    assert job.lacking()[0] == (0, 2)
    artifact = Artifact({"x": np.zeros((2, 1))})
    store.add_shard(store.partial(job.step, verify=False), 0, 2, artifact)
    assert not job.claim_shard((0, 2))
    assert job.lacking()[0] == (2, 4)
    store.put(job.step, Artifact({"x": np.zeros((8, 1))}))
    assert not job.claim_shard((2, 4))
    assert [path.name for path in (store.root / "locks").iterdir()] == [f"{job.step.key}.lock"]
    close([job])


def test_rows_that_others_make_are_progress(store):
    """One shard is made here, two elsewhere: progress counts all, at the moment they are there."""
    step, events, other_locks = by_rows([], 6, 2), [], ExitStack()
    other = Store(store.root)
    for part in ("2-4", "4-6"):
        other_locks.enter_context(other.lock(step.key, part=part))

    def make(start):
        rows = step.run(Context(), {}, start, start + 2)
        other.add_shard(other.partial(step, verify=False), start, start + 2, rows)

    def follow(event):
        events.append(event)
        if isinstance(event, ev.Waiting):
            make(2)
        elif isinstance(event, ev.StepProgress) and event.done == 4:
            make(4)
            other_locks.close()

    executor(store, Sink(follow)).run([step])
    assert [e.done for e in events if isinstance(e, ev.StepProgress)] == [2, 4, 6]
    assert [type(e).__name__ for e in events[-2:]] == ["StepFinished", "PlanFinished"]


def test_a_shard_that_is_damaged_while_others_are_made_is_made_again(store):
    ran, events = [], []

    def damage(start):
        if start == 4 and len(ran) == 2:
            (path,) = store.root.glob("partial/*/0-2/0.npy")
            os.truncate(path, 10)

    step = by_rows(ran, 6, 2, hook=damage)
    rows = executor(store, events).run([step])[step.key].arrays["x"]
    assert rows.to_array().ravel().tolist() == list(range(6))
    assert ran == [(0, 2), (2, 4), (4, 6), (0, 2)]
    (warning,) = [event.message for event in events if isinstance(event, ev.StoreWarning)]
    assert "dropped rows 0-2 of 'rows'" in warning
    assert "0.npy has 10 bytes" in warning


def test_shards_of_two_processes_that_do_not_fit_are_refused_at_the_end(store):
    """Each was the first one in its process, so neither saw that they differ."""
    step, other = by_rows([], 4, 2), Store(store.root / "elsewhere")
    odd = Artifact({"x": np.zeros((2, 1), np.float32)})
    other.add_shard(other.partial(step), 2, 4, odd)

    def bring():
        (shard,) = other.root.glob("partial/*/2-4")
        shard.rename(store.root / "partial" / step.key / "2-4")

    # The second shard is claimed by another process, which then stores the odd one.
    other_locks = ExitStack()
    other_locks.enter_context(Store(store.root).lock(step.key, part="2-4"))

    def follow(event):
        if isinstance(event, ev.Waiting):
            bring()
            other_locks.close()

    with pytest.raises(StepError, match="made rows 2 to 4 unlike earlier ones") as caught:
        executor(store, Sink(follow)).run([step])
    assert "<f4" in caught.value.why
    assert not store.has(step.key)


def test_a_shard_as_earlier_versions_left_it_is_resumed(store):
    ran = []
    step = by_rows(ran, 4, 2)
    folder = store.root / "partial" / step.key / "0-2"
    folder.mkdir(parents=True)
    (store.root / "store.json").write_text('{"format": 1}')
    np.save(folder / "0.npy", np.array([[0.0], [1.0]]))
    data = (folder / "0.npy").read_bytes()
    shard = {"file": "0.npy", "rows": 2, "size_bytes": len(data)}
    shard["sha256"] = hashlib.sha256(data).hexdigest()
    record = {
        "format": 1,
        "key": step.key,
        "kind": "embed",
        "label": "rows",
        "created": "2026-01-01T00:00:00+00:00",
        "preimage": dict(step.preimage),
        "meta": {},
        "arrays": {"x": {"dtype": "<f8", "shape": [2, 1], "shards": [shard]}},
    }
    (folder / "shard.json").write_text(json.dumps(record))
    rows = executor(store).run([step])[step.key].arrays["x"]
    assert ran == [(2, 4)]
    assert rows.to_array().ravel().tolist() == [0, 1, 2, 3]


def test_what_a_killed_run_left_damaged_is_found_by_the_first_process(store):
    """Its bytes are hashed once, before anything is added; not by those who join in later."""
    ran, events, step = [], [], by_rows([], 6, 2)
    shards = store.partial(step)
    for start in (0, 2):
        rows = step.run(Context(), {}, start, start + 2)
        store.add_shard(shards, start, start + 2, rows)
    path = store.root / "partial" / step.key / "2-4" / "0.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # of the same size
    path.write_bytes(data)
    with store.lock(step.key, shared=True) as lock:
        assert lock.share()
        joining = Job(step, 0, set(), store=Store(store.root), events=events.append)
        assert joining.take_part()
        assert joining.lacking() == [(4, 6)]
        joining.close()
    rows = executor(store, events).run([by_rows(ran, 6, 2)])[step.key].arrays["x"]
    assert ran == [(2, 4), (4, 6)]
    assert rows.to_array().ravel().tolist() == list(range(6))
    (warning,) = [event.message for event in events if isinstance(event, ev.StoreWarning)]
    assert "dropped rows 2-4 of 'rows'" in warning


def test_time_between_calls_of_workers_is_no_work(store, monkeypatch):
    time_s, events = [0.0], []
    monkeypatch.setattr(job_module.time, "monotonic", lambda: time_s[0])
    step = by_rows([], 6, 2)
    job = Job(step, 0, set(), store=store, events=events.append)
    assert job.take_part()
    shards = [(0, 2), (2, 4), (4, 6)]
    for index, rows in enumerate(shards):
        assert job.claim_shard(rows)
        time_s[0] += 2.0  # a worker computes
        partial = store.partial(step)
        store.add_shard(partial, *rows, step.run(Context(), {}, *rows))
        job.finish(rows, is_whole=True)
        if index < 2:
            time_s[0] += 20.0  # it computes for others
    assert job.claim_join()
    time_s[0] += 1.0
    store.complete(store.partial(step))
    job.finish(None, is_whole=True)
    (finished,) = [event for event in events if isinstance(event, ev.StepFinished)]
    assert (finished.seconds, finished.waited_s) == (7.0, 40.0)
