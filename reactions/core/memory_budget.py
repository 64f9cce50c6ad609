"""How much memory a step may take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

SHARE = 0.4
"""Of what is free: other programs, and our own results on their way to disk, need some too."""

TABLE_SHARE = 0.8
"""Of a GPU's free memory, for what stays there through a whole mixture."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")  # version 2: a container sees its own limit here


def free_bytes(device: str) -> int:
    """Return how much memory is free on a device, or on the host for ``"cpu"``.

    What can be had back at once counts as free: the page cache of files, torch's own cache.
    """
    if not device.startswith("cuda"):
        return int(min(_host_bytes(), _container_bytes()))
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    # The driver counts what torch keeps for reuse as taken.
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + cached)


def budget_bytes(device: str, share: float = SHARE) -> int:
    """Return how much of a device's free memory one step may plan with."""
    return int(share * free_bytes(device))


def _host_bytes() -> int:
    with suppress(OSError, ValueError, StopIteration):
        lines = _MEMINFO.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    import os

    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 4 << 30  # no way to ask: assume a small machine


def _container_bytes() -> float:
    """Return what a container's own limit leaves; infinity where there is none."""
    with suppress(OSError, ValueError, StopIteration):
        most = int((_CGROUP / "memory.max").read_text())  # "max" is not a number: no limit
        used = int((_CGROUP / "memory.current").read_text())
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        # ``memory.current`` counts the page cache; the kernel gives these pages back first.
        files = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
        return max(0, most - used + files)
    return float("inf")
