import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reactions.ops.losses import pairwise_info_nce
from reactions.ops.projector import Projector
from reactions.ops.projector_step import ProjectorTrainer
from reactions.ops.tensors import unit

TRAINED = ("0.weight", "1.weight", "1.bias", "3.weight", "4.weight", "4.bias")
STATISTICS = ("1.running_mean", "1.running_var", "4.running_mean", "4.running_var")


def batch(s: int, t: int, n: int, d_in: int, d_out: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit rows of s and t modalities, about the same items."""
    draw = torch.Generator().manual_seed(seed)
    items = torch.randn(n, 12, generator=draw)
    sides = []
    for modalities, dim in ((s, d_in), (t, d_out)):
        turn = torch.randn(modalities, 12, dim, generator=draw)
        noise = torch.randn(modalities, n, dim, generator=draw)
        sides.append(unit(items @ turn + noise))
    return sides[0], sides[1]


def untrained(d_in: int, hidden: int, d_out: int, seed: int = 0) -> Projector:
    """A projector whose scales and shifts are not the neutral ones it starts with."""
    projector = Projector(d_in, d_out, hidden, seed=seed).train()
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name in ("1.weight", "4.weight"):
            scale = projector.layers.get_parameter(name)
            scale.copy_(0.5 + torch.rand(scale.shape, generator=draw))
        for name in ("1.bias", "4.bias"):
            shift = projector.layers.get_parameter(name)
            shift.copy_(0.2 * torch.randn(shift.shape, generator=draw))
    return projector


def trainer_of(projector: Projector, x: Tensor, y: Tensor, **options) -> ProjectorTrainer:
    options = {"temperature": 1 / 50, "learning_rate": 1e-3, "dtype": torch.float32, **options}
    return ProjectorTrainer(projector, len(x), len(y), x.shape[1], **options)


def by_autograd(
    projector: Projector, x: Tensor, y: Tensor, temperature: float
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of the definition, by autograd through the module, in float64."""
    module = copy.deepcopy(projector).double()
    out = module(x.double().flatten(0, 1)).view(len(x), x.shape[1], -1)
    loss = pairwise_info_nce(out, y.double(), temperature=temperature)
    loss.backward()
    return loss.item(), {name: module.layers.get_parameter(name).grad for name in TRAINED}


def distance(actual: Tensor, expected: Tensor) -> float:
    """Relative error in norm."""
    return float((actual.double() - expected).norm() / expected.norm().clamp_min(1e-12))


@given(
    s=st.integers(1, 3),
    t=st.integers(1, 3),
    n=st.sampled_from([3, 17, 65, 96]),
    dims=st.sampled_from([(7, 13, 5), (16, 32, 24), (33, 64, 20)]),
    temperature=st.sampled_from([1 / 50, 0.2, 0.005]),
    tile_bytes=st.sampled_from([None, 1]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_gradients_are_those_of_autograd_in_float64(s, t, n, dims, temperature, tile_bytes, seed):
    d_in, hidden, d_out = dims
    x, y = batch(s, t, n, d_in, d_out, seed)
    projector = untrained(d_in, hidden, d_out, seed)
    expected, gradients = by_autograd(projector, x, y, temperature)
    trainer = trainer_of(projector, x, y, temperature=temperature, tile_bytes=tile_bytes)
    assert trainer.backward(x, y).item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    for name in TRAINED:
        # fp32 logits of 50 and more are good to 1e-5; three rows leave some units without slope,
        # and a hidden value within rounding of zero may fall on either side of the ReLU.
        assert distance(trainer.gradients[name], gradients[name]) < 2e-3, name


@given(
    s=st.integers(1, 3),
    t=st.integers(1, 3),
    n=st.sampled_from([65, 128]),
    tile_bytes=st.sampled_from([None, 1]),
    seed=st.integers(0, 99),
)
@settings(max_examples=20)
def test_bfloat16_gradients_are_near_those_of_float64(s, t, n, tile_bytes, seed):
    x, y = (side.bfloat16() for side in batch(s, t, n, 32, 24, seed))
    projector = untrained(32, 64, 24, seed)
    expected, gradients = by_autograd(projector, x, y, 1 / 50)
    trainer = trainer_of(projector, x, y, dtype=torch.bfloat16, tile_bytes=tile_bytes)
    # Logits of up to 50 are off by up to 0.2 nats each, in either direction.
    assert trainer.backward(x, y).item() == pytest.approx(expected, rel=2e-3, abs=0.05)
    for name in TRAINED:
        # Seven products of 8-bit significands; another batch differs by more than 1.
        assert distance(trainer.gradients[name], gradients[name]) < 0.15, name
        assert trainer.gradients[name].dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_rows_and_duplicates_stay_finite(dtype):
    two = batch(1, 1, 2, 6, 4)
    same = tuple(side[:, :1].expand(-1, 8, -1).contiguous() for side in batch(3, 2, 8, 6, 4))
    for x, y in (two, same):
        projector = untrained(6, 10, 4)
        trainer = trainer_of(projector, x, y, dtype=dtype)
        for _ in range(3):
            assert torch.isfinite(trainer.step(x.to(dtype), y.to(dtype)))
        assert all(torch.isfinite(value).all() for value in projector.state().values())
    projector.eval()
    assert torch.isfinite(projector(x.flatten(0, 1).float())).all()


def test_running_statistics_are_those_of_batch_norm():
    projector = untrained(16, 32, 24)
    module = copy.deepcopy(projector)
    trainer = None
    for seed in range(5):
        x, y = batch(3, 2, 40, 16, 24, seed)
        trainer = trainer or trainer_of(projector, x, y)
        trainer.backward(x, y)
        module(x.flatten(0, 1))  # the rows of all modalities together
    statistics, expected = projector.state(), module.state()
    for name in STATISTICS:
        torch.testing.assert_close(statistics[name], expected[name], rtol=1e-5, atol=1e-6)
    # Nothing was updated, so at inference both are the same function; and statistics matter:
    rows = batch(3, 2, 40, 16, 24, 9)[0].flatten(0, 1)
    torch.testing.assert_close(projector.eval()(rows), module.eval()(rows), rtol=0, atol=1e-5)
    assert not torch.allclose(untrained(16, 32, 24).eval()(rows), module(rows), atol=1e-2)


def test_bfloat16_keeps_statistics_in_float32():
    x, y = batch(3, 2, 64, 16, 24)
    projector = untrained(16, 32, 24)
    module = copy.deepcopy(projector)
    trainer_of(projector, x, y, dtype=torch.bfloat16).backward(x.bfloat16(), y.bfloat16())
    module(x.flatten(0, 1))
    for name in STATISTICS:
        statistics = projector.state()[name]
        assert statistics.dtype == torch.float32
        # The rows were rounded to 8 bits, their mean and variance were not.
        torch.testing.assert_close(statistics, module.state()[name], rtol=1e-2, atol=1e-3)


def test_steps_are_adams():
    x, y = batch(2, 3, 32, 16, 24)
    projector = untrained(16, 32, 24)
    module = copy.deepcopy(projector)
    trainer = trainer_of(projector, x, y, learning_rate=1e-2)
    parameters = [module.layers.get_parameter(name) for name in TRAINED]
    plain = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(4):
        out = module(x.flatten(0, 1)).view(2, 32, -1)
        loss = pairwise_info_nce(out, y, temperature=1 / 50)
        plain.zero_grad()
        loss.backward()
        plain.step()
        assert trainer.step(x, y).item() == pytest.approx(loss.item(), rel=1e-4)
    for name, value in module.state().items():
        # Adam divides by the gradient's size: where that is rounding, steps differ by a part.
        torch.testing.assert_close(projector.state()[name], value, rtol=1e-2, atol=1e-3)


def test_biases_that_batch_norm_cancels_are_left_alone():
    x, y = batch(2, 2, 32, 16, 24)
    projector = untrained(16, 32, 24)
    trainer = trainer_of(projector, x, y)
    for _ in range(5):
        trainer.step(x, y)
    state = projector.state()
    assert not state["0.bias"].any()
    assert not state["3.bias"].any()


def test_the_projector_sees_every_update():
    x, y = batch(2, 2, 32, 16, 24)
    projector = untrained(16, 32, 24)
    before = projector.state()
    trainer_of(projector, x, y, dtype=torch.bfloat16).step(x.bfloat16(), y.bfloat16())
    after = projector.state()
    assert all(not torch.equal(before[name], after[name]) for name in (*TRAINED, *STATISTICS))
    assert all(value.dtype == torch.float32 for value in after.values())
