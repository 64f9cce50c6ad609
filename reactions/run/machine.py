"""What a bug report needs: versions, the machine, settings, folders; no keys and no tokens."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from reactions.core import environment, paths
from reactions.core.protocols import without_credentials

_REQUIREMENT = re.compile(r"([\w.-]+)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
_FOREIGN = ("HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE", "OMP_NUM_THREADS")
_FOREIGN_OF_DEVICES = ("CUDA_VISIBLE_DEVICES", "NO_COLOR", "TERM", "COLUMNS")
_NOT_FOR_USERS = frozenset({"all", "test"})


def system_facts() -> dict[str, Any]:
    """Return versions of molspace, Python and the system, the CPU and its memory: JSON-able."""
    return {
        "molspace": metadata.version("molspace"),
        "installed": installed_as(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": _memory_bytes(),
    }


def installed_as() -> str:
    """Return whether this molspace is a checkout that is imported where it lies, or a copy."""
    spelled = metadata.distribution("molspace").read_text("direct_url.json") or ""
    return "editable" if '"editable": true' in spelled else "package"


def torch_facts() -> dict[str, Any]:
    """Return torch's version, its devices, and what the CPU multiplies fast; imports torch."""
    import torch

    from reactions.ops.precision import cpu_has_bfloat16

    gpus = []
    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "gpus": gpus,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "fast_bfloat16": cpu_has_bfloat16(),
    }


def packages() -> list[dict[str, Any]]:
    """Return what molspace needs or can use: name, extras that bring it, version if installed."""
    extras: dict[str, set[str]] = {}
    for requirement in metadata.requires("molspace") or ():
        name = _REQUIREMENT.match(requirement)
        extra = _EXTRA.search(requirement)
        if name is None or name[1] == "molspace" or (extra and extra[1] in _NOT_FOR_USERS):
            continue
        extras.setdefault(name[1], set()).update([extra[1]] if extra else [])
    return [
        {"name": name, "extras": sorted(of), "version": _version(name)}
        for name, of in sorted(extras.items(), key=lambda entry: entry[0].lower())
    ]


def variables() -> dict[str, str]:
    """Return the variables that are set and change what molspace does."""
    names = (*environment.VARIABLES, *_FOREIGN, *_FOREIGN_OF_DEVICES)
    # A URL of the cache may hold a password or a key, though none that is used does.
    return {name: without_credentials(os.environ[name]) for name in names if os.environ.get(name)}


def folders() -> Mapping[str, dict[str, Any]]:
    """Return molspace's folders, whether they are there, and what is free on their disk.

    Of results behind a URL nothing is known but that: no server is contacted.
    """
    roots: dict[str, Path | str] = {
        "results": paths.store_address(),
        "weights": paths.weights_root(),
        "bundles": paths.data_root(),
        "evaluation sets": paths.evaluation_root(),
    }
    return {name: _folder(path) for name, path in roots.items()}


def _folder(path: Path | str) -> dict[str, Any]:
    if isinstance(path, str):
        return {"path": without_credentials(path), "exists": None, "free_bytes": None}
    nearest = next((p for p in (path, *path.parents) if os.path.isdir(p)), path)  # noqa: PTH112
    try:
        free_bytes: int | None = shutil.disk_usage(nearest).free
    except OSError:
        free_bytes = None
    return {"path": str(path), "exists": nearest == path, "free_bytes": free_bytes}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """Return the processor's name, as the system gives it."""
    if sys.platform == "linux":
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        if match := re.search(r"model name\s*:\s*(.+)", text):
            return match[1].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None
