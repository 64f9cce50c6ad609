"""What this hardware multiplies fast, and what is therefore left out of the tables."""

from __future__ import annotations

import torch

from reactions.ops.precision import Purpose, gemm_dtype


def fast_half(device: str | torch.device, purpose: Purpose) -> torch.dtype | None:
    """Return the 16-bit type that the product takes on a device; None where none is fast.

    Without instructions of their own, 16-bit products run tens of times slower than float32: the
    contenders that need them would take hours and tell nothing.
    """
    return gemm_dtype(device, purpose, "fast")


def left_out(device: str | torch.device, what: str) -> str:
    """Return the note under a table from which contenders in 16 bits were left out."""
    kind = "CPU" if torch.device(device).type == "cpu" else "GPU"
    return (
        f"Left out: {what}. This {kind} has no fast 16-bit products, and 'fast' multiplies in "
        "float32 here, as 'exact' does."
    )
