"""How many of torch's threads small steps take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

LEAST_FLOPS_FOR_THREADS = 1e9
"""A smaller step is over before threads have met; on a busy machine they wait for each other."""


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
