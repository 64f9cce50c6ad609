"""How many of torch's threads small steps take, and threads for blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

LEAST_FLOPS_FOR_THREADS = 1e9
"""A smaller step is over before threads have met; on a busy machine they wait for each other."""

_LEAST_ROWS = 128
"""Of queries a thread: with fewer, each thread would spend its time on fetching the keys."""

_T = TypeVar("_T")


class BlockThreads:
    """Threads that do the same to blocks of rows; see ``block_threads``.

    Attributes:
        n: how many.
    """

    def __init__(self, n: int = 1, pool: Executor | None = None) -> None:
        self.n = n
        self._pool = pool

    def each(self, do: Callable[[_T], None], blocks: Sequence[_T]) -> None:
        """Do something to each block; the first error is raised."""
        for _ in map(do, blocks) if self._pool is None else self._pool.map(do, blocks):
            pass


@contextmanager
def block_threads(device: torch.device, n: int) -> Iterator[BlockThreads]:
    """Start as many threads as torch would share an operation among, for whole blocks instead.

    Each runs its operations alone. Threads that share operations wait for the slowest at the end
    of every one: many small ones take twice as long as few large ones where other work runs.

    Args:
        device: where the operations run; on CUDA one thread queues them all.
        n: rows in all; few are left to one thread, whose operations torch shares out.
    """
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1 or n < _LEAST_ROWS * before:
        yield BlockThreads()
        return
    try:
        with ThreadPoolExecutor(before, "retrieval", _run_alone) as pool:
            yield BlockThreads(before, pool)
    finally:
        torch.set_num_threads(before)  # for threads to come, too: the others set theirs for these


def _run_alone() -> None:
    torch.get_num_threads()  # has torch set up this thread, which would undo what follows
    torch.set_num_threads(1)


@contextmanager
def fitting_threads(device: torch.device, flops: float) -> Iterator[None]:
    """Let one thread do small steps on a CPU: as fast alone, and not slowed by neighbours.

    Args:
        device: where the steps run.
        flops: of the products of a step that threads could share.
    """
    before = torch.get_num_threads()
    if device.type != "cpu" or flops >= LEAST_FLOPS_FOR_THREADS or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
