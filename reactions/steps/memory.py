"""How much memory a step may take."""

from __future__ import annotations

SHARE = 0.4
"""Of what is free: other programs, and our own results on their way to disk, need some too."""


def free_bytes(device: str) -> int:
    """Return how much memory is free on a device, or on the host for ``"cpu"``."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    import os

    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 4 << 30  # no way to ask: assume a small machine


def budget_bytes(device: str) -> int:
    """Return how much of a device's free memory one step may plan with."""
    return int(SHARE * free_bytes(device))
