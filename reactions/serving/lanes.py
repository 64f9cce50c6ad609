"""Work that takes time, off the event loop: few at once, a bounded number waiting."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reactions.serving.limits import Busy

T = TypeVar("T")

RETRY_AFTER_S = 2


class ClientGone(Exception):
    """Whoever asked has closed the connection."""


@dataclass(eq=False)
class _Job:
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any] = field(init=False)
    abandoned: bool = False

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()


class Lane:
    """Threads that do one kind of work.

    They are daemons: what they do has no effect beyond memory and the cache, whose writes are
    atomic, and the end of the process does not wait for a model.

    Args:
        name: of the threads.
        waiting: how many jobs may wait.
        threads: how many are done at once.
    """

    def __init__(self, name: str, *, waiting: int, threads: int = 1) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._most = waiting + threads
        self._pending = 0  # only changed on the event loop
        for i in range(threads):
            thread = threading.Thread(target=self._serve, name=f"{name}-{i}", daemon=True)
            thread.start()

    @property
    def pending(self) -> int:
        """How many jobs are being done or wait."""
        return self._pending

    async def run(
        self, work: Callable[[], T], gone: Callable[[], Awaitable[object]] | None = None
    ) -> T:
        """Do some work in turn.

        Args:
            work: called in a thread; what it raises is raised here.
            gone: returns when whoever asked no longer waits; work that has not begun by then
                is dropped.

        Raises:
            Busy: too many wait already.
            ClientGone: nobody waits for the result.
        """
        if self._pending >= self._most:
            raise Busy(
                "the server is busy",
                why=f"{self._pending} requests are being answered or wait",
                fix="try again in a few seconds",
            )
        job = _Job(work, asyncio.get_running_loop())
        self._pending += 1
        job.future.add_done_callback(self._done)
        self._jobs.put(job)
        if gone is None:
            result: T = await job.future
            return result
        watcher = asyncio.ensure_future(gone())
        try:
            await asyncio.wait({job.future, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watcher.cancel()
            if not job.future.done():
                job.abandoned = True
        if not job.future.done():
            job.future.add_done_callback(_retrieved)
            raise ClientGone
        done: T = job.future.result()
        return done

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._pending -= 1

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            result: Any = None
            error: BaseException | None = None
            if not job.abandoned:
                try:
                    result = job.work()
                except BaseException as raised:
                    error = raised
            try:
                job.loop.call_soon_threadsafe(_settle, job.future, result, error)
            except RuntimeError:  # the loop has been closed: the server ends
                return


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _retrieved(future: asyncio.Future[Any]) -> None:
    """Look at an error that nobody waits for, so that it is not reported as forgotten."""
    if not future.cancelled():
        future.exception()
