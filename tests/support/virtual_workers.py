"""A dispatcher's run in time that is only counted: what a simulation of it must come to."""

import heapq
import itertools
import time
from concurrent.futures import Future

from reactions.run import dispatcher, job
from reactions.run.worker import Worker
from reactions.store import Store

_PAUSE_S = 1e-3
"""After which a dispatcher looks again for what it could not claim."""


class CountedTime:
    """A backend whose workers take as long as they are told, and do everything at the end of it.

    Args:
        store: where results go.
        workers: how many.
        seconds: what a unit of work takes.

    Attributes:
        now_s: how much time has passed.
    """

    def __init__(self, store, workers, seconds):
        self.devices = ("cpu",) * workers
        self.now_s = 0.0
        self._seconds = seconds
        self._workers = [Worker(store, "cpu", None) for _ in range(workers)]
        self._running = []
        self._order = itertools.count()

    def submit(self, worker, work, report):
        future = Future()
        end = self.now_s + self._seconds(work)
        heapq.heappush(self._running, (end, worker, next(self._order), work, future))
        return future

    def wait(self, futures, timeout, return_when):
        """Let time pass until the next worker is done; stands for ``concurrent.futures.wait``."""
        time.sleep(2 * _PAUSE_S)
        self.now_s, worker, _, work, future = heapq.heappop(self._running)
        future.set_result(self._workers[worker].perform(work, lambda signal: None))

    def release(self, worker):
        self._workers[worker].drop()

    def shutdown(self, *, interrupted, on_delay):
        pass


def counted_s(monkeypatch, folder, steps, workers, seconds):
    """Return how long the dispatcher takes for steps, in counted time."""
    store = Store(folder)
    backend = CountedTime(store, workers, seconds)
    monkeypatch.setattr(dispatcher, "wait", backend.wait)
    for name in ("_LOOK_EVERY_S", "_LOOK_EVERY_MOST_S"):
        monkeypatch.setattr(job, name, _PAUSE_S)
    dispatcher.Dispatcher(store, lambda n_works: backend).run(steps)
    return backend.now_s
