import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DimensionMismatch
from reactions.ops.geometry import mean_distance, neighbours, shared, silhouette


def rows_of(seed, n=12, d=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, d, generator=generator), dim=-1)


def slow_silhouette(rows, labels):
    out = []
    for i, cluster in enumerate(labels):
        means = {}
        for name in set(labels):
            others = [j for j, label in enumerate(labels) if label == name and j != i]
            if others:
                means[name] = sum(float((rows[i] - rows[j]).norm()) for j in others) / len(others)
        if cluster not in means:
            out.append(0.0)
            continue
        a, b = means[cluster], min(v for name, v in means.items() if name != cluster)
        out.append((b - a) / max(a, b))
    return out


@given(st.integers(0, 1000), st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_silhouettes_are_those_of_the_definition(seed, labels):
    if len(set(labels)) < 2:
        return
    rows = rows_of(seed).double()
    width = silhouette(rows, torch.tensor(labels))
    assert width.tolist() == pytest.approx(slow_silhouette(rows, labels), abs=1e-9)


def test_a_row_that_is_alone_has_no_silhouette():
    width = silhouette(rows_of(1, n=4), torch.tensor([0, 1, 1, 1]))
    assert width[0] == 0
    assert (width[1:] != 0).all()


def test_equal_rows_have_no_silhouette():
    assert silhouette(torch.ones(4, 2), torch.tensor([0, 0, 1, 1])).tolist() == [0, 0, 0, 0]


def test_silhouettes_need_two_labels():
    with pytest.raises(DimensionMismatch, match="1 labels of 3 for 3 rows"):
        silhouette(rows_of(0, n=3), torch.zeros(3, dtype=torch.int64))


def test_the_gap_is_the_mean_distance_of_the_means():
    groups = [torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[-1.0, 0.0]]), rows_of(3, d=2)]
    means = [group.mean(dim=0) for group in groups]
    expected = [float((x - y).norm()) for x, y in itertools.combinations(means, 2)]
    assert mean_distance(groups) == pytest.approx(sum(expected) / 3)
    assert mean_distance([groups[0], groups[0]]) == 0


@pytest.mark.parametrize("groups", [[], [torch.ones(2, 2)], [torch.ones(2, 2), torch.ones(0, 2)]])
def test_a_gap_lies_between_groups_with_rows(groups):
    with pytest.raises(DimensionMismatch):
        mean_distance(groups)


@given(st.integers(0, 1000), st.integers(1, 11))
def test_neighbours_are_the_nearest_other_rows(seed, k):
    rows = rows_of(seed)
    nearest = neighbours(rows, k)
    for i in range(len(rows)):
        order = sorted(
            (-float(rows[i].double() @ rows[j].double()), j) for j in range(12) if j != i
        )
        assert [-s for s, _ in order[:k]] == pytest.approx(
            [float(rows[i].double() @ rows[j].double()) for j in nearest[i]]
        )
        assert i not in nearest[i]


def test_equally_near_neighbours_come_in_order():
    rows = torch.tensor([[1.0, 0.0]] * 4)
    assert neighbours(rows, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


@pytest.mark.parametrize("k", [0, 12])
def test_there_must_be_as_many_neighbours(k):
    with pytest.raises(DimensionMismatch):
        neighbours(rows_of(0), k)


def test_the_share_of_neighbours_with_the_same_label():
    labels = torch.tensor([0, 0, 1])
    assert shared(labels, torch.tensor([[1, 2], [0, 2], [0, 1]])).tolist() == [0.5, 0.5, 0.0]
