"""How many threads torch shares an operation among."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Lock

import torch

LEAST_FLOPS_FOR_THREADS = 1e9
"""A smaller step is over before threads have met; on a busy machine they wait for each other."""


_switch = Lock()


def share_among(n: int) -> None:
    """Have torch share an operation of this thread among n threads."""
    torch.get_num_threads()  # has torch set up this thread, which would undo what follows
    torch.set_num_threads(n)


def threads_of_torch() -> int:
    """Return among how many threads torch shares an operation of this one."""
    with _switch:  # torch may see this thread for the first time
        return torch.get_num_threads()


@contextmanager
def own_threads(n: int) -> Iterator[Executor]:
    """Start n threads that torch's are divided among; other threads keep their settings.

    torch holds a number for each thread it has seen, and one for those it has not, which is what
    any thread set last: it is set back once all n have set theirs. So calls may overlap. Only a
    thread that torch sees first just then, without ``threads_of_torch``, would have fewer.
    """
    with ThreadPoolExecutor(n, "retrieval") as pool:
        with _switch:
            before = torch.get_num_threads()
            begun = Barrier(n + 1)

            def begin() -> None:
                begun.wait()  # that what follows takes no time
                share_among(max(1, before // n))
                begun.wait()

            try:
                for _ in range(n):
                    pool.submit(begin)
                begun.wait()
                begun.wait()
            finally:
                begun.abort()  # of no effect on those who have met
                torch.set_num_threads(before)
        yield pool


@contextmanager
def shared_among(n: int) -> Iterator[None]:
    """Have torch share operations of this thread, and of those it first sees, among n threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)  # for threads to come, too


@contextmanager
def fitting_threads(device: torch.device, flops: float) -> Iterator[None]:
    """Let one thread do small steps on a CPU: as fast alone, and not slowed by neighbours.

    Args:
        device: where the steps run.
        flops: of the products of a step that threads could share.
    """
    if device.type != "cpu" or flops >= LEAST_FLOPS_FOR_THREADS or torch.get_num_threads() == 1:
        yield
        return
    with shared_among(1):
        yield
