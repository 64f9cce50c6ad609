"""How many items go through an encoder at once, and what to do when memory runs out."""

from __future__ import annotations

import sys
from typing import Final, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from reactions.core.errors import StepError
from reactions.core.types import Encoder, Item, Modality, StagedEncoder

START_FLOPS: Final = 1e12
"""A batch of about this many operations hides what calling an encoder costs."""

UNKNOWN_ITEMS: Final = 32
"""Items a batch where an encoder does not tell its operations an item."""

LEAST_ITEMS: Final = 8
MOST_ITEMS: Final = 256
"""Bounds of the size that is started with."""

GROWN_ITEMS: Final = 1024
"""Where growing ends: larger batches are no faster."""

HEADROOM: Final = 1.25
"""Memory is fragmented, and the items of the next batch may be longer."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the host or the device has no memory left."""
    if isinstance(error, MemoryError):
        return True
    if (torch := sys.modules.get("torch")) is None:
        return False
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    # On the host torch raises a plain RuntimeError, as do cuBLAS for its workspace and CUDA for
    # pinned memory and whatever else torch's allocator does not hand out.
    reasons = (
        "DefaultCPUAllocator",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUBLAS_STATUS_NOT_INITIALIZED",
        "CUDA error: out of memory",
    )
    return isinstance(error, RuntimeError) and any(reason in str(error) for reason in reasons)


def free_device_memory(device: str) -> None:
    """Give cached device memory back after something big was dropped."""
    if device.startswith("cuda") and (torch := sys.modules.get("torch")) is not None:
        torch.cuda.empty_cache()


def too_large(item: Item) -> StepError:
    """Return the error for an item that does not fit into memory even alone."""
    return StepError(
        f"out of memory at {item.modality} '{item.id}'",
        why="it does not fit even alone",
        fix="leave it out, or close other programs",
        id=item.id,
    )


def start_items(flops_per_item: float) -> int:
    """Return how many items a first batch takes, a power of two in [8, 256].

    Args:
        flops_per_item: of the encoder; 0 if unknown.
    """
    if flops_per_item <= 0:
        return UNKNOWN_ITEMS
    n_items = int(min(MOST_ITEMS, max(LEAST_ITEMS, START_FLOPS / flops_per_item)))
    return 1 << (n_items.bit_length() - 1)


def double_fits(peak_bytes: int, free_bytes: int) -> bool:
    """Return whether a batch of twice the size would fit.

    Args:
        peak_bytes: what the present batch held at most, beside the weights.
        free_bytes: free now that it is done.
    """
    return 2 * peak_bytes * HEADROOM <= free_bytes


class BatchSize:
    """The size of an encoder's batches: starts low, and learns from what happens.

    Args:
        items: to start with.

    Attributes:
        items: the size to use next.
    """

    def __init__(self, items: int) -> None:
        self.items = items
        self._most = GROWN_ITEMS

    def shrink(self, failed_items: int) -> None:
        """A batch did not fit: half of it from now on, and never again so many."""
        # Of what failed, which may be less than the size: the last batch of a window is short.
        self.items = self._most = max(1, failed_items // 2)

    def grow(self, done_items: int, peak_bytes: int, free_bytes: int) -> None:
        """A batch fitted: double the size if that fits too; short batches tell nothing."""
        may_grow = done_items >= self.items and 2 * self.items <= self._most
        if may_grow and double_fits(peak_bytes, free_bytes):
            self.items *= 2


_SIZES: WeakKeyDictionary[Encoder, dict[Modality, BatchSize]] = WeakKeyDictionary()
"""What was learned about encoders that are loaded, for their next stream."""


@runtime_checkable
class SizedEncoder(Encoder, Protocol):
    """An encoder that knows how large its batches are: a product of others does."""

    def batch_size(self, modality: Modality) -> BatchSize:
        """Return the size of its next batch, to learn from what happens."""


def size_for(encoder: Encoder, modality: Modality) -> BatchSize:
    """Return the size of an encoder's batches, with what its earlier streams have taught."""
    if isinstance(encoder, StagedEncoder):
        items = start_items(flops_per_item(encoder, modality))
    else:
        items = MOST_ITEMS  # it may split them as it likes
    try:
        return _SIZES.setdefault(encoder, {}).setdefault(modality, BatchSize(items))
    except TypeError:  # anyone's encoder: without a hash, or without weak references
        return BatchSize(items)


def flops_per_item(encoder: Encoder, modality: Modality) -> float:
    """Return the operations that an encoder says an item takes; 0 if it does not say."""
    return dict(encoder.spec.flops_per_item).get(modality, 0.0)
