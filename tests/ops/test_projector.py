import pytest
import torch

from reactions.ops.heads import load_head
from reactions.ops.projector import Projector, project, project_mean
from reactions.ops.tensors import unit


def test_parameter_counts_are_the_published_ones():
    # facts: 3.15 M (512->1024), 2.63 M (512->768), 3.68 M (1024->768), hidden 2048.
    for d_in, d_out, millions in ((512, 1024, 3.15), (512, 768, 2.63), (1024, 768, 3.68)):
        count = sum(p.numel() for p in Projector(d_in, d_out, 2048).parameters())
        assert count / 1e6 == pytest.approx(millions, abs=0.01)


def test_state_round_trip_keeps_outputs_and_statistics():
    projector = Projector(6, 4, 8, seed=3)
    x = unit(torch.randn(32, 6, generator=torch.Generator().manual_seed(0)))
    projector.train()
    for _ in range(3):
        projector(x)
    projector.eval()
    rebuilt = load_head("paper", projector.state())
    assert not rebuilt.training
    torch.testing.assert_close(rebuilt(x), projector(x))
    fresh = Projector(6, 4, 8, seed=3).eval()
    # Stale batch-norm statistics must be visible.
    assert not torch.allclose(fresh(x), projector(x), atol=1e-3)


def test_seed_decides_the_weights():
    first, repeated, other = (Projector(5, 3, 4, seed=s).state()["0.weight"] for s in (1, 1, 2))
    assert torch.equal(first, repeated)
    assert not torch.equal(first, other)


def test_project_is_the_renormalised_mean_of_unit_heads():
    heads = [Projector(5, 3, 4, seed=s).eval() for s in range(3)]
    x = unit(torch.randn(7, 5, generator=torch.Generator().manual_seed(1)))
    expected = unit(torch.stack([unit(head.layers(x)) for head in heads]).mean(0))
    torch.testing.assert_close(project(heads, x), expected)
    torch.testing.assert_close(project(heads, x).norm(dim=1), torch.ones(7))


def test_the_mean_of_projectors_keeps_its_length():
    heads = [Projector(5, 3, 4, seed=s).eval() for s in range(3)]
    x = unit(torch.randn(7, 5, generator=torch.Generator().manual_seed(1)))
    mean = project_mean(heads, x)
    torch.testing.assert_close(mean, torch.stack([head(x) for head in heads]).mean(0))
    assert (mean.norm(dim=1) < 0.999).all()
    torch.testing.assert_close(unit(mean), project(heads, x))
