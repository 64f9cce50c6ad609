"""Which element type matrix products run in, and on which devices 16 bits are worth it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any, Literal, TypeAlias

import torch

logger = logging.getLogger("reactions.kernels")  # which ``-v`` shows

Precision: TypeAlias = Literal["fast", "exact"]
"""``exact`` computes in fp32. ``fast`` takes 16-bit products where the device has fast ones; soft
retrieval on a CPU without draws among keys that weigh little instead."""

Purpose: TypeAlias = Literal["retrieval", "training"]

# torch.mm is a builtin whose signature cannot be inspected, but its docstring has it.
WRITES_FP32 = "out_dtype" in (torch.mm.__doc__ or "")
"""Whether 16-bit products can come out in fp32 on CUDA (torch 2.8)."""


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
        # Tensor cores multiply float16 from 7.0 (Volta) on, bfloat16 from 8.0 (Ampere) on.
        capability = torch.cuda.get_device_capability(device)
        if purpose == "retrieval":
            if capability >= (7, 0) and not WRITES_FP32:
                # Without fp32 results, float16 logits would lose what the shifts gain.
                _report_fp32()
            return torch.float16 if capability >= (7, 0) and WRITES_FP32 else None
        return torch.bfloat16 if capability >= (8, 0) else None
    if device.type == "cpu":
        return torch.bfloat16 if cpu_has_bfloat16() else None
    return None


@lru_cache(maxsize=1)
def _report_fp32() -> None:
    """Say once why ``fast`` is not: with ``-v``."""
    logger.info(
        "torch %s has no 16-bit products with fp32 results, as 2.8 has: retrieval on CUDA is in "
        "fp32, whatever the precision",
        torch.__version__,
    )


@contextmanager
def full_float32() -> Iterator[None]:
    """Keep float32 products in float32, even if the process has chosen TF32 or less.

    Convolutions, too, which torch computes in TF32 on CUDA unless it is told not to.

    The switch is the process's: where workers overlap, the last one to leave turns it back.
    """
    global _inside, _restore
    with _switch:
        if _inside == 0:
            _restore = _full_precision()
        _inside += 1
    try:
        yield
    finally:
        with _switch:
            _inside -= 1
            if _inside == 0:
                _restore()


_switch = Lock()
_inside = 0
_restore: Callable[[], None]


def _full_precision() -> Callable[[], None]:
    """Switch to full float32 products; return a function that restores the settings."""
    restore_products, restore_convolutions = _full_products(), _full_convolutions()

    def restore() -> None:
        restore_convolutions()
        restore_products()

    return restore


def _full_products() -> Callable[[], None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # refused to a process that has set the newer switch of a backend alone
        cuda: Any = torch.backends.cuda.matmul
        cuda_before, cuda.fp32_precision = cuda.fp32_precision, "ieee"
        return lambda: setattr(cuda, "fp32_precision", cuda_before)
    torch.set_float32_matmul_precision("highest")
    return lambda: torch.set_float32_matmul_precision(before)


def _full_convolutions() -> Callable[[], None]:
    cudnn: Any = torch.backends.cudnn
    try:
        before = cudnn.allow_tf32
    except RuntimeError:  # likewise
        conv = cudnn.conv
        conv_before, conv.fp32_precision = conv.fp32_precision, "ieee"
        return lambda: setattr(conv, "fp32_precision", conv_before)
    cudnn.allow_tf32 = False
    return lambda: setattr(cudnn, "allow_tf32", before)


def cpu_has_bfloat16() -> bool:
    """Return whether bfloat16 products have instructions of their own; without, they are slower.

    A process that keeps torch to AVX2 (``ATEN_CPU_CAPABILITY``) has none, whatever the CPU.
    """
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    mkldnn = torch.backends.mkldnn  # what multiplies 16 bits on CPUs; torch leaves it untyped
    if not (mkldnn.is_available() and mkldnn.enabled):  # type: ignore[no-untyped-call]
        return False
    # Names that came and went between torch versions: an older one just stays in float32.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)
