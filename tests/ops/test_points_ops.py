"""Operations on point clouds against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.core.errors import DataError
from reactions.ops.points import farthest_points, group, knn, subsample, unit_sphere


def cloud(n: int, seed: int = 0, batch: tuple[int, ...] = ()) -> torch.Tensor:
    return torch.randn(*batch, n, 3, generator=torch.Generator().manual_seed(seed))


def slow_farthest(xyz: np.ndarray, k: int, skip_small: bool) -> list[int]:
    """Restate the published kernel, one point at a time."""
    chosen = [0]
    nearest = [float("inf")] * len(xyz)
    for _ in range(1, k):
        best, best_distance = 0, -1.0
        for j, point in enumerate(xyz):
            if skip_small and float((point * point).sum()) <= 1e-3:
                continue
            distance = float(((point - xyz[chosen[-1]]) ** 2).sum())
            nearest[j] = min(nearest[j], distance)
            if nearest[j] > best_distance:
                best, best_distance = j, nearest[j]
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("skip_small", [False, True])
@settings(max_examples=30)
@given(n=st.integers(1, 25), seed=st.integers(0, 9), data=st.data())
def test_farthest_points_are_the_kernels(skip_small, n, seed, data):
    # Whole numbers: distances are exact, and ties are many.
    xyz = cloud(n, seed).mul(2).round() if data.draw(st.booleans()) else cloud(n, seed)
    if data.draw(st.booleans()):
        xyz[data.draw(st.integers(0, n - 1))] = 0.01
    k = data.draw(st.integers(1, n))
    expected = slow_farthest(xyz.double().numpy(), k, skip_small)
    assert farthest_points(xyz.double(), k, skip_small=skip_small).tolist() == expected


def test_points_near_the_origin_are_skipped_by_name_alone():
    xyz = torch.tensor([[1.0, 0, 0], [0.01, 0, 0], [0.9, 0, 0]])
    assert farthest_points(xyz, 2).tolist() == [0, 1]
    assert farthest_points(xyz, 2, skip_small=True).tolist() == [0, 2]
    assert farthest_points(xyz * 0.01, 3, skip_small=True).tolist() == [0, 0, 0]


@settings(max_examples=30)
@given(m=st.integers(1, 9), n=st.integers(1, 20), seed=st.integers(0, 9), data=st.data())
def test_neighbours_are_those_of_brute_force(m, n, seed, data):
    queries, points = cloud(m, seed), cloud(n, seed + 1)
    k = data.draw(st.integers(1, n))
    rows = knn(queries, points, k)
    distances = np.linalg.norm(queries.numpy()[:, None] - points.numpy()[None], axis=-1)
    np.testing.assert_array_equal(rows.numpy(), np.argsort(distances, axis=1, kind="stable")[:, :k])


def test_neighbours_in_pieces_are_the_same(monkeypatch):
    queries, points = cloud(40, batch=(2,)), cloud(60, 1, batch=(2,))
    at_once = knn(queries, points, 5)
    monkeypatch.setattr("reactions.ops.points._DISTANCES_AT_ONCE", 500)
    assert torch.equal(knn(queries, points, 5), at_once)


def test_clouds_of_a_batch_are_treated_for_themselves():
    xyz = cloud(30, batch=(2, 2))
    chosen = farthest_points(xyz, 7)
    rows = knn(group(xyz, chosen), xyz, 4)
    groups = group(xyz, rows)
    assert (chosen.shape, rows.shape, groups.shape) == ((2, 2, 7), (2, 2, 7, 4), (2, 2, 7, 4, 3))
    for i in range(2):
        for j in range(2):
            points = xyz[i, j]
            assert torch.equal(chosen[i, j], farthest_points(points, 7))
            assert torch.equal(rows[i, j], knn(points[chosen[i, j]], points, 4))
            assert torch.equal(groups[i, j], points[rows[i, j]])


def test_a_unit_sphere():
    xyz = cloud(50, batch=(3,)) * 7 + 100
    scaled = unit_sphere(xyz)
    assert scaled.mean(dim=-2).abs().max() < 1e-4  # float32 at a distance of 100
    np.testing.assert_allclose(scaled.norm(dim=-1).amax(dim=-1), 1, rtol=1e-6)
    for original, small in zip(xyz, scaled, strict=True):  # shape is kept
        ratio = torch.pdist(small) / torch.pdist(original)
        np.testing.assert_allclose(ratio, ratio[0].item(), rtol=1e-4)
    with pytest.raises(DataError, match="cannot be scaled"):
        unit_sphere(torch.ones(5, 3))


def test_samples_are_seeded_and_in_order():
    points = torch.arange(100.0)[:, None].expand(100, 6)
    sample = subsample(points, 10)
    assert sample.shape == (10, 6)
    assert (sample[1:] > sample[:-1]).all()
    assert torch.equal(sample, subsample(points, 10))
    assert not torch.equal(sample, subsample(points, 10, seed=1))
    # The numbers come from a hash, so that no version of torch changes them.
    assert sample[:, 0].int().tolist() == GOLDEN
    assert torch.equal(subsample(points, 100), points)
    assert torch.equal(subsample(points[:4], 10)[:, 0], torch.arange(10.0) % 4)


GOLDEN = [0, 6, 8, 31, 32, 48, 51, 52, 93, 97]


def test_samples_are_fair():
    points = torch.arange(20.0)[:, None]
    samples = torch.cat([subsample(points, 5, seed=seed) for seed in range(2000)]).long()
    counts = torch.bincount(samples.flatten(), minlength=20)
    # Each is taken in a quarter of 2000 samples; four standard deviations of 19 are 78.
    assert counts.min() > 422
    assert counts.max() < 578


@pytest.mark.parametrize("k", [0, 6])
def test_there_must_be_enough(k):
    with pytest.raises(DataError):
        farthest_points(cloud(5), k)
    with pytest.raises(DataError):
        knn(cloud(2), cloud(5), k)
