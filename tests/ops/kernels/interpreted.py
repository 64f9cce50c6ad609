"""Triton's kernels give what the eager code gives. Run by ``test_fused``, in Triton's interpreter.

In float16 and float32: the interpreter cuts bfloat16 off where GPUs round.
"""

from dataclasses import replace

import pytest
import torch

from reactions.ops.kernels.choice import tried
from reactions.ops.kernels.operations import EXPONENTIALS, LOGIT_GRADIENTS, OPERATIONS, WEIGHTS

# Weights that overflow are meant to be infinite; numpy, which interprets, warns.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

CASES = [
    # Source modalities of the tile, rows of each, target modalities, rows of those, first row.
    (1, 37, 2, 150, 0),
    (1, 37, 2, 150, 113),
    (1, 64, 1, 128, 64),
    (3, 50, 2, 50, 0),
    (2, 1, 3, 1, 0),
]


def agrees(operation, *arguments):
    """Try Triton's way, as a GPU does, within the tolerance that it is held to there."""

    def eager(*values):
        # Sums of 16-bit weights come out in 16 bits on a CPU, in float32 on a GPU.
        out = operation.eager(*values)
        return out if operation is WEIGHTS else tuple(x.float() for x in out)

    alone = replace(operation, eager=eager, others={"triton": operation.others["triton"]})
    trial, _ = tried(alone, arguments, lambda call: (call(), 1.0)[1])
    assert trial.left_out == {}
    assert set(trial.milliseconds) == {"eager", "triton"}


@pytest.mark.parametrize(("n", "m"), [(5, 3000), (3, 2048), (1, 1)])
def test_weights(n, m):
    draw = torch.Generator().manual_seed(0)
    logits = 9 * torch.randn(n, m, generator=draw) - 8
    agrees(WEIGHTS, logits, torch.float16)


def test_weights_that_overflow_are_infinite_and_tiny_ones_are_kept():
    logits = torch.full((2, 40), -24.0)
    logits[0, 3], logits[1, 5] = 16.5, -torch.inf
    agrees(WEIGHTS, logits, torch.float16)
    weights, totals = WEIGHTS.others["triton"]()(logits, torch.float16)
    assert weights[0, 3].isinf()
    assert totals[0].isinf()
    assert weights[1, 0] == 2.0**-24  # half precision's smallest
    assert totals[1] == pytest.approx(39 * 2.0**-24)


def logits_of(sources, rows, t, n, dtype):
    draw = torch.Generator().manual_seed(1)
    return (2 * torch.randn(sources * rows, t * n, generator=draw)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("sources", "rows", "t", "n", "first"), CASES)
def test_exponentials(sources, rows, t, n, first, dtype):
    agrees(EXPONENTIALS, logits_of(sources, rows, t, n, dtype), t, n, first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("sources", "rows", "t", "n", "first"), CASES)
def test_gradients(sources, rows, t, n, first, dtype):
    weights = logits_of(sources, rows, t, n, dtype).exp2_()
    draw = torch.Generator().manual_seed(2)
    # Slices of larger tensors, as in training.
    joint = torch.rand(sources, n + 1, t, generator=draw).to(dtype)
    per_row, match = joint[:, :rows], joint.transpose(1, 2)[:, :, :rows]
    per_column = torch.rand(sources, t, n, generator=draw).to(dtype)
    scratch = torch.empty_like(weights)
    agrees(LOGIT_GRADIENTS, weights, per_row, per_column, match, first, scratch)


def test_every_operation_has_its_kernel():
    for operation in OPERATIONS:
        assert callable(operation.others["triton"]())
