"""How fast devices multiply: what the time of a long run is estimated from."""

from __future__ import annotations

import time

EFFICIENCY = 0.6
"""Of the speed of one large product, what whole steps are expected to reach. Collecting and
training reach 0.6 to 0.9 on CPUs (``benchmarks/``); decoding and encoders vary."""

_SIZE = {"cpu": 1024, "cuda": 8192}
_ROUNDS = 3


def pace(devices: tuple[str, ...], precision: str) -> float:
    """Return the FLOP/s that steps can be expected to run at, all devices together.

    Multiplies square matrices on each device, the best of a few rounds: tens of milliseconds.

    Args:
        devices: from ``resolve_devices``.
        precision: ``fast`` or ``exact``.
    """
    once = {device: _speed(device, precision) for device in dict.fromkeys(devices)}
    # Workers that share a CPU share its speed.
    return EFFICIENCY * sum(once.values())


def _speed(device: str, precision: str) -> float:
    import torch

    from reactions.ops.precision import Precision, full_float32, gemm_dtype

    retrieval_precision: Precision = "exact" if precision == "exact" else "fast"
    dtype = gemm_dtype(device, "retrieval", retrieval_precision) or torch.float32
    size = _SIZE["cuda" if device.startswith("cuda") else "cpu"]
    a = torch.linspace(-1, 1, size * size, device=device).view(size, size).to(dtype)
    best = float("inf")
    with full_float32():
        for _ in range(1 + _ROUNDS):  # the first one wakes the device up
            began = time.perf_counter()
            # Reading a number back waits for the device.
            float((a @ a.T)[0, 0])
            best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best
