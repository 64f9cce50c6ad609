"""The seam of backends: one that runs each unit of work in a fresh process, from pickles."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from plain_steps import load_encoder, plan
from processes import run_code
from toy import assert_sound, contents

from reactions.core.errors import DataError
from reactions.run import events as ev
from reactions.run.backend import Work
from reactions.run.dispatcher import Dispatcher
from reactions.run.local import LocalExecutor
from reactions.run.schedule import schedule
from reactions.run.worker import Worker
from reactions.store import Store

CHILD = """
import pickle, sys
from plain_steps import load_encoder
from reactions.run.worker import Worker
from reactions.store import Store

work, root = pickle.load(sys.stdin.buffer)
signals, error, result = [], None, None
try:
    result = Worker(Store(root), "cpu", load_encoder).perform(work, signals.append)
except Exception as raised:
    error = raised
pickle.dump((signals, error, result), sys.stdout.buffer)
"""


class FreshProcesses:
    """A backend whose workers know nothing but what is sent to them, and the store."""

    def __init__(self, n_works, root):
        self.devices = ("cpu",) * min(n_works, 2)
        self.root = root
        self.works = []
        self.is_shut_down = False
        self._threads = ThreadPoolExecutor(len(self.devices))

    def submit(self, worker, work, report):
        self.works.append(([step.label for step in work.steps], work.rows))
        return self._threads.submit(self._perform, pickle.dumps((work, self.root)), report)

    def _perform(self, order, report):
        with run_code(CHILD, stdin=order) as process:
            out, _ = process.communicate(300)
        signals, error, result = pickle.loads(out)
        for signal in signals:
            report(signal)
        if error is not None:
            raise error
        return result

    def release(self, worker):
        pass

    def shutdown(self, *, interrupted, on_delay):
        assert not interrupted
        self._threads.shutdown()
        self.is_shut_down = True


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture
def backends(store):
    """The backends that were opened."""
    return []


@pytest.fixture
def dispatcher(store, backends):
    def open_backend(n_works):
        backends.append(FreshProcesses(n_works, store.root))
        return backends[-1]

    def run(targets, events=lambda event: None):
        return Dispatcher(store, open_backend, events=events).run(targets)

    return run


def test_fresh_processes_make_the_same_as_threads(store, dispatcher, backends, tmp_path):
    events, total = [], plan()
    artifacts = dispatcher([total], events.append)
    # 60 is the sum of five rows of i, 2 i and 3 i; 108 that of three, plus ten each.
    assert artifacts[total.key].arrays["total"][:].tolist() == [5.5 * 60 + 108]
    (backend,) = backends
    assert backend.is_shut_down
    local_store = Store(tmp_path / "threads")
    LocalExecutor(local_store, device="cpu", load_encoder=load_encoder).run([plan()])
    assert contents(store.root) == contents(local_store.root)
    assert_sound(store)
    columns = ["times 0.5", "times 2.0", "times 3.0"]
    together = [rows for labels, rows in backend.works if sorted(labels) == columns]
    assert together == [(0, 2), (2, 4), (4, 5)]
    points = [(e.label, e.name, e.value, e.position) for e in events if type(e) is ev.StepMeasured]
    assert points == [("total", "loss", 438.0, 1), ("total", "loss", 219.0, 2)]
    rows = [event.done for event in events if isinstance(event, ev.StepProgress)]
    assert max(rows) == 5
    assert isinstance(events[-1], ev.PlanFinished)
    assert events[-1].executed == 6
    dispatcher([plan()])
    assert len(backends) == 1  # nothing has to run: no backend is opened


def test_what_fails_in_another_process_names_the_step(store, dispatcher, backends):
    events = []
    with pytest.raises(DataError, match="row 3 is bad") as caught:
        dispatcher([plan(bad=3)], events.append)
    assert caught.value.fields == {"row": 3, "step": "encode 0"}
    assert caught.value.why == "so it says"
    assert [event.label for event in events if isinstance(event, ev.StepFailed)] == ["encode 0"]
    assert backends[0].is_shut_down
    assert list(store.root.glob("locks/*")) == []


def test_a_worker_needs_only_the_store_a_device_and_encoders(store):
    """Without a dispatcher: each unit of work, from its pickle, in the order of the plan."""
    total = plan()
    for step in schedule([total], store.lookup).pending:
        shards = [(0, 2), (2, 4), (4, step.n_rows)] if step.n_rows == 5 else [(0, 2), (2, 3)]
        works = [Work.of([step], rows) for rows in shards if step.n_rows]
        for work in pickle.loads(pickle.dumps([*works, Work.of([step])])):
            assert Worker(Store(store.root), "cpu", load_encoder).perform(work, print)
    assert store.lookup(total.key).arrays["total"][:].tolist() == [438.0]


def test_shards_that_are_missing_cannot_be_joined(store):
    (step, *_) = schedule([plan()], store.lookup).pending
    worker = Worker(store, "cpu", load_encoder)
    assert worker.perform(Work.of([step], (0, 2)), print)
    assert not worker.perform(Work.of([step]), print)
    assert not store.has(step.key)
    (shard,) = (store.root / "partial" / step.key).iterdir()
    assert shard.name == "0-2"
