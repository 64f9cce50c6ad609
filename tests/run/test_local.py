import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from toy import SPEC, by_rows, counting, executor

from reactions.errors import DataError, MediaError, MolspaceError, StepError, UsageError
from reactions.kinds import Artifact, Cost
from reactions.run import events as ev
from reactions.run.local import LocalExecutor
from reactions.run.schedule import schedule
from reactions.steps.step import make_step
from reactions.store import ShardedRows, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def diamond(ran, seed=0):
    a = counting(ran, "a", 1 + seed)
    b = counting(ran, "b", 2, [("base", a)])
    c = counting(ran, "c", 3, [("base", a)])
    return a, b, c, counting(ran, "d", 4, [("left", b), ("right", c)])


def test_a_plan_runs_once_in_order(store):
    ran, seen = [], []
    *_, d = diamond(ran)
    found = executor(store, seen).run([d])
    # a: 1; b: 2 + 4 * 1; c: 3 + 4 * 1; d: 4 + 4 * (6 + 7)
    assert np.array_equal(found[d.key].arrays["x"][:], np.full((2, 2), 56.0))
    assert found[d.key].meta == {"label": "d"}
    assert ran == ["a", "b", "c", "d"]
    assert seen[0] == ev.PlanStarted(4, 0)
    assert [e.label for e in seen if isinstance(e, ev.StepFinished)] == ran
    assert isinstance(seen[-1], ev.PlanFinished)
    assert seen[-1].executed == 4


def test_the_second_run_executes_nothing(store):
    ran, seen = [], []
    first = executor(store).run(diamond(ran)[-1:])
    ran.clear()
    *_, d = diamond(ran)
    second = executor(Store(store.root), seen).run([d])
    assert ran == []
    assert seen[:2] == [ev.PlanStarted(0, 1), ev.StepHit(d.key, "train", "d")]
    assert type(second[d.key].arrays["x"]) is type(first[d.key].arrays["x"]) is ShardedRows
    assert np.array_equal(second[d.key].arrays["x"][:], first[d.key].arrays["x"][:])
    assert second[d.key].meta == first[d.key].meta


def test_nothing_upstream_of_a_hit_is_touched(store):
    ran = []
    a, b, c, d = diamond(ran)
    executor(store).run([b, c])
    store.gc(keep={b.key, c.key})
    assert not store.has(a.key)
    ran.clear()
    executor(store).run([d])
    assert ran == ["d"]


def test_a_damaged_hit_is_made_again_with_what_it_needs(store):
    ran, seen = [], []
    *_, b, _c, d = diamond(ran)
    executor(store).run([d])
    store.gc(keep={b.key, d.key})
    for entry in (store.root / "entries").glob("*/*"):
        if entry.name == d.key:
            os.truncate(entry / "0.npy", 10)
    ran.clear()
    executor(store, seen).run([d])
    assert ran == ["a", "c", "d"]
    assert any(isinstance(e, ev.StoreWarning) and d.key[:12] in e.message for e in seen)


def test_order_depends_on_nothing_but_the_plan(store, tmp_path):
    orders = []
    for i in range(3):
        ran = []
        *_, d = diamond(ran)
        extra = counting(ran, "extra", 9)
        executor(Store(tmp_path / str(i))).run([d, extra, d])
        orders.append(ran)
    assert orders == [["a", "b", "c", "d", "extra"]] * 3


def test_the_same_step_built_twice_runs_once(store):
    ran = []
    found = executor(store).run([counting(ran, "a"), counting(ran, "a")])
    assert ran == ["a"]
    assert len(found) == 1


def test_plans_deeper_than_the_recursion_limit(store):
    step, ran = counting([], "0", 0), []
    for i in range(1, 1500):
        step = counting(ran, str(i), i, [("x", step)])
    plan = schedule([step], {}.get)
    assert [s.label for s in plan.pending] == [str(i) for i in range(1500)]


def test_no_targets(store):
    assert executor(store).run([]) == {}
    assert not store.root.exists()


# --- rows ----------------------------------------------------------------------------


@pytest.mark.parametrize("shard_rows", [1, 3, 4, 10, 64])
def test_the_shard_size_changes_nothing(store, shard_rows):
    ran = []
    step = by_rows(ran, 10, shard_rows, seed=5)
    found = executor(store).run([step])[step.key].arrays["x"]
    assert np.array_equal(found.to_array().ravel(), np.arange(10) + 5)
    assert len(ran) == -(-10 // shard_rows)
    assert not any((store.root / "partial").iterdir())


def test_an_interrupted_step_resumes_at_the_shard(store):
    ran, seen = [], []

    def interrupt(start):
        if start == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor(store).run([by_rows(ran, 10, 3, hook=interrupt)])
    assert ran == [(0, 3), (3, 6)]
    assert list((store.root / "tmp").iterdir()) == []
    assert list((store.root / "locks").iterdir()) == []
    step = by_rows(ran, 10, 3)
    found = executor(store, seen).run([step])[step.key].arrays["x"]
    assert ran == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert np.array_equal(found.to_array().ravel(), np.arange(10))
    started = next(e for e in seen if isinstance(e, ev.StepStarted))
    assert (started.done, started.total) == (6, 10)


def test_progress_counts_rows_of_the_whole_step(store):
    seen = []
    executor(store, seen).run([by_rows([], 10, 4)])
    told = [(e.done, e.total, e.unit) for e in seen if isinstance(e, ev.StepProgress)]
    assert list(dict.fromkeys(told)) == [(4, 10, "items"), (8, 10, "items"), (10, 10, "items")]


def test_progress_is_throttled_but_the_end_is_told(store):
    def run(context, inputs, start, stop):
        for i in range(1, 1001):
            context.progress(i, 1000, "steps")
        return Artifact({"x": np.zeros((1, 1))})

    seen = []
    executor(store, seen).run([make_step("train", "t", {}, (), run)])
    told = [e for e in seen if isinstance(e, ev.StepProgress)]
    assert told[-1].done == told[-1].total == 1000
    assert len(told) < 100


# --- values --------------------------------------------------------------------------


def test_values_are_freed_after_their_last_use(store):
    refs, alive = {}, {}

    def run(name, context, inputs, start, stop):
        alive[name] = sorted(other for other, ref in refs.items() if ref() is not None)
        result = np.zeros((1, 1))
        refs[f"{name} in memory"] = weakref.ref(result)
        for source, artifact in inputs.items():
            refs[source] = weakref.ref(artifact.arrays["x"])
        return Artifact({"x": result})

    def step(name, *inputs):
        return make_step("train", name, {}, [(i.label, i) for i in inputs], partial(run, name))

    a = step("a")
    b = step("b", a)
    c = step("c", a, b)
    executor(store).run([step("e", step("d", c))])
    assert alive == {"a": [], "b": [], "c": ["a"], "d": [], "e": []}


def test_hits_are_freed_after_their_last_use(store):
    a = counting([], "a")
    executor(store).run([a])
    refs = []

    def use(context, inputs, start, stop):
        refs.append(weakref.ref(inputs["a"].arrays["x"]))
        return Artifact({"x": np.zeros((1, 1))})

    def check(context, inputs, start, stop):
        assert refs[0]() is None
        return Artifact({"x": np.zeros((1, 1))})

    b = make_step("train", "b", {}, [("a", a)], use)
    c = make_step("train", "c", {}, [("b", b)], check)
    executor(store).run([c])
    assert len(refs) == 1


# --- encoders ------------------------------------------------------------------------


class FakeEncoder:
    alive = 0

    def __init__(self, spec):
        self.spec = spec
        type(self).alive += 1

    def __del__(self):
        type(self).alive -= 1

    def embed(self, modality, items):
        return np.ones((len(items), self.spec.dim), np.float32)


def embed(space, modality):
    spec = replace(SPEC, name=space, weights_digest=space * 64)

    def run(context, inputs, start, stop):
        encoder = context.encoder(spec)
        return Artifact({"x": encoder.embed(modality, range(stop - start))})

    params = {"space": {**spec.identity(modality), "preprocessing": modality}, "corpus": modality}
    return make_step("embed", f"{space} {modality}", params, (), run, n_rows=4, shard_rows=2)


def test_each_encoder_is_loaded_once_and_freed(store):
    loaded = []

    def load(spec, device):
        assert FakeEncoder.alive == 0  # one at a time
        loaded.append((spec.name, device))
        return FakeEncoder(spec)

    def sees_none(context, inputs, start, stop):
        assert FakeEncoder.alive == 0
        return Artifact({"x": np.zeros((1, 1))})

    sources = [embed(space, m) for m in ("text", "image") for space in ("a", "b")]
    first = make_step("collect", "c", {}, [(s.label, s) for s in sources[:2]], sees_none)
    last = make_step(
        "collect", "d", {}, [("c", first), *((s.label, s) for s in sources[2:])], sees_none
    )
    executor(store, load_encoder=load).run([last])
    assert loaded == [("a", "cpu"), ("b", "cpu")]
    assert FakeEncoder.alive == 0


# --- failures ------------------------------------------------------------------------


def failing(error, cost=None):
    def run(context, inputs, start, stop):
        raise error

    return make_step("train", "train it", {}, (), run, cost=cost or Cost())


def test_known_errors_pass_with_the_step_named(store):
    seen, error = [], MediaError("cannot decode 'x.wav'", id="x")
    with pytest.raises(MediaError) as caught:
        executor(store, seen).run([failing(error)])
    assert caught.value is error
    assert error.fields == {"id": "x", "step": "train it"}
    assert seen[-2].error == "cannot decode 'x.wav'"
    assert seen[-1] == ev.PlanStopped()


def test_unknown_errors_are_wrapped(store):
    with pytest.raises(StepError, match="'train it' failed: ZeroDivisionError: by nought") as got:
        executor(store).run([failing(ZeroDivisionError("by nought"))])
    assert isinstance(got.value.__cause__, ZeroDivisionError)
    assert got.value.fields["step"] == "train it"


def test_no_memory_gives_the_estimate(store):
    error = MemoryError("Unable to allocate 3 TiB")
    with pytest.raises(StepError, match="out of memory on cpu in 'train it'") as caught:
        executor(store).run([failing(error, Cost(memory_bytes=3_500_000_000))])
    assert "estimated to need 3.5 GB" in caught.value.why
    assert caught.value.fix
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("kind", ["cuda", "host"])
def test_no_memory_in_torch(store, kind):
    torch = pytest.importorskip("torch")
    error = (
        torch.cuda.OutOfMemoryError("CUDA out of memory")
        if kind == "cuda"
        else RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    )
    with pytest.raises(StepError, match="out of memory"):
        executor(store).run([failing(error)])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_values_that_are_not_finite_are_refused(store, bad, dtype, monkeypatch):
    monkeypatch.setattr("reactions.run.check._BLOCK_ELEMENTS", 4)

    def run(context, inputs, start, stop):
        x = np.zeros((stop - start, 2), dtype)
        if start <= 7 < stop:
            x[7 - start, 1] = bad
            x[-1] = bad
        return Artifact({"x": x})

    step = make_step("embed", "e", {}, (), run, n_rows=20, shard_rows=5)
    with pytest.raises(DataError, match="row 7 of 'x' holds NaN or infinity") as caught:
        executor(store).run([step])
    assert caught.value.fields["row"] == 7
    assert caught.value.fields["step"] == "e"
    assert store.partial(step).finished == [(0, 5)]
    assert not store.has(step.key)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (Artifact({"x": np.zeros((3, 2))}), "3 rows, not 4"),
        (Artifact({"x": np.zeros(())}), "of shape ()"),
        (Artifact({"x": np.array([{}] * 4)}), "object"),
        (Artifact({}, {"p": Path("x")}), "no JSON"),
        (Artifact({}, {"p": float("nan")}), "no JSON"),
    ],
)
def test_results_that_cannot_be_stored(store, result, why):
    step = make_step("embed", "e", {}, (), lambda *_: result, n_rows=4, shard_rows=4)
    with pytest.raises(StepError) as caught:
        executor(store).run([step])
    assert why in caught.value.why
    assert not store.has(step.key)


def test_finished_steps_survive_a_failure(store):
    ran = []
    a = counting(ran, "a")

    def fail(*_):
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(MolspaceError):
            executor(store).run([make_step("train", "b", {}, [("a", a)], fail)])
    assert ran == ["a"]


def test_warnings_of_the_store_go_back_to_whom_they_went(store):
    heard = []
    store.warn = heard.append
    executor(store).run([counting([], "a")])
    store.warn("later")
    assert heard == ["later"]


# --- devices -------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "", "mps", "cuda:1 "])
def test_devices_that_mean_nothing(store, device):
    with pytest.raises(UsageError, match="unknown device"):
        executor(store, device=device)


def test_devices_that_are_not_there(store, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no device 'cuda:0'") as caught:
        executor(store, device="cuda:0").run([counting([], "a")])
    assert caught.value.fix == "--device cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=r"torch sees 2 CUDA device\(s\)"):
        executor(store, device="cuda:2").run([counting([], "a")])


@pytest.mark.parametrize(
    ("device", "count", "expected"),
    [("auto", 0, "cpu"), ("auto", 1, "cuda:0"), ("cuda", 1, "cuda:0"), ("cuda:1", 2, "cuda:1")],
)
def test_the_device_a_step_sees(store, monkeypatch, device, count, expected):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    seen = []

    def run(context, inputs, start, stop):
        seen.append(context.device)
        return Artifact({})

    executor(store, device=device).run([make_step("train", "t", {}, (), run)])
    assert seen == [expected]


# --- other processes -----------------------------------------------------------------

HERE = Path(__file__).parent


def spawn(code, root):
    """Run code that has a store, the toy steps, and a file to append to, in another process."""
    prelude = f"""
        import os, signal, sys, time
        from pathlib import Path
        sys.path.insert(0, {str(HERE)!r})
        from toy import by_rows, counting, executor
        from reactions.store import Store
        store = Store(Path({str(root)!r}))
        log = Path({str(root)!r} + ".log")
        def note(text):
            with log.open("a") as f: f.write(f"{{text}}\\n")
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process, returncode=0):
    out, err = process.communicate(timeout=60)
    assert process.returncode == returncode, err
    return out, err


def log_of(root):
    path = Path(f"{root}.log")
    return path.read_text().split() if path.exists() else []


def test_hits_import_no_torch(store):
    step = by_rows([], 4, 2)
    executor(store).run([step])
    code = """
        step = by_rows([], 4, 2)
        found = executor(store, device="auto").run([step])
        assert found[step.key].arrays["x"][:].shape == (4, 1)
        assert "torch" not in sys.modules
    """
    finish(spawn(code, store.root))


@pytest.mark.parametrize("at", ["shard", "renamed", "manifest", "entry"])
def test_a_run_killed_at_any_point_resumes(store, at):
    """SIGKILL in a step, after a shard's rename, before the manifest, before the entry's rename."""
    kill = {
        "shard": "hook = lambda start: start == 6 and die()",
        "renamed": """
import reactions.store.partial as m
publish = m.publish
m.publish = lambda *a: (publish(*a), str(a[1]).endswith("6-9") and die())""",
        "manifest": """
import reactions.store.store as m
m.write_json = lambda *a: die()""",
        "entry": """
import reactions.store.store as m
m.publish = lambda *a: die()""",
    }[at]
    code = f"""
def die(): os.kill(os.getpid(), signal.SIGKILL)
hook = lambda start: None
{kill}
executor(store).run([by_rows([], 10, 3, hook=lambda start: (note(start), hook(start)))])
"""
    finish(spawn(code, store.root), -signal.SIGKILL)
    made = log_of(store.root)
    ran, warnings = [], []
    step = by_rows(ran, 10, 3)
    again = Store(store.root, warn=warnings.append)
    assert again.lookup(step.key) is None
    found = executor(again).run([step])[step.key].arrays["x"]
    assert np.array_equal(found.to_array().ravel(), np.arange(10))
    assert warnings == []
    assert list(again.verify()) == []
    assert len(made) + len(ran) <= 5  # of four shards, only the one in flight was made twice
    assert len(ran) == {"shard": 2, "renamed": 1, "manifest": 0, "entry": 0}[at]


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
            found = executor(again).run([step])[step.key].arrays["x"]
            assert found.to_array().ravel().tolist() == [0, 1, 2, 3], points
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
        store.put(counting([], "a"), __import__("reactions.kinds").kinds.Artifact({}))
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
        found = executor(store, seen).run([step])
        assert found[step.key].arrays["x"].to_array().ravel().tolist() == list(range(6))
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
        import reactions.store.files as files
        files._fcntl = None
        step = by_rows([], 6, 2, hook=lambda start: (note(start), time.sleep(0.05)))
        found = executor(store).run([step])
        assert found[step.key].arrays["x"].to_array().ravel().tolist() == list(range(6))
    """
    for process in [spawn(code, store.root) for _ in range(2)]:
        finish(process)
    assert list(store.verify()) == []
    assert store.has(by_rows([], 6, 2).key)


def test_a_waiting_thread_takes_the_others_result(store):
    ran, seen, inside, go = [], [], threading.Event(), threading.Event()

    def hook(start):
        inside.set()
        go.wait(10)

    maker = threading.Thread(target=executor(store).run, args=([by_rows(ran, 4, 4, hook=hook)],))
    maker.start()
    inside.wait(10)

    def release(event):
        seen.append(event)
        if isinstance(event, ev.Waiting):
            go.set()

    step = by_rows(ran, 4, 4)
    waiter = LocalExecutor(
        Store(store.root), device="cpu", load_encoder=lambda *_: None, events=release
    )
    found = waiter.run([step])
    maker.join()
    assert ran == [(0, 4)]
    assert len(found[step.key].arrays["x"]) == 4
    waiting = [e for e in seen if isinstance(e, ev.Waiting)]
    assert [e.pid for e in waiting] == [os.getpid()]
    assert seen[-2] == ev.StepHit(step.key, "embed", "rows")


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


def test_the_handler_of_sigterm_is_given_back(store):
    executor(store).run([counting([], "a")])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
