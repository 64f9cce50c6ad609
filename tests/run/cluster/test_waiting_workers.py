"""What a run says of workers that do not start, beside a Ray that only pretends."""

from types import SimpleNamespace

import pytest

from reactions.run.cluster.backend import RayWorkers
from reactions.run.cluster.places import Place


class PretendedRay:
    """Actors whose ``prepare`` is answered when a test says so.

    Attributes:
        answers: of ``prepare``, by actor, in the order of their making; those not there wait.
        made: actors.
        killed: those that were ended.
    """

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(self, *answers):
        self.answers = dict(enumerate(answers))
        self.made, self.killed = [], []

    def put(self, value):
        return value

    def method(self, **_):
        return lambda function: function

    def remote(self, **_):
        return lambda cls: self

    def options(self, **_):
        return SimpleNamespace(remote=self._make)

    def _make(self, recipe, graph):
        number = len(self.made)
        prepare = SimpleNamespace(remote=lambda: ("prepare", number))
        poll = SimpleNamespace(remote=lambda order, known: ("poll", number))
        self.made.append(SimpleNamespace(number=number, prepare=prepare, poll=poll))
        return self.made[-1]

    def wait(self, refs, timeout):
        ready = [r for r in refs if r[0] == "poll" or r[1] in self.answers]
        return ready, [r for r in refs if r not in ready]

    def get(self, ref):
        if ref[0] == "poll":
            raise RuntimeError("The actor died: its node is gone")
        return self.answers[ref[1]]

    def kill(self, actor):
        self.killed.append(actor.number)


class OneGpu:
    device, wants = "cuda:0", "a GPU each"

    def __init__(self):
        self.place = Place("a node of the cluster", {}, 1)

    def free(self):
        return [self.place] if self.place.is_free else []

    def may_come(self, most_starts):
        return self.place.is_free and self.place.starts < most_starts


@pytest.fixture
def workers():
    opened = []

    def make(ray):
        messages = []
        backend = RayWorkers(
            ray, OneGpu(), lambda place: None, b"", messages.append, patience_s=-1.0
        )
        backend._closing.set()  # looked after by hand
        backend._thread.join()
        opened.append(backend)
        return backend, messages

    yield make
    for backend in opened:
        backend.shutdown(interrupted=True, on_delay=print)


def test_a_worker_that_waits_for_room_is_reported_once(workers):
    backend, messages = workers(PretendedRay())
    for _ in range(3):
        backend._look_after()
    assert messages == [
        "1 of 1 workers have not started yet: they may wait for room on the cluster (a GPU each); "
        "until one starts, nothing is done"
    ]


def test_a_lost_worker_s_successor_that_waits_is_reported_again(workers):
    ray = PretendedRay()
    backend, messages = workers(ray)
    backend._look_after()
    ray.answers[0] = ("cuda:0 on a", None, ["the worker cuda:0 on a has pillow 1 instead of 2"])
    backend._look_after()
    assert list(backend.devices) == ["cuda:0 on a"]
    assert messages[1:] == ["the worker cuda:0 on a has pillow 1 instead of 2"]
    backend._question(backend._workers[0])
    backend._question(backend._workers[0])  # its node is gone
    for _ in range(3):
        backend._look_after()
    assert ray.killed == [0]
    assert messages[2:] == [messages[0]]
