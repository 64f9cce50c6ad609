"""Embedding centres against arithmetic written out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.core.errors import DimensionMismatch
from reactions.ops.centres import (
    class_scores,
    fixed_point,
    medoids,
    nearest,
    padded,
    prototypes,
)


def unit_rows(n, d, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True)).float()


def small_numbers(shape, seed, greatest=3):
    """Rows of few small integers: ties and duplicates are the rule."""
    rows = (
        np.random.default_rng(seed).integers(-greatest, greatest + 1, size=shape).astype(np.float64)
    )
    rows[np.abs(rows).sum(axis=-1) == 0] = 1.0
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=-1, keepdims=True)).float()


def python_integers(rows):
    return [[int(value) for value in row] for row in rows.tolist()]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 10**6), st.integers(1, 45))
@settings(max_examples=60)
def test_the_nearest_rows_are_those_of_brute_force_with_ties_by_order(n, d, seed, k):
    rows = fixed_point(small_numbers((n, d), seed))
    integers = python_integers(rows)
    mean = [sum(column) // n for column in zip(*integers, strict=True)]
    cosines = [sum(a * b for a, b in zip(row, mean, strict=True)) for row in integers]
    by_distance = sorted(range(n), key=lambda i: (-cosines[i], i))[:k]
    assert nearest(rows, rows, k).tolist() == by_distance


@given(st.integers(2, 30), st.integers(2, 16), st.integers(0, 10**6))
@settings(max_examples=40)
def test_the_nearest_rows_agree_with_float64_cosines(n, d, seed):
    rows = unit_rows(n, d, seed)
    mean = rows.double().mean(dim=0)
    cosines = (rows.double() @ mean / mean.norm()).numpy()
    chosen = nearest(fixed_point(rows), fixed_point(rows), n).numpy()
    # Descending to within rounding: rows are of unit norm to 1e-7, and where they nearly cancel, a
    # short mean makes that larger.
    assert (np.diff(cosines[chosen]) < 1e-6 / min(1.0, mean.norm().item())).all()


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_what_is_chosen_does_not_depend_on_how_a_machine_adds_up(seed):
    rows = unit_rows(60, 33, seed)
    order = torch.from_numpy(np.random.default_rng(seed + 1).permutation(33))
    fixed, other = fixed_point(rows), fixed_point(rows[:, order])
    # The columns in another order: float sums differ in the last bits, these do not.
    assert torch.equal(fixed[:, order], other)
    assert torch.equal(nearest(fixed, fixed, 50), nearest(other, other, 50))
    assert torch.equal(medoids(fixed, 7, seed=3), medoids(other, 7, seed=3))


def test_rows_stored_in_half_precision_are_of_unit_norm_again():
    rows = unit_rows(50, 128).half()
    norms = fixed_point(rows).double().norm(dim=1) / 2**26
    assert float((norms - 1).abs().max()) < 1e-6


def test_a_row_of_zeros_stays_zero():
    assert fixed_point(torch.zeros(2, 4)).eq(0).all()


def test_fewer_central_rows_are_the_first_of_more():
    rows = fixed_point(unit_rows(100, 8))
    assert torch.equal(nearest(rows, rows, 50)[:10], nearest(rows, rows, 10))


def test_equal_rows_are_chosen_in_their_order():
    rows = fixed_point(unit_rows(1, 5).repeat(6, 1))
    assert nearest(rows, rows, 4).tolist() == [0, 1, 2, 3]


def test_items_decide_where_they_are_given():
    rows = torch.eye(4)
    items = torch.tensor([[0.0, 0.6, 0.8, 0.0]])
    assert nearest(fixed_point(rows), fixed_point(items), 2).tolist() == [2, 1]


@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 10**6), st.integers(1, 35))
@settings(max_examples=50)
def test_medoids_are_distinct_and_nearest_to_the_means_of_their_clusters(n, d, seed, k):
    rows = fixed_point(small_numbers((n, d), seed))
    chosen = medoids(rows, k, seed=5).tolist()
    assert len(chosen) == min(k, n) == len(set(chosen))
    assert chosen == sorted(chosen)
    if k >= n:
        return
    integers = python_integers(rows)

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    clusters = {medoid: [] for medoid in chosen}
    for place, row in enumerate(integers):
        best = max(range(k), key=lambda i: (cosine(row, integers[chosen[i]]), -i))
        clusters[place if place in clusters else chosen[best]].append(place)
    for medoid, members in clusters.items():
        cluster = [integers[i] for i in members]
        mean = [sum(column) // len(cluster) for column in zip(*cluster, strict=True)]
        greatest = max(cosine(row, mean) for row in cluster)
        assert cosine(integers[medoid], mean) == greatest


def test_medoids_find_clusters_that_are_there():
    axes = torch.eye(5).repeat_interleave(9, dim=0)
    rows = fixed_point(axes + 0.05 * unit_rows(45, 5))
    groups = {
        frozenset(place // 9 for place in medoids(rows, 5, seed=seed).tolist())
        for seed in range(20)
    }
    # From some beginnings k-medoids stays where it is; most find all five.
    assert frozenset(range(5)) in groups


def test_medoids_depend_on_the_seed_alone():
    rows = fixed_point(unit_rows(200, 6))
    assert torch.equal(medoids(rows, 10, seed=1), medoids(rows, 10, seed=1))
    assert any(
        not torch.equal(medoids(rows, 10, seed=1), medoids(rows, 10, seed=seed))
        for seed in range(2, 6)
    )


def brute_force(items, rows, rule, m, k):
    """Score items against lists of rows, in float64."""
    out = np.empty((len(items), len(rows)))
    for i, item in enumerate(items.double().numpy()):
        for c, centres in enumerate(rows):
            cosines = np.sort(centres.double().numpy() @ item)[::-1]
            mean = centres.double().numpy().mean(axis=0)
            out[i, c] = {
                "mean": item @ mean / np.linalg.norm(mean),
                "nearest-row": cosines[0],
                "sum": cosines.sum() / k,
                "top-m": cosines[:m].mean(),
            }[rule]
    return out


@pytest.mark.parametrize("block", [64 << 20, 64])
@pytest.mark.parametrize("rule", ["mean", "nearest-row", "sum", "top-m"])
@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=6),
    st.integers(1, 7),
    st.integers(1, 12),
    st.integers(0, 10**6),
)
@settings(max_examples=30)
def test_rules_are_those_of_brute_force(rule, block, counts, n, m, seed):
    from reactions.ops import centres

    d = 5
    rows = [unit_rows(count, d, seed + c) for c, count in enumerate(counts)]
    items = unit_rows(n, d, seed + 99)
    starts = np.cumsum([0, *counts])
    places = [torch.arange(starts[c], starts[c + 1]) for c in range(len(counts))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(centres, "_BLOCK_BYTES", block)
        stacked, counts_kept = padded(torch.cat(rows), places)
        scores = class_scores(items, stacked, counts_kept, rule=rule, m=m)
    assert counts_kept.tolist() == counts
    assert stacked.shape == (len(counts), max(counts), d)
    expected = brute_force(items, rows, rule, m, max(counts))
    np.testing.assert_allclose(scores.numpy(), expected, atol=2e-6)


def test_the_sum_ranks_as_the_mean_without_rescaling():
    rows = torch.stack([unit_rows(9, 6, seed) for seed in range(7)])
    counts = torch.full((7,), 9)
    items = unit_rows(40, 6, 77)
    by_sum = class_scores(items, rows, counts, rule="sum")
    by_mean = items @ rows.mean(dim=1).T
    assert torch.equal(by_sum.argsort(dim=1), by_mean.argsort(dim=1))
    rescaled = class_scores(items, rows, counts, rule="mean")
    assert not torch.equal(by_sum.argsort(dim=1), rescaled.argsort(dim=1))


def test_the_best_of_one_is_the_nearest_row():
    rows = torch.stack([unit_rows(9, 6, seed) for seed in range(4)])
    counts, items = torch.full((4,), 9), unit_rows(10, 6, 5)
    best = class_scores(items, rows, counts, rule="top-m", m=1)
    assert torch.equal(best, class_scores(items, rows, counts, rule="nearest-row"))


def test_rules_that_need_every_row_have_no_prototype():
    rows, counts = unit_rows(6, 3).view(2, 3, 3), torch.tensor([3, 3])
    assert prototypes(rows, counts, "nearest-row") is None
    assert prototypes(rows, counts, "top-m") is None
    norms = prototypes(rows, counts, "mean").norm(dim=1)
    assert torch.allclose(norms, torch.ones(2))


def test_widths_must_agree():
    with pytest.raises(DimensionMismatch, match="4 dimensions with centres of 3"):
        class_scores(unit_rows(2, 4), torch.zeros(1, 1, 3), torch.tensor([1]), rule="mean")
