"""Work that runs ahead in threads: in order, bounded, and over at once when something fails."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Final, Self, TypeAlias, TypeVar

from reactions.core.environment import value_of
from reactions.core.errors import UsageError

WORKERS_VARIABLE: Final = "MOLSPACE_WORKERS"
MOST_WORKERS: Final = 4
"""Beside a forward pass on the CPU: they share one interpreter, and more mostly wait for it."""

MOST_FEEDING: Final = 32
"""For a GPU: decoders leave the interpreter to others for most of an item's time."""

THREAD_NAME: Final = "molspace-prepare"

BRIEF_S: Final = 2e-4
"""Results that take less of a core are mostly made by the interpreter: one at a time."""

_WAITING: Final = 10
"""Results that take so many times longer than that wait for something, whatever they compute."""

_TRIES: Final = 4
"""A single result may be held up by something else for as long as so many should take."""

_PATIENCE_S: Final = 0.5

_T = TypeVar("_T")
_R = TypeVar("_R")
_Made: TypeAlias = "tuple[list[_R], int]"


def chosen_workers() -> int | None:
    """Return what $MOLSPACE_WORKERS says; None if it is not set.

    Raises:
        UsageError: the variable is not a whole number from 0 up.
    """
    text = value_of(WORKERS_VARIABLE)
    if text is None or (text.isascii() and text.isdigit()):
        return None if text is None else int(text)
    raise UsageError(
        f"{WORKERS_VARIABLE} is '{text}'",
        fix="a whole number; 0 prepares items in turn with embedding them",
    )


def default_workers(device: str = "cpu") -> int:
    """Return how many threads prepare items for an encoder.

    $MOLSPACE_WORKERS, else, where the encoder computes on the CPU, one a core, at most four. A GPU
    takes items faster than a few cores decode them, and needs none itself: for one there are as
    many threads as its share of the cores.

    Args:
        device: where the encoder computes.

    Raises:
        UsageError: the variable is not a whole number from 0 up.
    """
    if (n_chosen := chosen_workers()) is not None:
        return n_chosen
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    if device == "cpu":
        return min(MOST_WORKERS, cores)
    return max(1, min(MOST_FEEDING, cores // _streams))


_streams = 1


@contextmanager
def side_by_side(streams: int) -> Iterator[None]:
    """Divide the cores among streams of items, one a device, until the block ends."""
    global _streams
    before, _streams = _streams, max(1, streams)
    try:
        yield
    finally:
        _streams = before


def ahead(
    work: Callable[[_T], Iterable[_R]],
    tasks: Iterable[_T],
    *,
    workers: int,
    depth: int,
    limit_bytes: int,
    weigh: Callable[[_R], int],
    brief_s: float = BRIEF_S,
) -> Generator[list[_R]]:
    """Do tasks in threads, before their results are taken.

    A single thread works at a time until results prove to take longer than ``brief_s`` of a
    core, or ten times that of waiting: for brief ones threads would mostly fight over the
    interpreter.

    Closing the iterator, or an error, stops the threads before their next result and waits
    for them; a single result is never interrupted.

    Args:
        work: gives the results of a task one by one; called from several threads.
        tasks: what to do; taken in the calling thread, as room permits.
        workers: threads; 0 does each task when its turn comes, in the calling thread.
        depth: at most so many tasks are begun and not yet handed on.
        limit_bytes: nor do their results weigh more than this, as far as earlier ones tell;
            a single task may.
        weigh: bytes of a result.
        brief_s: 0 lets all threads work from the beginning.

    Yields:
        The results of each task, in the order of the tasks.

    Raises:
        BaseException: whatever ``work`` raised, as soon as it is known, before the results
            of earlier tasks.
    """
    if workers < 1:
        for task in tasks:
            yield list(work(task))
        return
    stopping = threading.Event()
    turnstile = _Turnstile(brief_s)
    outcomes: SimpleQueue[tuple[int, Future[_Made[_R]]]] = SimpleQueue()
    ready: dict[int, _Made[_R]] = {}
    waiting = iter(tasks)
    n_begun = 0
    largest_bytes: int | None = None  # unknown until a first task is done

    def run(task: _T) -> _Made[_R]:
        results, size_bytes = [], 0
        with _Passage(turnstile) as passage:
            for result in () if stopping.is_set() else work(task):
                if stopping.is_set():
                    break
                passage.count()
                results.append(result)
                size_bytes += weigh(result)
        return results, size_bytes

    def has_room(begun: int) -> bool:
        if begun == 0 or largest_bytes is None:
            # Sizes are still unknown: one task a thread, but always one, or nothing would go on.
            return begun < min(workers, depth)
        # Those that are done count as they are, those under way and one more as the largest so far.
        expected_bytes = sum(size for _, size in ready.values())
        expected_bytes += (begun - len(ready) + 1) * largest_bytes
        return begun < depth and expected_bytes <= limit_bytes

    pool = ThreadPoolExecutor(workers, thread_name_prefix=THREAD_NAME)
    try:
        for turn in count():
            while True:
                while has_room(n_begun - turn):
                    try:
                        future = pool.submit(run, next(waiting))
                    except StopIteration:
                        break
                    future.add_done_callback(partial(_report, outcomes, n_begun))
                    n_begun += 1
                if turn == n_begun:
                    return
                # All outcomes are looked at first: one may be an error, which ends this at once.
                if turn in ready and outcomes.empty():
                    break
                number, done = _next(outcomes)
                ready[number] = done.result()
                largest_bytes = max(largest_bytes or 0, ready[number][1])
            yield ready.pop(turn)[0]
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)


class _Turnstile:
    """Lets one thread through at a time, until results prove slow to make; then all."""

    def __init__(self, brief_s: float) -> None:
        self.brief_s = brief_s
        self.is_open = brief_s <= 0
        self.lock = threading.Lock()


class _Passage:
    """One thread's way through a turnstile: held up on entering, counted on every result."""

    def __init__(self, turnstile: _Turnstile) -> None:
        self._turnstile = turnstile
        self._holds = False
        self._n = 0
        self._began = (0.0, 0.0)

    def __enter__(self) -> Self:
        self._turnstile.lock.acquire()
        self._holds = True
        if self._turnstile.is_open:
            self._release()
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def count(self) -> None:
        """Note that a result was made; the first may have taken what all need."""
        if not self._holds:
            return
        # This thread's time on a core: the clock alone would count waiting for the interpreter.
        core_s, clock_s = time.thread_time(), time.perf_counter()
        if self._n == 0:
            self._began = core_s, clock_s
        limit_s = max(self._n, _TRIES) * self._turnstile.brief_s
        took_s = max(core_s - self._began[0], (clock_s - self._began[1]) / _WAITING)
        if took_s > limit_s:
            # Opened before the lock is released, so that those who wait for it pass at once.
            self._turnstile.is_open = True
            self._release()
        self._n += 1

    def _release(self) -> None:
        if self._holds:
            self._holds = False
            self._turnstile.lock.release()


def _report(outcomes: SimpleQueue[tuple[int, Future[_T]]], number: int, done: Future[_T]) -> None:
    outcomes.put((number, done))


def _next(outcomes: SimpleQueue[_R]) -> _R:
    while True:
        # With a timeout, for without one Ctrl-C cannot end the wait on every platform.
        with suppress(Empty):
            return outcomes.get(timeout=_PATIENCE_S)
