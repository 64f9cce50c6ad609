"""Threads that work, one a device, and the one thread that everything else happens in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeAlias

from reactions.run.device import current_device, shared_cpu
from reactions.run.worker import LoadEncoder, Stopped, Worker

Task: TypeAlias = Callable[[Worker], Any]
Done: TypeAlias = Callable[[Any, BaseException | None], None]
"""Takes what a task returned, and what it raised if it did."""

_PATIENCE_S = 0.5


class Mailbox:
    """Calls that other threads leave for the thread that made the mailbox.

    So what keeps track of a run, and who hears of it, only ever runs in that one thread.
    """

    def __init__(self) -> None:
        self._owner = threading.get_ident()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def tell(self, call: Callable[..., None], *args: object) -> None:
        """Call now in the owner's thread; from another, leave the call for it."""
        if threading.get_ident() == self._owner:
            call(*args)
        else:
            self.post(partial(call, *args))

    def post(self, call: Callable[[], None]) -> None:
        """Leave a call for the owner."""
        self._calls.put(call)

    def serve(self, timeout_s: float) -> None:
        """Make one call that was left, waiting for it at most ``timeout_s``."""
        # With a timeout, for without one Ctrl-C cannot end the wait on every platform.
        try:
            call = self._calls.get(timeout=timeout_s)
        except Empty:
            return
        call()


class Pool:
    """Workers, one a device, each in a thread of its own.

    A single worker lives in the calling thread: it needs no other, and there Ctrl-C stops
    it anywhere, not only at its next sign of progress.

    Args:
        devices: of the workers.
        load_encoder: opens a space on a device.
        mailbox: of the calling thread.
        on_delay: called when workers take long to stop, with how many still have to.
    """

    def __init__(
        self,
        devices: Sequence[str],
        load_encoder: LoadEncoder,
        mailbox: Mailbox,
        on_delay: Callable[[int], None],
    ) -> None:
        self._mailbox = mailbox
        self._on_delay = on_delay
        self._stopping = threading.Event()
        self.workers = [Worker(device, load_encoder, self._stopping) for device in devices]
        self._tasks: dict[Worker, SimpleQueue[tuple[Task, Done] | None]] = {}
        self._threads: list[threading.Thread] = []
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        threads = self._exits.enter_context(shared_cpu(len(self.workers)))
        if len(self.workers) > 1:
            for worker in self.workers:
                self._tasks[worker] = SimpleQueue()
                # A daemon, so that a second Ctrl-C need not wait for it.
                thread = threading.Thread(
                    target=self._work, args=(worker, threads), name=worker.device, daemon=True
                )
                thread.start()
                self._threads.append(thread)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the workers: each ends at its next sign of progress.

        After Ctrl-C, workers that give no sign are stopped between two bytecodes, as the
        main thread itself would be. After a failure they are waited for: the process goes
        on, and should not have to with what a step left half done.
        """
        with self._exits:
            self._stopping.set()
            for tasks in self._tasks.values():
                tasks.put(None)
            busy = self._join(_PATIENCE_S)
            if busy and kind is not None and not issubclass(kind, Exception):
                for thread in busy:
                    _raise_in(thread, Stopped)
                busy = self._join(_PATIENCE_S)
            if busy:
                self._on_delay(len(busy))
                self._join(None)
            for worker in self.workers:
                worker.drop()

    def _join(self, timeout_s: float | None) -> list[threading.Thread]:
        """Wait for the threads to end; return those that did not in time."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return [thread for thread in self._threads if thread.is_alive()]

    def submit(self, worker: Worker, task: Task, done: Done) -> None:
        """Let an idle worker run a task; ``done`` is left in the mailbox after."""
        if worker in self._tasks:
            self._tasks[worker].put((task, done))
        else:
            self._mailbox.post(_perform(worker, task, done))

    def _work(self, worker: Worker, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)  # OpenMP counts for every thread apart
        while self._work_once(worker):
            pass

    def _work_once(self, worker: Worker) -> bool:
        """Run one task. In a frame of its own: an idle worker holds on to no result."""
        if (order := self._tasks[worker].get()) is not None:
            self._mailbox.post(_perform(worker, *order))
        return order is not None


def _perform(worker: Worker, task: Task, done: Done) -> Callable[[], None]:
    """Run a task and return the call that tells its outcome."""
    try:
        with current_device(worker.device):
            result = task(worker)
    except BaseException as error:
        return partial(done, None, error)
    return partial(done, result, None)


def _raise_in(thread: threading.Thread, error: type[BaseException]) -> None:
    """Let a thread meet an exception when it next runs Python code."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error)
    )
