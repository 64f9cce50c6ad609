"""What follows ``--executor ray:``: where a cluster is, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from reactions.core.errors import UsageError, suggestion
from reactions.run.device import check_device

_FORM = "ray, ray:HOST:PORT, ray:?workers=N&cpus=N&accelerator=NAME, or both"
_COUNTS = ("workers", "cpus")
_OPTIONS = (*_COUNTS, "accelerator")


@dataclass(frozen=True, slots=True)
class AskedCluster:
    """What is asked of a cluster.

    Attributes:
        address: ``HOST:PORT`` of its head, or "" for the one that Ray knows of: that of
            ``$RAY_ADDRESS``, or of this machine; failing these, one is started here.
        kind: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        workers: how many at most; None for as many as there are nodes (CPU) or GPUs.
        cpus: that each worker takes; None for all of its node, or one where ``workers`` is given
            or the worker has a GPU.
        accelerator: the only sort of GPU that is used, as Ray names it; "" for any.
    """

    address: str = ""
    kind: str = "auto"
    workers: int | None = None
    cpus: int | None = None
    accelerator: str = ""


def asked(address: str, device: str) -> AskedCluster:
    """Read an address and a device.

    Args:
        address: ``""``, ``"auto"``, ``"HOST:PORT"``; with ``"?name=value&..."`` behind it.
        device: ``auto``, ``cpu``, ``cuda``, or ``cpu,cpu`` for two workers anywhere.

    Raises:
        UsageError: one of them cannot mean anything.
    """
    place, _, query = address.partition("?")
    if "://" in place:
        raise not_a_node(place)
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise UsageError(
                f"unknown option '{name}' of the executor 'ray'", fix=suggestion(name, _OPTIONS)
            )
        if name in options:
            raise UsageError(f"'{name}' is given twice in --executor ray:{address}")
        if not value or (name in _COUNTS and not (value.isdecimal() and int(value) > 0)):
            wants = "a number from 1" if name in _COUNTS else "a name such as H100"
            raise UsageError(f"'{name}={value}' is not {wants}", fix=f"--executor {_FORM}")
        options[name] = value
    check_device(device)
    devices = device.split(",")
    if ":" in device:
        raise UsageError(
            f"--device {device} means nothing on a cluster",
            why="Ray chooses a free GPU for each worker",
            fix=f"--device cuda with --executor ray:?workers={len(devices)}",
        )
    counts = {name: int(options[name]) for name in _COUNTS if name in options}
    workers = counts.get("workers", len(devices) if len(devices) > 1 else None)
    kind = devices[0]
    accelerator = options.get("accelerator", "")
    if accelerator and kind == "cpu":
        raise UsageError("accelerator= names a GPU, and --device cpu uses none")
    return AskedCluster(
        "" if place == "auto" else place,
        "cuda" if accelerator else kind,
        workers,
        counts.get("cpus"),
        accelerator,
    )


def not_a_node(address: str) -> UsageError:
    """Return the error for an address of Ray Client, which runs commands outside the cluster."""
    return UsageError(
        f"'{address}' is not an address of a cluster's node",
        why="this process reads and writes the cluster's store, so it has to run on a machine "
        "that shares it; Ray Client, which does not, is not supported",
        fix=f"on a node of the cluster: --executor {_FORM}",
    )
