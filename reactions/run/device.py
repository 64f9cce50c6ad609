"""Which device a run uses, and what its memory errors look like."""

from __future__ import annotations

import re
import sys

from reactions.errors import UsageError

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_device(name: str) -> None:
    """Check how a device is written, without looking for it.

    Raises:
        UsageError: it is none of ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
    """
    if not _DEVICE.fullmatch(name):
        raise UsageError(
            f"unknown device '{name}'", fix="one of: auto, cpu, cuda, cuda:N", device=name
        )


def resolve_device(name: str) -> str:
    """Return ``"cpu"`` or ``"cuda:N"``; imports torch unless ``name`` is ``"cpu"``.

    Args:
        name: ``auto`` takes the first CUDA device if there is one, else the CPU.

    Raises:
        UsageError: the name means nothing, or this machine has no such device.
    """
    check_device(name)
    if name == "cpu":
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda:0" if count else "cpu"
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        why = "torch sees no CUDA device" if count == 0 else f"torch sees {count} CUDA device(s)"
        fix = "--device cpu" if count == 0 else f"--device cuda:0 to cuda:{count - 1}, or cpu"
        raise UsageError(f"no device '{name}'", why=why, fix=fix, device=name, found=count)
    return f"cuda:{index}"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that the host or the device has no memory left."""
    if isinstance(error, MemoryError):
        return True
    if (torch := sys.modules.get("torch")) is None:
        return False
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    # On the host torch raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def free_device_memory(device: str) -> None:
    """Give cached device memory back after something big was dropped."""
    if device.startswith("cuda") and (torch := sys.modules.get("torch")) is not None:
        torch.cuda.empty_cache()
