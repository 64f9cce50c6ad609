import pytest
import torch

from reactions.core.errors import StepError
from reactions.core.types import Item
from reactions.encoding.batch_size import (
    GROWN_ITEMS,
    BatchSize,
    double_fits,
    is_out_of_memory,
    start_items,
    too_large,
)


@pytest.mark.parametrize(
    ("flops", "items"),
    [
        (0, 32),  # unknown
        (1, 256),
        (6e6, 256),
        (3.9e9, 256),
        (4e9, 128),  # 250: sizes are powers of two
        (17e9, 32),
        (334e9, 8),
        (1e15, 8),
    ],
)
def test_heavier_encoders_start_with_smaller_batches(flops, items):
    assert start_items(flops) == items


def test_doubling_needs_twice_the_memory_and_some_headroom():
    assert double_fits(400, 1000)
    assert not double_fits(401, 1000)
    assert double_fits(0, 0)


def test_sizes_double_while_memory_allows():
    size = BatchSize(64)
    size.grow(63, 1, 1000)
    assert size.items == 64  # a short batch tells nothing
    size.grow(64, 500, 1000)
    assert size.items == 64
    size.grow(64, 100, 1000)
    assert size.items == 128
    for _ in range(20):
        size.grow(size.items, 0, 1000)
    assert size.items == GROWN_ITEMS


def test_sizes_halve_for_good():
    size = BatchSize(64)
    size.shrink(64)
    assert size.items == 32
    size.grow(32, 0, 1 << 40)
    assert size.items == 32
    size.shrink(5)  # a short batch did not fit
    assert size.items == 2
    size.shrink(1)
    assert size.items == 1


def test_what_errors_mean():
    for error in (
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ):
        assert is_out_of_memory(error)
    for error in (RuntimeError("shape mismatch"), ValueError("DefaultCPUAllocator")):
        assert not is_out_of_memory(error)
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 58, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_items_that_do_not_fit_are_named():
    error = too_large(Item("x", "image", None))
    assert isinstance(error, StepError)
    assert "image 'x'" in error.what
    assert error.fields["id"] == "x"
