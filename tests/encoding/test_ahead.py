import os
import signal
import threading
import time
from contextlib import closing

import pytest

from reactions.core.errors import UsageError
from reactions.encoding import prefetch as module
from reactions.encoding.prefetch import THREAD_NAME, ahead, default_workers, side_by_side


def run(work, tasks, *, workers=2, depth=4, **options):
    options = {"limit_bytes": 1 << 30, "weigh": lambda result: 0, "brief_s": 0, **options}
    return ahead(work, tasks, workers=workers, depth=depth, **options)


def twice(task):
    yield task
    yield task


def helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)]


def endless(_):
    while True:
        time.sleep(0.001)
        yield 0


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("depth", [1, 2, 50])
def test_results_come_in_order(workers, depth):
    results = list(run(twice, range(20), workers=workers, depth=depth))
    assert results == [[task, task] for task in range(20)]
    assert list(run(twice, [], workers=workers)) == []
    assert helpers() == []


def test_order_is_kept_when_later_tasks_are_done_first():
    last_done = threading.Event()

    def work(task):
        if task == 0:
            assert last_done.wait(120)
        elif task == 5:
            last_done.set()
        yield task

    assert list(run(work, range(9), depth=9)) == [[task] for task in range(9)]


def test_work_is_done_in_other_threads_at_once_unless_there_are_none():
    both = threading.Barrier(2, timeout=120)

    def work(task):
        both.wait()
        yield threading.current_thread().name

    names = {name for (name,) in run(work, range(4))}
    assert len(names) == 2
    assert all(name.startswith(THREAD_NAME) for name in names)
    this_thread = threading.current_thread().name
    assert list(run(lambda _: [threading.current_thread().name], [0], workers=0)) == [[this_thread]]


class Watches:
    """Each thread's own time, and how much of it the thread computed: as much as work says."""

    def __init__(self):
        self._own = threading.local()

    def spend(self, clock_s, core_s):
        self._own.clock_s = self.perf_counter() + clock_s
        self._own.core_s = self.thread_time() + core_s

    def perf_counter(self):
        return getattr(self._own, "clock_s", 0.0)

    def thread_time(self):
        return getattr(self._own, "core_s", 0.0)


@pytest.fixture
def watches(monkeypatch):
    monkeypatch.setattr(module, "time", pretended := Watches())
    return pretended


@pytest.mark.parametrize(
    ("clock_s", "core_s", "brief_s", "together"),
    [
        (0, 0, 0.001, False),
        (0.003, 0, 0.1, False),
        (0.003, 0, 0.0004, False),  # not ten times as long
        (0.003, 0, 0.0002, True),
        (0.003, 0.003, 0.001, True),
        (0.003, 0.003, 0.004, False),
    ],
)
def test_brief_work_is_left_to_one_thread_and_slow_work_is_not(
    watches, clock_s, core_s, brief_s, together
):
    busy, most_busy = 0, 0
    lock = threading.Lock()
    others = threading.Event()

    def work(task):
        nonlocal busy, most_busy
        with lock:
            busy += 1
            most_busy = max(most_busy, busy)
            if busy > 1:
                others.set()
        watches.spend(1.0, 1.0)  # fetching what all results need is not what they take
        for _ in range(8):
            watches.spend(clock_s, core_s)
            yield task
        if task == 0:
            assert others.wait(60 if together else 0.05) == together
        with lock:
            busy -= 1

    results = list(run(work, range(12), workers=3, depth=9, brief_s=brief_s))
    assert results == [[task] * 8 for task in range(12)]
    assert (most_busy > 1) == together


def test_a_single_slow_result_may_be_an_accident(watches):
    def work(task):
        yield task
        watches.spend(0.02, 0.02)
        for _ in range(20):
            yield task

    turnstile = []

    class Watched(module._Turnstile):
        def __init__(self, brief_s):
            super().__init__(brief_s)
            turnstile.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_Turnstile", Watched)
        for brief_s, is_open in ((0.01, False), (0.004, True)):
            list(run(work, range(4), brief_s=brief_s))
            assert turnstile.pop().is_open == is_open


def test_one_slow_result_lets_the_others_in(watches):
    others = threading.Event()

    def work(task):
        yield task
        if task == 0:
            watches.spend(0.01, 0.01)
            yield task
            assert others.wait(120)  # in the middle of the first task
        others.set()
        yield task

    assert [len(numbers) for numbers in run(work, range(3), brief_s=0.001)] == [3, 2, 2]


def counted(n, tasks_begun):
    for task in range(n):
        tasks_begun.append(task)
        yield task


def test_no_more_is_begun_than_there_is_room_for():
    tasks_begun = []
    with closing(run(twice, counted(100, tasks_begun), depth=5)) as results:
        for turn, _ in enumerate(results):
            # What was handed on makes room when the next is asked for.
            assert len(tasks_begun) <= turn + 5
    assert len(tasks_begun) == 100
    tasks_begun = []
    with closing(run(twice, counted(100, tasks_begun), depth=50, workers=2)) as results:
        next(results)
        assert len(tasks_begun) > 2  # once a first task tells its size, more than one a worker
    tasks_begun = []
    with closing(run(twice, counted(100, tasks_begun), workers=0)) as results:
        next(results)
        assert len(tasks_begun) == 1


def test_no_more_is_held_than_may_be():
    held_bytes, most_bytes = 0, 0
    lock = threading.Lock()

    def work(task):
        nonlocal held_bytes, most_bytes
        with lock:
            held_bytes += 100
            most_bytes = max(most_bytes, held_bytes)
        yield task

    # Twice two results a worker before anything is known, then 350 bytes: three at a time.
    for _ in run(work, range(40), depth=40, limit_bytes=350, weigh=lambda result: 100):
        time.sleep(0.001)  # time enough to run too far ahead
        with lock:
            held_bytes -= 100
    assert most_bytes <= 400  # one of them is in the caller's hands
    assert held_bytes == 0


def test_a_task_larger_than_the_limit_is_done_alone():
    results = run(twice, range(5), limit_bytes=10, weigh=lambda result: 1000)
    assert list(results) == [[task, task] for task in range(5)]


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_arrive_as_they_are(workers):
    def work(task):
        yield task
        if task == 3:
            raise KeyError("three")

    numbers = []

    def take():
        for result in run(work, range(9), workers=workers, depth=2):
            numbers.extend(result)

    with pytest.raises(KeyError, match="three"):
        take()
    assert numbers in ([0, 1], [0, 1, 2])  # with room for two, three has begun with two
    assert helpers() == []


def test_an_error_is_told_at_once_and_the_others_stop():
    began = threading.Event()

    def work(task):
        if task == 1:
            assert began.wait(120)
            raise KeyError("one")
        began.set()
        yield from endless(task)

    with pytest.raises(KeyError):  # though the first task would never end
        next(run(work, range(9)))
    assert helpers() == []


def test_an_error_is_told_even_if_results_are_ready(monkeypatch):
    failed, report = threading.Event(), module._report

    def reported(outcomes, number, done):
        report(outcomes, number, done)
        if number == 2:
            failed.set()

    monkeypatch.setattr(module, "_report", reported)

    def work(task):
        if task == 2:
            raise KeyError("two")
        yield task

    with closing(run(work, range(3), workers=1, depth=3)) as results:
        assert next(results) == [0]
        assert failed.wait(120)
        with pytest.raises(KeyError):
            next(results)


def test_errors_of_the_tasks_themselves():
    def tasks():
        yield 0
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(run(twice, tasks()))
    assert helpers() == []


def test_closing_stops_the_threads():
    def work(task):
        if task:
            yield from endless(task)
        yield task

    results = run(work, range(9), depth=9)
    assert next(results) == [0]
    assert helpers()
    results.close()
    assert helpers() == []
    # Nor does what was begun and not taken keep them: left alone, it is closed.
    results = run(work, range(9), depth=9)
    next(results)
    del results
    assert helpers() == []


@pytest.fixture
def ctrl_c():
    """Let SIGINT interrupt, as it does not in a shell's background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_the_threads(monkeypatch, ctrl_c):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    began = threading.Event()

    def work(task):
        began.set()
        yield from endless(task)

    def interrupt():
        assert began.wait(120)
        ctrl_c()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        next(run(work, range(9)))
    # It may hit while a thread is started; that one ends by itself.
    deadline = time.monotonic() + 60
    while helpers() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert helpers() == []


def test_workers_are_chosen_by_cores_or_by_the_user(monkeypatch):
    monkeypatch.delenv("MOLSPACE_WORKERS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert default_workers() == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7})
    assert default_workers() == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_workers() == 1
    for text, n in (("0", 0), ("12", 12)):
        monkeypatch.setenv("MOLSPACE_WORKERS", text)
        assert default_workers() == default_workers("cuda:0") == n
    for text in ("-1", "many", "1.5", "²"):
        monkeypatch.setenv("MOLSPACE_WORKERS", text)
        with pytest.raises(UsageError, match="MOLSPACE_WORKERS"):
            default_workers()


def test_a_gpu_is_fed_by_its_share_of_the_cores(monkeypatch):
    monkeypatch.delenv("MOLSPACE_WORKERS", raising=False)
    for cores, streams, workers in ((1, 1, 1), (2, 1, 2), (16, 1, 16), (16, 4, 4), (2, 8, 1)):
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False
        )
        with side_by_side(streams):
            assert default_workers("cuda:1") == workers
            assert default_workers("cpu") == min(4, cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(256)))
    assert default_workers("cuda:0") == 32
