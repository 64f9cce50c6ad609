"""Several workers: what runs at the same time, which thread events come in, and how runs end."""

import contextlib
import threading

import numpy as np
import pytest
from toy import TWO, Sink, assert_sound, by_rows, counting, executor, meeting, whole
from toy_steps import make_step

from reactions.core.errors import StepError
from reactions.core.step import Artifact
from reactions.run import events as ev
from reactions.run.mailbox import Mailbox
from reactions.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


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
    both, events = meeting(), []
    step = by_rows([], 8, 2, hook=lambda start: both.wait())
    rows = executor(store, events, device=TWO).run([step])[step.key].arrays["x"]
    assert rows.to_array().ravel().tolist() == list(range(8))
    reported = [e.done for e in events if isinstance(e, ev.StepProgress)]
    assert reported == sorted(reported)
    assert reported[-1] == 8
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
        assert a_done.wait(120)

    a = whole("a", slow)
    b = whole("b", lambda context: ran.append("b"))
    c = whole("c", lambda context: ran.append("c"), [a, b])
    d = whole("d", lambda context: (ran.append("d"), a_done.set()), [b])
    executor(store, device=TWO).run([c, d])
    assert sorted(ran[:3]) == ["a", "b", "d"]
    assert ran[3:] == ["c"]


def test_events_are_passed_on_in_the_calling_thread(store):
    threads, points = set(), []

    def follow(event):
        threads.add(threading.current_thread())
        if isinstance(event, ev.StepMeasured):
            points.append((event.label, event.name, event.value, event.position))

    measured = whole("m", lambda context: [context.measure("loss", 1 / i, i) for i in (1, 2)])
    steps = [by_rows([], 6, 1, seed=seed) for seed in range(4)]
    executor(store, Sink(follow), device=TWO).run([*steps, measured])
    assert threads == {threading.current_thread()}
    assert points == [("m", "loss", 1.0, 1), ("m", "loss", 0.5, 2)]


def test_a_mailbox_calls_in_its_own_thread():
    mailbox, calls = Mailbox(), []
    note = lambda name: calls.append((name, threading.current_thread()))  # noqa: E731
    mailbox.call(note, "here")
    other = threading.Thread(target=mailbox.call, args=(note, "there"))
    other.start()
    other.join()
    main_thread = threading.current_thread()
    assert calls == [("here", main_thread)]
    mailbox.deliver()
    assert calls == [("here", main_thread), ("there", main_thread)]
    mailbox.deliver()


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
    ran, events = [], []
    first, second = counting(ran, "first", 1), counting(ran, "second", 2)
    last = counting(ran, "last", 3, [("one", first), ("two", second)])
    with contextlib.ExitStack() as other_locks:
        assert other_locks.enter_context(Store(store.root).lock(first.key))

        def follow(event):
            events.append(event)
            if isinstance(event, ev.StepFinished) and event.label == "second":
                other_locks.close()

        executor(store, Sink(follow)).run([last])
    assert ran == ["second", "first", "last"]
    waiting = [e.label for e in events if isinstance(e, ev.Waiting)]
    assert waiting == ["first"]


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
    """Also when a worker dies of what is not an Exception."""
    events, both = [], meeting()

    def fail(context):
        both.wait()
        raise error

    def work(context):
        both.wait()
        until_stopped(context)

    busy, failing = rows_then("busy", work), whole("failing", fail)
    with pytest.raises(StepError if isinstance(error, ValueError) else type(error)) as caught:
        executor(store, events, device=TWO).run([busy, failing])
    if isinstance(error, ValueError):
        assert caught.value.fields["step"] == "failing"
        assert caught.value.__cause__ is error
    failed = [e.label for e in events if isinstance(e, ev.StepFailed)]
    assert failed == (["failing"] if isinstance(error, ValueError) else [])
    assert events[-1] == ev.PlanStopped()
    assert_sound(store)
    assert (0, 1) in store.partial(busy).finished
    second_step = rows_then("busy", lambda context: None)
    rows = executor(store, device=TWO).run([second_step])[second_step.key].arrays["x"]
    assert rows.to_array().ravel().tolist() == [0, 1, 2, 3]


def test_the_first_failure_is_the_one_that_is_raised(store):
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


def test_a_slow_stop_is_reported(store):
    both, reported, events = meeting(), threading.Event(), []

    def fail(context):
        both.wait()
        raise ValueError("no")

    def deaf(context):
        both.wait()
        assert reported.wait(120)

    def follow(event):
        events.append(event)
        if isinstance(event, ev.Stopping):
            reported.set()

    steps = [whole("fails", fail), whole("deaf", deaf)]
    with pytest.raises(StepError, match="ValueError: no"):
        executor(store, Sink(follow), device=TWO).run(steps)
    assert [type(event) for event in events[-2:]] == [ev.Stopping, ev.PlanStopped]
    assert 1 <= events[-2].workers <= 2  # a slow machine may not have ended the other thread yet


def test_what_a_receiver_of_events_raises_ends_the_run(store):
    def refuse(event):
        if isinstance(event, ev.StepProgress):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        executor(store, Sink(refuse), device=TWO).run(
            [whole("a", until_stopped), by_rows([], 4, 1)]
        )
    assert_sound(store)
