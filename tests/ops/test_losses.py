import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.core.errors import DimensionMismatch
from reactions.ops.losses import (
    MIN_DIRECT_TEMPERATURE,
    InfoNCEGradient,
    info_nce,
    pairwise_info_nce,
)

TINY_TILES = 1
"""Cuts every modality into tiles of 64 rows, the fewest."""


def unit_rows(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(x, dim=-1)


def brute_force(x: np.ndarray, y: np.ndarray, temperature: float) -> float:
    total = 0.0
    for a, b in ((x, y), (y, x)):
        for i in range(len(a)):
            logits = a[i] @ b.T / temperature
            peak = logits.max()
            total += peak + np.log(np.exp(logits - peak).sum()) - logits[i]
    return total / (2 * len(x))


def contrast(
    rows: torch.Tensor, targets: torch.Tensor, temperature: float, tile_bytes: int | None = None
) -> tuple[float, torch.Tensor]:
    """Run ``Contrast`` on (s, n, d) rows of any norm."""
    s, n, d = rows.shape
    engine = InfoNCEGradient(
        s,
        len(targets),
        n,
        d,
        temperature=temperature,
        dtype=rows.dtype,
        device="cpu",
        tile_bytes=tile_bytes,
    )
    loss, gradient = engine.gradient(rows.reshape(s * n, d).clone(), targets)
    assert loss.dtype == torch.float32
    return loss.item(), gradient.view(s, n, d)


def reference(
    rows: torch.Tensor, targets: torch.Tensor, temperature: float
) -> tuple[float, torch.Tensor]:
    """The definition and autograd, in float64, on the very same numbers."""
    leaf = rows.double().requires_grad_()
    projected = torch.nn.functional.normalize(leaf, dim=-1)
    loss = pairwise_info_nce(projected, targets.double(), temperature=temperature)
    loss.backward()
    return loss.item(), leaf.grad


def test_info_nce_matches_the_definition():
    x, y = unit_rows((9, 5), 0), unit_rows((9, 5), 1)
    expected = brute_force(x.numpy(), y.numpy(), 0.02)
    assert info_nce(x, y, temperature=0.02).item() == pytest.approx(expected, rel=1e-10)


def test_pairwise_is_the_sum_over_all_pairs():
    x, y = unit_rows((3, 7, 5), 0), unit_rows((2, 7, 5), 1)
    expected = sum(brute_force(a.numpy(), b.numpy(), 0.05) for a in x for b in y)
    assert pairwise_info_nce(x, y, temperature=0.05).item() == pytest.approx(expected, rel=1e-10)


@given(
    s=st.integers(1, 3),
    t=st.integers(1, 3),
    n=st.sampled_from([1, 2, 3, 17, 64, 65, 150]),
    d=st.integers(2, 9),
    temperature=st.sampled_from([1 / 50, 0.07, 1.0, 0.001]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    tile_bytes=st.sampled_from([None, TINY_TILES]),
    seed=st.integers(0, 99),
)
@settings(max_examples=80)
def test_loss_and_gradient_are_those_of_float64(s, t, n, d, temperature, scale, tile_bytes, seed):
    norms = scale * (0.5 + torch.rand(s, n, 1, generator=torch.Generator().manual_seed(seed)))
    rows, targets = unit_rows((s, n, d), seed).float() * norms, unit_rows((t, n, d), seed + 1)
    expected, gradient = reference(rows, targets.float(), temperature)
    loss, derivative = contrast(rows, targets.float(), temperature, tile_bytes)
    # fp32 logits of up to 1/temperature: relative error 1e-6 of that.
    slack = 1e-5 / temperature
    assert loss == pytest.approx(expected, rel=1e-4, abs=s * t * slack)
    # A gradient falls with the norm of its row; times the norm they compare.
    torch.testing.assert_close(
        derivative.double() * norms, gradient * norms, rtol=1e-3, atol=slack / temperature
    )


@given(
    s=st.integers(1, 3),
    t=st.integers(1, 3),
    n=st.sampled_from([2, 17, 150]),
    d=st.sampled_from([8, 33]),
    tile_bytes=st.sampled_from([None, TINY_TILES]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_bfloat16_is_as_near_as_its_rounding_allows(s, t, n, d, tile_bytes, seed):
    temperature = 1 / 50
    rows = (5 * unit_rows((s, n, d), seed)).bfloat16()
    targets = unit_rows((t, n, d), seed + 1)
    targets = (0.7 * unit_rows((t, n, d), seed + 2) + targets).bfloat16()
    targets = torch.nn.functional.normalize(targets.float(), dim=-1).bfloat16()
    expected, gradient = reference(rows, targets, temperature)
    loss, derivative = contrast(rows, targets, temperature, tile_bytes)
    assert derivative.dtype == torch.bfloat16
    # A logit is off by at most 2^-8 of itself when it is rounded, and about as much before, by
    # the rounding of z: 0.4 nats at the very most, and a weight by as large a share.
    assert loss == pytest.approx(expected, abs=0.4 * s * t)
    error = (derivative.double() - gradient).norm() / gradient.norm().clamp_min(
        s * t / temperature / 50
    )
    assert error < 0.2


def test_tiles_change_nothing_but_the_order_of_sums():
    rows, targets = unit_rows((2, 200, 6), 0).float(), unit_rows((3, 200, 6), 1).float()
    untiled, cut = (contrast(rows, targets, 0.02, tiles) for tiles in (None, TINY_TILES))
    assert untiled[0] == pytest.approx(cut[0], rel=1e-6)
    torch.testing.assert_close(untiled[1], cut[1], rtol=1e-4, atol=1e-5)


def test_training_that_has_succeeded_still_gets_its_gradient():
    # Matched weights of 0.9999: in 16 bits E/r + E/c - 2 would be rounding error alone.
    y = torch.nn.functional.normalize(torch.eye(32)[None] + 0.02, dim=-1).bfloat16()
    rows = (y + 0.1 * unit_rows((1, 32, 32), 0)).bfloat16()
    expected, gradient = reference(rows, y, 0.08)
    loss, derivative = contrast(rows, y, 0.08)
    assert loss == pytest.approx(expected, rel=0.02)
    assert expected < 3e-4
    assert (derivative.double() - gradient).norm() / gradient.norm() < 0.06


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_cosines_stay_finite_at_the_papers_temperature(dtype):
    y = torch.nn.functional.normalize(torch.ones(1, 64, 8), dim=-1).to(dtype)
    for sign in (1.0, -1.0):
        loss, gradient = contrast(sign * y, y, 1 / 50)
        assert loss == pytest.approx(np.log(64), rel=1e-5)
        assert torch.isfinite(gradient).all()


def test_duplicates_share_the_probability():
    x = unit_rows((1, 1, 8), 0).expand(1, 6, 8).float()
    loss, _ = contrast(x, x.repeat(2, 1, 1), 1 / 50)
    assert loss == pytest.approx(2 * math.log(6), rel=1e-4)


def test_the_direct_form_has_room_for_the_largest_batch():
    largest = np.log2(np.e) / MIN_DIRECT_TEMPERATURE + 16  # 65,536 terms of the largest size
    assert largest < 127


def test_shapes_must_fit():
    with pytest.raises(DimensionMismatch):
        info_nce(torch.ones(2, 3), torch.ones(3, 3), temperature=1)
    with pytest.raises(DimensionMismatch):
        pairwise_info_nce(torch.ones(1, 2, 3), torch.ones(1, 2, 4), temperature=1)
