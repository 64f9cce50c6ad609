"""Workers that are lost, that come later, and that are slow: by a backend that a test leads."""

import pickle
import threading
from concurrent.futures import Future

import numpy as np
import pytest
from cluster_steps import Slow
from plain_steps import load_encoder, plan
from toy import contents

from reactions.core.errors import StepError
from reactions.modalities import noticed
from reactions.run import events as ev
from reactions.run import orders
from reactions.run.backend import Work, WorkerLost
from reactions.run.dispatcher import Dispatcher
from reactions.run.local import LocalExecutor
from reactions.run.worker import Worker
from reactions.store import Store


class Led:
    """A backend of threads: ``lose`` names the numbers of submissions whose worker is lost."""

    def __init__(self, store, n_first, lose=(), growth=(), hold=(), gone=()):
        self.gone = gone  # workers that are lost before they are given anything
        self.devices = ["cpu"] * n_first
        self.store, self.lose, self.growth, self.hold = store, lose, dict(growth), hold
        self.submitted, self.held, self.used = [], [], set()

    def submit(self, worker, work, report):
        number = len(self.submitted)
        self.submitted.append((work.steps[0].label, work.rows))
        self.used.add(worker)
        self.devices += ["cpu"] * self.growth.get(number, 0)
        future = Future()
        if worker in self.gone:
            future.set_exception(WorkerLost("it ended while it was idle", had_begun=False))
        elif number in self.lose:
            future.set_exception(WorkerLost("pulled the plug"))
        elif number in self.hold:
            self.held.append((future, work, report))
        else:
            thread = threading.Thread(target=self._perform, args=(future, work, report))
            thread.start()
        return future

    def _perform(self, future, work, report):
        try:
            result = Worker(self.store, "cpu", load_encoder).perform(work, report)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def release(self, worker):
        pass

    def shutdown(self, *, interrupted, on_delay):
        pass


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def run(store, target, backend, **options):
    events = []
    dispatcher = Dispatcher(store, lambda n: backend, events=events.append, **options)
    return dispatcher.run([target])[target.key], events


def test_what_workers_noted_of_items_is_noted_here(store, tmp_path):
    class Handing(Led):
        def _perform(self, future, work, report):
            report(noticed.Notes(noticed.Kind("{n} are odd", "1 is odd"), (str(work.rows),)))
            super()._perform(future, work, report)

    run(store, Slow(n_rows=2, log=tmp_path), Handing(store, 1))
    assert noticed.take() == ["3 are odd, first '(0, 1)'"]  # two shards, and joining them


def warnings(events):
    return [event.message for event in events if isinstance(event, ev.StoreWarning)]


@pytest.mark.parametrize("lost", range(9))
def test_what_a_lost_worker_was_making_is_made_by_another(lost, store, tmp_path):
    result, events = run(store, plan(), Led(store, 3, lose=[lost]))
    local_store = Store(tmp_path / "local")
    expected = LocalExecutor(local_store, device="cpu", load_encoder=load_encoder).run([plan()])
    assert result.arrays["total"][:] == expected[plan().key].arrays["total"][:]
    assert contents(store.root) == contents(local_store.root)
    (warning,) = warnings(events)
    assert "lost cpu while it made" in warning
    assert "pulled the plug" in warning
    assert warning.endswith("it is made again")


def test_work_that_loses_worker_after_worker_is_to_blame(store, tmp_path):
    step = Slow(n_rows=1, log=tmp_path)
    backend = Led(store, 5, lose=[0, 1, 2])
    with pytest.raises(StepError, match="'slow 0' lost 3 workers") as caught:
        run(store, step, backend)
    assert "pulled the plug" in caught.value.why
    assert backend.submitted == [("slow 0", (0, 1))] * 3


def test_losses_of_different_rows_are_not_added_up(store, tmp_path):
    step = Slow(n_rows=4, log=tmp_path)
    result, events = run(store, step, Led(store, 6, lose=[0, 1, 2, 3]))
    assert np.array_equal(result.arrays["x"][:], np.arange(4)[:, None])
    assert len(warnings(events)) == 4


def test_workers_that_were_lost_while_idle_are_not_held_against_the_work(store, tmp_path):
    step = Slow(n_rows=2, log=tmp_path)
    result, events = run(store, step, Led(store, 6, gone=range(5)))
    assert np.array_equal(result.arrays["x"][:], np.arange(2)[:, None])
    assert not warnings(events)


def test_a_late_twin_leaves_nothing_behind(store, tmp_path):
    step = Slow(n_rows=2, log=tmp_path)
    run(store, step, Led(store, 2))
    Worker(store, "cpu", load_encoder).perform(Work.of([step], (0, 1)), lambda signal: None)
    assert not store.partial(step).finished


def test_a_whole_step_is_made_again(store, tmp_path):
    first_store = Store(tmp_path / "first")
    run(first_store, plan(), first := Led(first_store, 1))
    number = first.submitted.index(("total", None))
    backend = Led(store, 1, lose=[number], growth={number: 1})
    result, _ = run(store, plan(), backend)
    assert result.arrays["total"][:] == pytest.approx([438.0])
    assert backend.submitted.count(("total", None)) == 2
    assert contents(store.root) == contents(first_store.root)


def test_workers_that_come_later_are_used(store, tmp_path):
    backend = Led(store, 1, growth={0: 2})
    run(store, Slow(n_rows=6, log=tmp_path, seconds=0.05), backend)
    assert backend.used == {0, 1, 2}


def test_a_run_waits_for_its_first_worker(store, tmp_path):
    backend = Led(store, 0)
    threading.Timer(0.2, lambda: backend.devices.append("cpu")).start()
    result, _ = run(store, Slow(n_rows=2, log=tmp_path), backend)
    assert len(result.arrays["x"]) == 2


class TestStragglers:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch):
        monkeypatch.setattr(orders, "_LEAST_S", 0.2)

    def test_rows_that_take_long_are_made_twice(self, store, tmp_path):
        backend = Led(store, 2, hold=[0])
        result, _ = run(store, Slow(n_rows=4, log=tmp_path), backend, repeats=True)
        assert np.array_equal(result.arrays["x"][:], np.arange(4)[:, None])
        assert backend.submitted.count(("slow 0", (0, 1))) == 2
        assert len(backend.submitted) == 6  # four shards, a twin, and joining them

    def test_what_the_late_one_still_says_is_not_heard(self, store, tmp_path):
        backend = Led(store, 2, hold=[0])
        step, events = Slow(n_rows=3, log=tmp_path), []
        end = threading.Event()

        def watch(event):
            events.append(event)
            if isinstance(event, ev.StepProgress) and event.done == 3 and not end.is_set():
                end.set()
                future, _, report = backend.held[0]
                report(ev.StoreWarning("late"))
                future.set_exception(RuntimeError("late"))

        Dispatcher(store, lambda n: backend, events=watch, repeats=True).run([step])
        assert end.is_set()
        progress = [event.done for event in events if isinstance(event, ev.StepProgress)]
        assert progress == sorted(progress)
        assert progress[-1] == 3

    def test_only_where_it_is_asked_for(self, store, tmp_path):
        backend = Led(store, 2, hold=[0])

        def let_go():
            for submission in backend.held:
                backend._perform(*submission)

        threading.Timer(1.0, let_go).start()
        run(store, Slow(n_rows=3, log=tmp_path), backend)
        assert backend.submitted.count(("slow 0", (0, 1))) == 1

    def test_a_lost_one_whose_twin_is_under_way_is_not_made_a_third_time(self, store, tmp_path):
        backend, events = Led(store, 2, hold=[0]), []
        first = ("slow 0", (0, 1))
        twin_at = 3  # of the first rows, when the others are there
        backend.hold = [0, twin_at]

        def follow(event):
            events.append(event)
            if isinstance(event, ev.StoreWarning):  # the loss is known, and the twin at work
                backend._perform(*backend.held[1])

        submit = backend.submit

        def lose_the_first(worker, work, report):
            future = submit(worker, work, report)
            if len(backend.submitted) == twin_at + 1:
                backend.held[0][0].set_exception(WorkerLost("pulled the plug"))
            return future

        backend.submit = lose_the_first
        step = Slow(n_rows=3, log=tmp_path)
        Dispatcher(store, lambda n: backend, events=follow, repeats=True).run([step])
        assert backend.submitted[twin_at] == first
        assert backend.submitted.count(first) == 2


def test_lost_can_be_sent():
    assert str(pickle.loads(pickle.dumps(WorkerLost("gone")))) == "gone"
