"""Which devices a run uses, and what their memory errors look like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from reactions.core import environment
from reactions.core.errors import UsageError, did_you_mean
from reactions.encoding.batch_size import free_device_memory, is_out_of_memory
from reactions.run.machine import cpu_name
from reactions.store.made_by import Hardware

__all__ = [
    "check_device",
    "chosen_device",
    "current_device",
    "free_device_memory",
    "hardware_of",
    "is_out_of_memory",
    "resolve_devices",
    "shared_cpu",
]

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_FORMS = "auto, cpu, cuda, cuda:N, or several as in cuda:0,cuda:2"


def check_device(name: str) -> None:
    """Check how devices are written, without looking for them.

    Raises:
        UsageError: it is none of ``auto``, ``cpu``, ``cuda`` (all of them), ``cuda:N``, a
            list of different CUDA devices, or ``cpu,cpu`` (two workers that share it).
    """
    parts = name.split(",")
    for part in parts:
        if not _DEVICE.fullmatch(part):
            near = did_you_mean(part, ("auto", "cpu", "cuda"), limit=1)
            fix = f"did you mean '{near[0]}'?  (all: {_FORMS})" if near else f"one of: {_FORMS}"
            raise UsageError(f"unknown device '{part}'", fix=fix, device=name)
    if len(parts) == 1 or set(parts) == {"cpu"}:
        return
    whole = next((part for part in parts if ":" not in part), None)
    if whole is not None:
        raise UsageError(
            f"'{whole}' cannot be combined with other devices",
            why="the CPU would hold up the others, and it can round differently"
            if whole == "cpu"
            else "it stands for all there are",
            fix=f"--device {whole}, or a list of cuda:N",
            device=name,
        )
    indices = [int(part.partition(":")[2]) for part in parts]
    twice = next((i for i in indices if indices.count(i) > 1), None)
    if twice is not None:
        raise UsageError(
            f"device 'cuda:{twice}' is named twice",
            why="two workers would share its memory",
            fix="name each device once",
            device=name,
        )


def chosen_device(given: str | None = None) -> str:
    """Return what was given, else ``$MOLSPACE_DEVICE``, else ``"auto"``.

    Raises:
        UsageError: it cannot be a device; see ``check_device``.
    """
    if given is not None:
        check_device(given)
        return given
    name = environment.value_of(environment.DEVICE) or "auto"
    try:
        check_device(name)
    except UsageError as error:
        raise environment.from_variable(error, environment.DEVICE) from None
    return name


def resolve_devices(name: str) -> tuple[str, ...]:
    """Return ``"cpu"`` or ``"cuda:N"`` for each worker; imports torch unless all are ``"cpu"``.

    Args:
        name: ``auto`` takes all CUDA devices if there are any, else the CPU; see
            ``check_device``.

    Raises:
        UsageError: the name means nothing, or this machine has no such device.
    """
    check_device(name)
    parts = name.split(",")
    if set(parts) == {"cpu"}:
        return tuple(parts)
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto" and count == 0:
        return ("cpu",)
    if name in ("auto", "cuda") and count:
        return tuple(f"cuda:{index}" for index in range(count))
    devices = []
    for part in parts:
        index = int(part.partition(":")[2] or 0)
        if index >= count:
            why = f"torch sees {count} CUDA device(s)" if count else "torch sees no CUDA device"
            fix = f"--device cuda:0 to cuda:{count - 1}, or cpu" if count else "--device cpu"
            raise UsageError(f"no device '{part}'", why=why, fix=fix, device=part, found=count)
        devices.append(f"cuda:{index}")
    return tuple(devices)


@lru_cache(maxsize=16)
def hardware_of(device: str) -> Hardware:
    """Return what a worker's device is, for the record of what it makes.

    Args:
        device: ``"cpu"`` or ``"cuda:N"``.
    """
    kind = device.partition(":")[0]
    import torch

    if kind == "cpu":
        from reactions.ops.precision import cpu_has_bfloat16

        # One CPU computes otherwise where torch is kept to older instructions.
        products = "bfloat16" if cpu_has_bfloat16() else "float32"
        capability = torch.backends.cpu.get_cpu_capability()
        return Hardware(kind, f"{cpu_name()} ({capability}, {products} products)")
    try:
        return Hardware(kind, torch.cuda.get_device_name(device))
    except (RuntimeError, AssertionError):  # it works; only its name cannot be found out
        return Hardware(kind, "")


@contextmanager
def current_device(device: str) -> Iterator[None]:
    """Make a device the one that this thread's CUDA calls mean when they name none."""
    if not device.startswith("cuda"):
        yield
        return
    import torch

    with torch.cuda.device(device):
        yield


@contextmanager
def shared_cpu(workers: int) -> Iterator[int]:
    """Divide torch's CPU threads among workers that run side by side.

    Args:
        workers: how many; a single one keeps all threads, and torch stays unimported.

    Yields:
        Threads a worker, which every worker thread has to set for itself; 0 for no change.
    """
    if workers < 2:
        yield 0
        return
    import torch

    before = torch.get_num_threads()
    # With all threads for each worker there would be more of them than cores.
    share = max(1, before // workers)
    torch.set_num_threads(share)
    try:
        yield share
    finally:
        torch.set_num_threads(before)
