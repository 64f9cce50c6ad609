"""How many threads torch shares an operation among."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

LEAST_FLOPS_FOR_THREADS = 1e9
"""A smaller step is over before threads have met; on a busy machine they wait for each other."""


def share_among(n: int) -> None:
    """Have torch share an operation of this thread among n threads."""
    torch.get_num_threads()  # has torch set up this thread, which would undo what follows
    torch.set_num_threads(n)


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
