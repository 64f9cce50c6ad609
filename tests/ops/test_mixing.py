import torch

from reactions.ops.mixing import mix, mix_experts
from reactions.ops.tensors import unit

N, D = 9, 6


def rows(seed, length=1.0):
    generator = torch.Generator().manual_seed(seed)
    return length * unit(torch.randn(N, D, generator=generator, dtype=torch.float64))


def test_mix_weights_and_normalises():
    a, b = torch.eye(3), torch.eye(3).roll(1, 0)
    torch.testing.assert_close(mix([(1.0, a)]), a)
    mixed = mix([(0.9, a), (0.1, b)])
    torch.testing.assert_close(mixed, unit(0.9 * a + 0.1 * b))


def test_equation_10_takes_the_mean_as_it_is():
    base, x, y = rows(0), rows(1), rows(2)
    mixed = mix_experts([(0.5, base)], [(0.25, x), (0.25, y)], "eq10")
    torch.testing.assert_close(mixed, unit(0.5 * base + 0.5 * (x + y) / 2))
    torch.testing.assert_close(mix_experts([(1.0, base)], [], "eq10"), base)


def test_unit_gives_the_experts_their_whole_share():
    base, x, y = rows(0), rows(1, 0.9), rows(2, 0.8)
    mixed = mix_experts([(0.5, base)], [(0.25, x), (0.25, y)], "unit")
    torch.testing.assert_close(mixed, unit(0.5 * base + 0.5 * unit((x + y) / 2)))
    # Of other shares, the direction is weighted by each, and the length is their sum.
    mixed = mix_experts([(0.4, base)], [(0.45, x), (0.15, y)], "unit")
    torch.testing.assert_close(mixed, unit(0.4 * base + 0.6 * unit(0.45 * x + 0.15 * y)))


def test_of_one_expert_both_are_the_same():
    base, x = rows(0), rows(1)
    single = [(0.3, x)]
    torch.testing.assert_close(
        mix_experts([(0.7, base)], single, "unit"), mix_experts([(0.7, base)], single, "eq10")
    )
    torch.testing.assert_close(
        mix_experts([(0.7, base)], [(0.3, 0.9 * x)], "unit"), mix([(0.7, base), (0.3, x)])
    )
    torch.testing.assert_close(mix_experts([], [(1.0, x)], "unit"), x)
    torch.testing.assert_close(mix_experts([(1.0, base)], [], "unit"), base)
