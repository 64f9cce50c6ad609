"""Runs that are killed, stopped, or share a store with other processes."""

import os
import signal
import threading

import numpy as np
import pytest
from processes import finish, log_of, spawn
from toy import by_rows, executor

from reactions.run import events as ev
from reactions.run.local import LocalExecutor
from reactions.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def test_hits_import_no_torch(store):
    step = by_rows([], 4, 2)
    executor(store).run([step])
    code = """
        step = by_rows([], 4, 2)
        artifacts = executor(store, device="auto").run([step])
        assert artifacts[step.key].arrays["x"][:].shape == (4, 1)
        assert "torch" not in sys.modules
    """
    finish(spawn(code, store.root, names=()))


@pytest.mark.parametrize("at", ["shard", "renamed", "manifest", "entry"])
def test_a_run_killed_at_any_point_resumes(store, at):
    """SIGKILL in a step, after a shard's rename, before the manifest, before the entry's rename."""
    kill = {
        "shard": "hook = lambda start: start == 6 and die()",
        "renamed": """
import reactions.store.disk as m
publish = m.publish
m.publish = lambda *a: (publish(*a), str(a[1]).endswith("6-9") and die())""",
        "manifest": """
import reactions.store.store as m
m.write_json = lambda *a: die()""",
        "entry": """
import reactions.store.disk as m
publish = m.publish
m.publish = lambda *a: die() if "/entries/" in str(a[1]) else publish(*a)""",
    }[at]
    code = f"""
def die(): os.kill(os.getpid(), signal.SIGKILL)
hook = lambda start: None
{kill}
executor(store).run([by_rows([], 10, 3, hook=lambda start: (note(start), hook(start)))])
"""
    finish(spawn(code, store.root), -signal.SIGKILL)
    log_before = log_of(store.root)
    ran, warnings = [], []
    step = by_rows(ran, 10, 3)
    reopened = Store(store.root, warn=warnings.append)
    assert reopened.lookup(step.key) is None
    rows = executor(reopened).run([step])[step.key].arrays["x"]
    assert np.array_equal(rows.to_array().ravel(), np.arange(10))
    assert warnings == []
    assert list(reopened.verify()) == []
    assert len(log_before) + len(ran) <= 5  # of four shards, only the one in flight was made twice
    assert len(ran) == {"shard": 2, "renamed": 1, "manifest": 0, "entry": 0}[at]


@pytest.mark.parametrize("at", ["shard", "entry"])
def test_a_run_of_two_workers_killed_at_any_point_resumes(store, at):
    kill = {
        "shard": "",
        "entry": """
import reactions.store.disk as m
publish = m.publish
m.publish = lambda *a: die() if "/entries/" in str(a[1]) else publish(*a)""",
    }[at]
    code = f"""
def die(): os.kill(os.getpid(), signal.SIGKILL)
{kill}
def hook(start):
    note(start)
    if start >= 6 and {at == "shard"}:
        both.wait() == 0 and die()
        time.sleep(60)
import threading
both = threading.Barrier(2, timeout=120)
executor(store, device="cpu,cpu").run([by_rows([], 12, 3, hook=hook)])
"""
    finish(spawn(code, store.root), -signal.SIGKILL)
    log_before, ran, warnings = log_of(store.root), [], []
    step = by_rows(ran, 12, 3)
    reopened = Store(store.root, warn=warnings.append)
    rows = executor(reopened).run([step])[step.key].arrays["x"]
    assert np.array_equal(rows.to_array().ravel(), np.arange(12))
    assert warnings == []
    assert list(reopened.verify()) == []
    assert sorted(log_before, key=int) == ["0", "3", "6", "9"]
    assert ran == {"shard": [(6, 9), (9, 12)], "entry": []}[at]


def test_a_run_killed_at_each_touch_of_the_disk_resumes(tmp_path):
    """One child process for each file operation, killed just before it; then a run to the end."""
    code = """
        TOUCHES = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir",
                   "os.truncate", "os.utime", "os.listdir", "os.scandir", "fcntl.flock"}

        def child(store, at):
            left = [at]
            def hook(event, args):
                if event in TOUCHES:
                    left[0] -= 1
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(hook)
            executor(store).run([by_rows(Log(), 4, 2)])
            os._exit(0)

        class Log(list):
            def append(self, shard):
                os.write(made, b"x")

        points = 0
        while True:
            points += 1
            root = store.root / str(points)
            made = os.open(f"{root}.made", os.O_RDWR | os.O_CREAT)
            if (pid := os.fork()) == 0:
                child(Store(root), points)
            _, status = os.waitpid(pid, 0)
            if not os.WIFSIGNALED(status):
                assert status == 0
                break
            ran, warnings = [], []
            again = Store(root, warn=warnings.append)
            step = by_rows(ran, 4, 2)
            rows = executor(again).run([step])[step.key].arrays["x"]
            assert rows.to_array().ravel().tolist() == [0, 1, 2, 3], points
            assert os.fstat(made).st_size + len(ran) <= 3, points
            assert (warnings, list(again.verify())) == ([], []), points
            os.close(made)
        print(points)
    """
    (tmp_path / "cache").mkdir()
    out, _ = finish(spawn(code, tmp_path / "cache"))
    assert int(out) > 40  # the hook really saw the disk


def test_debris_of_a_killed_run_is_swept(store):
    code = """
        import reactions.store.store as m
        m.write_json = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
        store.put(counting([], "a"), __import__("reactions.core.step").core.step.Artifact({}))
    """
    finish(spawn(code, store.root), -signal.SIGKILL)
    (debris,) = (store.root / "tmp").iterdir()
    store.gc()
    assert debris.exists()  # perhaps of a process that is about to lock it
    os.utime(debris, (0, 0))
    assert store.gc().debris == (debris,)
    assert not debris.exists()


def test_two_processes_share_one_step(store):
    code = """
        step = by_rows([], 6, 2, hook=lambda start: (note(start), time.sleep(0.1)))
        seen = []
        artifacts = executor(store, seen).run([step])
        assert artifacts[step.key].arrays["x"].to_array().ravel().tolist() == list(range(6))
        print([type(e).__name__ for e in seen if type(e).__name__ == "Waiting"])
    """
    both = [spawn(code, store.root) for _ in range(2)]
    outs = [finish(process)[0].strip() for process in both]
    assert sorted(log_of(store.root)) == ["0", "2", "4"]
    assert outs.count("['Waiting']") <= 1
    assert list(store.verify()) == []
    assert list((store.root / "tmp").iterdir()) == []
    assert list((store.root / "locks").iterdir()) == []


def test_two_processes_without_locks_both_end_well(store):
    code = """
        import reactions.store.locks as locks
        locks._fcntl = None
        step = by_rows([], 6, 2, hook=lambda start: (note(start), time.sleep(0.05)))
        artifacts = executor(store).run([step])
        assert artifacts[step.key].arrays["x"].to_array().ravel().tolist() == list(range(6))
    """
    for process in [spawn(code, store.root) for _ in range(2)]:
        finish(process)
    assert list(store.verify()) == []
    assert store.has(by_rows([], 6, 2).key)


def test_a_waiting_thread_takes_the_others_result(store):
    ran, events, inside, go = [], [], threading.Event(), threading.Event()

    def hook(start):
        inside.set()
        go.wait(120)

    maker = threading.Thread(target=executor(store).run, args=([by_rows(ran, 4, 4, hook=hook)],))
    maker.start()
    assert inside.wait(120)

    def release(event):
        events.append(event)
        if isinstance(event, ev.Waiting):
            go.set()

    step = by_rows(ran, 4, 4)
    waiter = LocalExecutor(
        Store(store.root), device="cpu", load_encoder=lambda *_: None, events=release
    )
    artifacts = waiter.run([step])
    maker.join()
    assert ran == [(0, 4)]
    assert len(artifacts[step.key].arrays["x"]) == 4
    waiting = [e for e in events if isinstance(e, ev.Waiting)]
    assert [e.pid for e in waiting] == [os.getpid()]
    assert events[-2] == ev.StepHit(step.key, "embed", "rows")


@pytest.mark.parametrize(("number", "returncode"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_stop_cleanly(store, number, returncode):
    code = f"""
        def hook(start):
            note(start)
            if start == 3:
                os.kill(os.getpid(), {int(number)})
                time.sleep(10)
        try:
            executor(store).run([by_rows([], 10, 3, hook=hook)])
        except KeyboardInterrupt:
            sys.exit(130)
    """
    finish(spawn(code, store.root), returncode)
    assert log_of(store.root) == ["0", "3"]
    assert list((store.root / "tmp").iterdir()) == []
    assert list((store.root / "locks").iterdir()) == []
    assert store.partial(by_rows([], 10, 3)).finished == [(0, 3)]


@pytest.mark.parametrize(("number", "returncode"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_stop_all_workers(store, number, returncode):
    code = f"""
        import threading
        import numpy as np
        from reactions.core.step import Artifact
        from toy_steps import make_step
        both = threading.Barrier(2, timeout=120)
        def run(context, inputs, start, stop):
            note(start)
            if start:
                if both.wait() == 0:
                    os.kill(os.getpid(), {int(number)})
                for _ in range(30_000):
                    context.progress(0, 1, "items")
                    time.sleep(0.001)
            return Artifact({{"x": np.zeros((2, 1))}})
        step = make_step("embed", "e", {{}}, (), run, n_rows=8, shard_rows=2)
        seen = []
        try:
            executor(store, seen, device="cpu,cpu").run([step])
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            print(type(seen[-1]).__name__, store.partial(step).finished, threading.active_count())
    """
    out, _ = finish(spawn(code, store.root), returncode)
    assert out == "PlanStopped [(0, 2)] 2\n"  # threads: this one, and the heartbeats'
    assert sorted(log_of(store.root)) == ["0", "2", "4"]
    assert list((store.root / "tmp").iterdir()) == []
    assert list((store.root / "locks").iterdir()) == []


def test_ctrl_c_stops_workers_that_give_no_sign_of_progress(store):
    code = """
        import threading
        both = threading.Barrier(2, timeout=120)
        seen = []
        def hook(start):
            note(start)
            if both.wait() == 0:
                os.kill(os.getpid(), signal.SIGINT)
            for _ in range(60_000):
                time.sleep(0.001)
        try:
            executor(store, seen, device="cpu,cpu").run([by_rows([], 8, 2, hook=hook)])
        except KeyboardInterrupt:
            print(type(seen[-1]).__name__, threading.active_count())
            sys.exit(130)
    """
    out, _ = finish(spawn(code, store.root), 130)
    assert out == "PlanStopped 2\n"
    assert sorted(log_of(store.root)) == ["0", "2"]
    assert list((store.root / "locks").iterdir()) == []


def test_a_second_ctrl_c_does_not_wait_for_workers(store):
    code = """
        import threading
        from reactions.run import events as ev
        both = threading.Barrier(2, timeout=120)
        def hook(start):
            if both.wait() == 0:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(600)
        class Sink(list):
            def append(self, event):
                if isinstance(event, ev.Stopping):
                    os.kill(os.getpid(), signal.SIGINT)
        try:
            executor(store, Sink(), device="cpu,cpu").run([by_rows([], 4, 2, hook=hook)])
        except KeyboardInterrupt:
            sys.exit(130)
    """
    finish(spawn(code, store.root), 130)
