import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.errors import DimensionMismatch
from reactions.ops.losses import MIN_DIRECT_TEMPERATURE, info_nce, pairwise_info_nce


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


def test_info_nce_matches_the_definition():
    x, y = unit_rows((9, 5), 0), unit_rows((9, 5), 1)
    expected = brute_force(x.numpy(), y.numpy(), 0.02)
    assert info_nce(x, y, temperature=0.02).item() == pytest.approx(expected, rel=1e-10)


@given(
    p=st.integers(1, 3),
    t=st.integers(1, 3),
    n=st.integers(1, 33),
    d=st.integers(2, 9),
    temperature=st.sampled_from([0.02, 0.07, 1.0, 0.001]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_pairwise_equals_the_sum_of_pairs_and_its_gradient(p, t, n, d, temperature, seed):
    x64, y64 = unit_rows((p, n, d), seed), unit_rows((t, n, d), seed + 1)
    x64.requires_grad_()
    expected = sum(info_nce(x, y, temperature=temperature) for x in x64 for y in y64)
    expected.backward()
    x32 = x64.detach().float().requires_grad_()
    found = pairwise_info_nce(x32, y64.float(), temperature=temperature)
    found.backward()
    # fp32 logits of up to 1/temperature: relative error 1e-6 of that.
    slack = 1e-5 / temperature
    assert found.item() == pytest.approx(expected.item(), rel=1e-4, abs=p * t * slack)
    torch.testing.assert_close(x32.grad.double(), x64.grad, rtol=1e-3, atol=slack / temperature)


def test_extreme_cosines_stay_finite_at_the_papers_temperature():
    y = torch.nn.functional.normalize(torch.ones(1, 64, 8), dim=-1)
    for sign in (1.0, -1.0):
        x = (sign * y).clone().requires_grad_()
        loss = pairwise_info_nce(x, y, temperature=1 / 50)
        loss.backward()
        assert loss.item() == pytest.approx(np.log(64), rel=1e-5)
        assert torch.isfinite(x.grad).all()


def test_the_direct_form_has_room_for_the_largest_batch():
    largest = np.log2(np.e) / MIN_DIRECT_TEMPERATURE + 16  # 65,536 terms of the largest size
    assert largest < 127


def test_shapes_must_fit():
    with pytest.raises(DimensionMismatch):
        info_nce(torch.ones(2, 3), torch.ones(3, 3), temperature=1)
    with pytest.raises(DimensionMismatch):
        pairwise_info_nce(torch.ones(1, 2, 3), torch.ones(1, 2, 4), temperature=1)
