"""Several workers: what runs at the same time, what each of them holds, and how runs end."""

import collections
import contextlib
import tempfile
import threading
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import SPEC, by_rows, counting, executor

from reactions.errors import StepError
from reactions.graph import Artifact
from reactions.run import events as ev
from reactions.run.pool import Mailbox
from reactions.run.schedule import needs_of
from reactions.steps.step import make_step
from reactions.store import Store

TWO = "cpu,cpu"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def meeting(n=2):
    """A place where n threads wait for each other; alone, a test fails instead of hanging."""
    return threading.Barrier(n, timeout=30)


def whole(label, body, inputs=(), shares="", **params):
    """A whole step that calls ``body(context)``."""

    def run(context, inputs, start, stop):
        body(context)
        return Artifact({"x": np.zeros((1, 1))})

    inputs = [(source.label, source) for source in inputs]
    return replace(
        make_step("train", label, {"label": label, **params}, inputs, run), shares=shares
    )


def encoding(space, corpus, body=lambda context: None, rows=4, shard_rows=4):
    """A step by rows that needs an encoder."""
    spec = replace(SPEC, name=space, weights_digest=space * 64)

    def run(context, inputs, start, stop):
        context.encoder(spec)
        body(context)
        return Artifact({"x": np.zeros((stop - start, 1))})

    params = {"space": spec.identity("text"), "corpus": corpus}
    return make_step(
        "embed", f"{space} {corpus}", params, (), run, n_rows=rows, shard_rows=shard_rows
    )


class Held:
    """Something large; knows how many of its like there are."""

    alive = 0

    def __init__(self):
        type(self).alive += 1

    def __del__(self):
        type(self).alive -= 1


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    assert Held.alive == 0


# --- at the same time ----------------------------------------------------------------


def test_independent_steps_run_at_the_same_time(store):
    both, threads = meeting(), set()

    def body(context):
        both.wait()
        threads.add(threading.current_thread())

    executor(store, device=TWO).run([whole("a", body), whole("b", body)])
    assert len(threads) == 2
    assert threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_shards_of_one_step_are_split(store):
    both, seen = meeting(), []
    step = by_rows([], 8, 2, hook=lambda start: both.wait())
    found = executor(store, seen, device=TWO).run([step])[step.key].arrays["x"]
    assert found.to_array().ravel().tolist() == list(range(8))
    told = [e.done for e in seen if isinstance(e, ev.StepProgress)]
    assert told == sorted(told)
    assert told[-1] == 8
    assert not any((store.root / "partial").iterdir())


@pytest.mark.parametrize(("device", "steps"), [("cpu", 2), (TWO, 1)])
def test_what_one_worker_can_do_needs_no_thread(store, device, steps):
    threads = []
    note = lambda context: threads.append(threading.current_thread())  # noqa: E731
    executor(store, device=device).run([whole(str(i), note) for i in range(steps)])
    assert threads == [threading.current_thread()] * steps


def test_a_step_waits_for_all_its_inputs(store):
    a_done, ran = threading.Event(), []

    def slow(context):
        ran.append("a")
        # Were "c" handed out with only "b" there, it would be noted before this ends.
        assert a_done.wait(30)

    a = whole("a", slow)
    b = whole("b", lambda context: ran.append("b"))
    c = whole("c", lambda context: ran.append("c"), [a, b])
    d = whole("d", lambda context: (ran.append("d"), a_done.set()), [b])
    executor(store, device=TWO).run([c, d])
    assert sorted(ran[:2]) == ["a", "b"]
    assert ran[2:] == ["d", "c"]


def test_events_are_told_in_the_calling_thread(store):
    threads = set()
    sink = _Sink(lambda event: threads.add(threading.current_thread()))
    steps = [by_rows([], 6, 1, seed=seed) for seed in range(4)]
    executor(store, sink, device=TWO).run(steps)
    assert threads == {threading.current_thread()}


def test_a_mailbox_calls_in_its_own_thread():
    mailbox, calls = Mailbox(), []
    note = lambda name: calls.append((name, threading.current_thread()))  # noqa: E731
    mailbox.tell(note, "here")
    other = threading.Thread(target=mailbox.tell, args=(note, "there"))
    other.start()
    other.join()
    here = threading.current_thread()
    assert calls == [("here", here)]
    mailbox.serve(0)
    assert calls == [("here", here), ("there", here)]
    mailbox.serve(0)


def test_shards_that_differ_are_refused_though_made_together(store, monkeypatch):
    """Two first shards must not both be taken for the first."""
    from reactions.store import partial as module

    both, write = meeting(), module.write_json
    monkeypatch.setattr(module, "write_json", lambda *a: (write(*a), both.wait()))

    def run(context, inputs, start, stop):
        return Artifact({"x": np.zeros((stop - start, 1))}, {"start": start})

    step = make_step("embed", "e", {}, (), run, n_rows=4, shard_rows=2)
    with pytest.raises(StepError, match="unlike earlier ones"):
        executor(store, device=TWO).run([step])
    assert len(store.partial(step).finished) == 1


def test_other_steps_go_on_while_another_process_makes_one(store):
    ran, seen = [], []
    first, second = counting(ran, "first", 1), counting(ran, "second", 2)
    last = counting(ran, "last", 3, [("one", first), ("two", second)])
    with contextlib.ExitStack() as elsewhere:
        assert elsewhere.enter_context(Store(store.root).lock(first.key))

        def follow(event):
            seen.append(event)
            if isinstance(event, ev.StepFinished) and event.label == "second":
                elsewhere.close()

        executor(store, _Sink(follow)).run([last])
    assert ran == ["second", "first", "last"]
    waiting = [e.label for e in seen if isinstance(e, ev.Waiting)]
    assert waiting == ["first"]


# --- what workers hold ---------------------------------------------------------------


def test_each_of_two_workers_keeps_to_its_encoder(store):
    loaded = []
    both = meeting()

    def load(spec, device):
        loaded.append(spec.name)
        return Held()

    steps = [
        encoding(space, corpus, lambda context: both.wait()) for space in "ab" for corpus in "xyz"
    ]
    executor(store, device=TWO, load_encoder=load).run(steps)
    assert sorted(loaded) == ["a", "b"]


def test_an_encoder_is_loaded_on_every_worker_that_helps(store):
    loaded, both = [], meeting()

    def load(spec, device):
        loaded.append(threading.current_thread())
        return Held()

    executor(store, device=TWO, load_encoder=load).run(
        [encoding("a", "x", lambda context: both.wait(), rows=8, shard_rows=1)]
    )
    assert len(loaded) == len(set(loaded)) == 2


def test_encoders_are_loaded_one_after_the_other(store):
    inside = threading.Lock()

    def load(spec, device):
        assert inside.acquire(blocking=False)
        # Time for the other worker to come in, were it let in.
        threading.Event().wait(0.05)
        inside.release()
        return Held()

    executor(store, device=TWO, load_encoder=load).run([encoding(s, "x") for s in "abcd"])


def test_an_idle_worker_gives_back_what_nobody_needs(store):
    both = meeting()
    encoded = [encoding(space, "x", lambda context: both.wait()) for space in "ab"]

    def sees_none(context):
        assert Held.alive == 0

    last = whole("last", sees_none, encoded)
    executor(store, device=TWO, load_encoder=lambda *_: Held()).run([last])


def test_what_is_shared_is_built_once_and_dropped_before_another_step(store):
    built, ran = [], []

    def build(name):
        built.append(name)
        return Held()

    def using(name):
        def body(context):
            ran.append(name)
            thing = context.shared(partial(build, name))
            assert context.shared(partial(build, "again")) is thing
            assert Held.alive == 1

        return body

    def without(context):
        ran.append("none")
        assert Held.alive == 0

    steps = [
        whole("1", using("x"), shares="x"),
        whole("2", without),
        whole("3", using("y"), shares="y"),
        whole("4", using("x"), shares="x"),
        whole("5", using("y"), shares="y"),
    ]
    executor(store).run(steps)
    assert built == ["x", "y"]
    assert ran == ["x", "x", "none", "y", "y"]


def test_shards_of_a_step_share_too(store):
    built = []

    def run(context, inputs, start, stop):
        context.shared(lambda: built.append(start) or Held())
        return Artifact({"x": np.zeros((stop - start, 1))})

    step = make_step("collect", "c", {}, (), run, n_rows=6, shard_rows=2)
    executor(store).run([replace(step, shares="x")])
    assert built == [0]


def test_steps_that_share_nothing_build_for_themselves(store):
    built = []

    def body(context):
        assert context.shared(lambda: built.append(1) or Held()) is not None
        assert Held.alive == 0

    executor(store).run([whole("a", body), whole("b", body)])
    assert built == [1, 1]


def test_an_encoder_and_something_shared_go_separately(store):
    built = []
    encoder = encoding("a", "x", lambda context: context.shared(lambda: built.append(1) or Held()))
    both = replace(encoder, shares="s")
    assert needs_of(both) > needs_of(encoder) != frozenset()

    def only_shared(context):
        context.shared(lambda: built.append(2) or Held())
        assert Held.alive == 1  # the encoder is gone

    executor(store, load_encoder=lambda *_: Held()).run([both, whole("b", only_shared, shares="s")])
    assert built == [1]


# --- ends ----------------------------------------------------------------------------


def until_stopped(context):
    """Work on until the run is stopped, or for half a minute."""
    for _ in range(30_000):
        context.progress(0, 1, "steps")
        threading.Event().wait(0.001)
    raise AssertionError("nobody stopped this step")


def rows_then(label, body):
    """A step of four shards that calls ``body(context)`` in the second."""

    def run(context, inputs, start, stop):
        if start == 1:
            body(context)
        return Artifact({"x": np.full((1, 1), float(start))})

    return make_step("embed", label, {"label": label}, (), run, n_rows=4, shard_rows=1)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failure_stops_the_other_worker(store, error):
    """Also when a worker dies of what is no Exception."""
    seen, both = [], meeting()

    def fail(context):
        both.wait()
        raise error

    def work(context):
        both.wait()
        until_stopped(context)

    busy, failing = rows_then("busy", work), whole("failing", fail)
    with pytest.raises(StepError if isinstance(error, ValueError) else type(error)) as caught:
        executor(store, seen, device=TWO).run([busy, failing])
    if isinstance(error, ValueError):
        assert caught.value.fields["step"] == "failing"
        assert caught.value.__cause__ is error
    failed = [e.label for e in seen if isinstance(e, ev.StepFailed)]
    assert failed == (["failing"] if isinstance(error, ValueError) else [])
    assert seen[-1] == ev.PlanStopped()
    assert_sound(store)
    assert (0, 1) in store.partial(busy).finished
    again = rows_then("busy", lambda context: None)
    found = executor(store, device=TWO).run([again])[again.key].arrays["x"]
    assert found.to_array().ravel().tolist() == [0, 1, 2, 3]


def test_the_first_failure_is_the_one_that_is_told(store):
    both = meeting()

    def first(context):
        both.wait()
        raise ValueError("first")

    def second(context):
        both.wait()
        try:
            until_stopped(context)
        finally:
            raise ValueError("second")

    with pytest.raises(StepError, match="first"):
        executor(store, device=TWO).run([whole("a", first), whole("b", second)])
    assert_sound(store)


def test_steps_cannot_swallow_a_stop(store):
    both, swallowed = meeting(), []

    def first(context):
        both.wait()
        raise ValueError("first")

    def second(context):
        both.wait()
        try:
            until_stopped(context)
        except Exception as error:
            swallowed.append(error)

    with pytest.raises(StepError, match="first"):
        executor(store, device=TWO).run([whole("a", first), whole("b", second)])
    assert swallowed == []


def test_a_slow_stop_is_told(store):
    both, told, seen = meeting(), threading.Event(), []

    def fail(context):
        both.wait()
        raise ValueError("no")

    def deaf(context):
        both.wait()
        assert told.wait(30)

    def follow(event):
        seen.append(event)
        if isinstance(event, ev.Stopping):
            told.set()

    steps = [whole("fails", fail), whole("deaf", deaf)]
    with pytest.raises(StepError, match="ValueError: no"):
        executor(store, _Sink(follow), device=TWO).run(steps)
    assert seen[-2:] == [ev.Stopping(1), ev.PlanStopped()]


def test_what_a_receiver_of_events_raises_ends_the_run(store):
    def refuse(event):
        if isinstance(event, ev.StepProgress):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        executor(store, _Sink(refuse), device=TWO).run(
            [whole("a", until_stopped), by_rows([], 4, 1)]
        )
    assert_sound(store)


class _Sink(list):
    """toy.executor appends events."""

    def __init__(self, sink):
        super().__init__()
        self.append = sink


def assert_sound(store):
    assert list(store.verify()) == []
    assert list(store.root.glob("tmp/*")) == []
    assert list(store.root.glob("locks/*")) == []


# --- any plan ------------------------------------------------------------------------


@st.composite
def plans(draw):
    """Steps as (inputs, rows or None, shard rows, encoder, shares); and targets."""
    described = []
    for position in range(draw(st.integers(1, 8))):
        inputs = draw(st.sets(st.integers(0, position - 1), max_size=3)) if position else set()
        rows = draw(st.none() | st.integers(0, 5))
        encoder = "" if inputs or rows is None else draw(st.sampled_from(["", "a", "b", "c"]))
        shares = draw(st.sampled_from(["", "", "s", "t"]))
        described.append((sorted(inputs), rows, draw(st.integers(1, 3)), encoder, shares))
    return described, draw(st.sets(st.integers(0, len(described) - 1), min_size=1))


class Recorder:
    """Makes steps of descriptions, and notes what ran and what each thread holds."""

    def __init__(self, described):
        self.calls = collections.Counter()
        self.loads = collections.Counter()
        self.held = collections.Counter()
        self.steps = []
        for position, description in enumerate(described):
            self.steps.append(self.step(position, *description))

    def load(self, spec, device):
        self.loads[threading.get_ident(), spec.name] += 1
        return self.hold("encoder")

    def hold(self, what):
        mine = threading.get_ident(), what
        assert self.held[mine] == 0  # never two at a time on one device
        self.held[mine] += 1
        thing = Held()
        weakref.finalize(thing, self.held.subtract, [mine])
        return thing

    def step(self, position, inputs, rows, shard_rows, encoder, shares):
        sources = [(str(i), self.steps[i]) for i in inputs]
        spec = replace(SPEC, name=encoder, weights_digest=encoder * 64)

        def run(context, given, start, stop):
            self.calls[position, start, stop] += 1
            for name, step in sources:
                n = 1 if step.n_rows is None else step.n_rows
                assert np.array_equal(given[name].arrays["x"][:], values(int(name), 0, n))
            if encoder:
                context.encoder(spec)
            if shares:
                context.shared(lambda: self.hold("shared"))
            thread = threading.get_ident()
            assert self.held[thread, "encoder"] == bool(encoder)
            assert self.held[thread, "shared"] == bool(shares)
            context.progress(stop - start, stop - start, "items")
            return Artifact({"x": values(position, start, stop)})

        params = {"position": position, "space": spec.identity("text") if encoder else None}
        kind = "embed" if encoder else "collect"
        sizes = {"n_rows": rows, "shard_rows": shard_rows}
        step = make_step(kind, str(position), params, sources, run, **sizes)
        return replace(step, shares=shares)


def values(position, start, stop):
    return np.arange(start, stop, dtype=np.float64)[:, None] + 100 * position


def contents(root):
    """Return what a store's entries hold, apart from when they were made."""
    found = {}
    for path in sorted(path for path in root.rglob("entries/*/*/*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".json":
            data = b"\n".join(line for line in data.splitlines() if b'"created"' not in line)
        found[str(path.relative_to(root))] = data
    return found


@settings(max_examples=30, deadline=None)
@given(plans(), st.integers(2, 4))
def test_any_plan_runs_once_in_order_and_gives_the_same_bytes(plan, workers):
    described, chosen = plan
    needed, made = set(chosen), []
    for position in reversed(range(len(described))):
        needed.update(described[position][0] if position in needed else ())
    shards = collections.Counter()
    for position in needed:
        _, rows, size, *_ = described[position]
        for start in range(0, rows or 1, size) if rows is not None else [0]:
            shards[position, start, 1 if rows is None else min(rows, start + size)] += 1
    for device in ("cpu", ",".join(["cpu"] * workers)):
        recorder, seen = Recorder(described), []
        # Nothing is killed here, so nothing has to reach the disk.
        with tempfile.TemporaryDirectory() as folder, mock.patch("os.fsync"):
            store = Store(Path(folder))
            targets = [recorder.steps[position] for position in sorted(chosen)]
            found = executor(store, seen, device=device, load_encoder=recorder.load).run(targets)
            assert found.keys() == {step.key for step in targets}
            assert_sound(store)
            made.append(contents(store.root))
        assert recorder.calls == shards
        assert set(recorder.loads.values()) <= {1}
        assert Held.alive == 0
        assert seen[0] == ev.PlanStarted(len(needed), 0)
        assert seen[-1].executed == len(needed)
        for position, step in enumerate(recorder.steps):
            told = [e for e in seen if getattr(e, "key", "") == step.key]
            if position not in needed:
                assert told == []
                continue
            assert isinstance(told[0], ev.StepStarted)
            assert isinstance(told[-1], ev.StepFinished)
            done = [e.done for e in told[1:-1]]
            assert done == sorted(done)
    assert made[0] == made[1]
    assert len(made[0]) > len(needed)
