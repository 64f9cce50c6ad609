"""The backend of this machine: threads, one for each device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TypeAlias

from reactions.encoding.prefetch import side_by_side
from reactions.run.backend import Report, Work
from reactions.run.device import current_device, shared_cpu
from reactions.run.worker import LoadEncoder, Stopped, Worker
from reactions.store import Store

_Order: TypeAlias = tuple[Work, Report, "Future[bool]"]

_PATIENCE_S = 0.5


class Threads:
    """Workers, one a device, each in a thread of its own.

    A single worker lives in the calling thread: it needs no other, and there Ctrl-C stops
    it anywhere, not only at its next sign of progress.

    Not a ``ThreadPoolExecutor``: each thread keeps one device, and what is loaded there, and
    Python waits for a pool's threads when it exits, also after a second Ctrl-C.

    Args:
        devices: of the workers.
        store: where inputs and results are.
        load_encoder: opens a space on a device.

    Attributes:
        devices: of the workers.
    """

    def __init__(self, devices: Sequence[str], store: Store, load_encoder: LoadEncoder) -> None:
        self.devices = tuple(devices)
        self._stopping = threading.Event()
        self._workers = [Worker(store, d, load_encoder, self._stopping) for d in devices]
        self._queues: list[SimpleQueue[_Order | None]] = []
        self._threads: list[threading.Thread] = []
        self._exits = ExitStack()
        torch_threads = self._exits.enter_context(shared_cpu(len(self._workers)))
        self._exits.enter_context(side_by_side(len(self._workers)))
        if len(self._workers) > 1:
            for worker in self._workers:
                self._queues.append(SimpleQueue())
                # A daemon, so that a second Ctrl-C need not wait for it.
                thread = threading.Thread(
                    target=_work,
                    args=(worker, self._queues[-1], torch_threads),
                    name=worker.device,
                    daemon=True,
                )
                thread.start()
                self._threads.append(thread)

    def submit(self, worker: int, work: Work, report: Report) -> Future[bool]:
        """Let an idle worker do something; a single worker does it before this returns."""
        future: Future[bool] = Future()
        if self._queues:
            self._queues[worker].put((work, report, future))
        else:
            _perform(self._workers[worker], work, report, future)
        return future

    def release(self, worker: int) -> None:
        """Let an idle worker drop what it holds."""
        self._workers[worker].drop()

    def shutdown(self, *, interrupted: bool, on_delay: Callable[[int], None]) -> None:
        """Stop the workers: each ends at its next sign of progress.

        After Ctrl-C, workers that give no sign are stopped between two bytecodes, as the
        main thread itself would be. After a failure they are waited for: the process goes
        on, and should not have to with what a step left half done.
        """
        with self._exits:
            self._stopping.set()
            for queue in self._queues:
                queue.put(None)
            busy = self._join(_PATIENCE_S)
            if busy and interrupted:
                for thread in busy:
                    _raise_in(thread, Stopped)
                busy = self._join(_PATIENCE_S)
            if busy:
                on_delay(len(busy))
                self._join(None)
            for worker in self._workers:
                worker.drop()

    def _join(self, timeout_s: float | None) -> list[threading.Thread]:
        """Wait for the threads to end; return those that did not in time."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if deadline_s is None else max(0.0, deadline_s - time.monotonic()))
        return [thread for thread in self._threads if thread.is_alive()]


def _work(worker: Worker, queue: SimpleQueue[_Order | None], torch_threads: int) -> None:
    from reactions.ops.threads import share_among

    share_among(torch_threads)  # OpenMP counts for every thread apart
    while _work_once(worker, queue):
        pass


def _work_once(worker: Worker, queue: SimpleQueue[_Order | None]) -> bool:
    """Do one unit of work. In a frame of its own: an idle worker refers to no work."""
    if (order := queue.get()) is not None:
        _perform(worker, *order)
    return order is not None


def _perform(worker: Worker, work: Work, report: Report, future: Future[bool]) -> None:
    try:
        with current_device(worker.device):
            result = worker.perform(work, report)
    except BaseException as error:  # Ctrl-C in the calling thread, too: the dispatcher raises it
        future.set_exception(error)
        del future  # which the error's traceback would refer to: a cycle that keeps all alive
    else:
        future.set_result(result)


def _raise_in(thread: threading.Thread, error: type[BaseException]) -> None:
    """Let a thread meet an exception when it next runs Python code."""
    import ctypes

    # c_ulong, as in C: ctypes would cut a plain number down to an int, and idents are longer.
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error)
    )
