"""Which element type matrix products run in, and on which devices 16 bits are worth it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["fast", "exact"]
"""``exact`` is fp32 throughout; ``fast`` takes 16-bit products where the device has fast ones."""

Purpose: TypeAlias = Literal["retrieval", "training"]


def gemm_dtype(
    device: str | torch.device, purpose: Purpose, precision: Precision = "fast"
) -> torch.dtype | None:
    """Return the 16-bit type that products are fast in on a device, or None for float32.

    On CUDA retrieval takes float16: bounded logits fit its range, and it rounds 8 times finer
    than bfloat16 at the same rate. Training takes bfloat16, whose range needs no loss scaling.
    CPUs multiply bfloat16 alone.

    Args:
        device: where the products will run.
        purpose: what they are for.
        precision: ``exact`` always gives None.
    """
    device = torch.device(device)
    if precision == "exact":
        return None
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if purpose == "retrieval":
            return torch.float16 if capability >= (7, 0) else None
        return torch.bfloat16 if capability >= (8, 0) else None
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_has_bfloat16() else None
    return None


@contextmanager
def full_float32() -> Iterator[None]:
    """Keep float32 products in float32, though the process may have asked for TF32 or less."""
    try:
        asked = torch.get_float32_matmul_precision()
    except RuntimeError:  # refused to a process that has set the newer switch of a backend alone
        cuda: Any = torch.backends.cuda.matmul
        before, cuda.fp32_precision = cuda.fp32_precision, "ieee"
        try:
            yield
        finally:
            cuda.fp32_precision = before
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(asked)


def _cpu_has_bfloat16() -> bool:
    """Tell whether bfloat16 products run on instructions of their own; without, they are slower."""
    mkldnn = torch.backends.mkldnn  # what multiplies 16 bits on CPUs; torch leaves it untyped
    if not (mkldnn.is_available() and mkldnn.enabled):  # type: ignore[no-untyped-call]
        return False
    # Names that came and went between torch versions: an older one just stays in float32.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)
