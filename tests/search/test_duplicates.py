"""Items that are in an index twice."""

import pytest
from indexed import add, items_of, target_at

from reactions.core.errors import UsageError
from reactions.core.types import Item
from reactions.search.duplicates import duplicates


@pytest.fixture
def index(tmp_path):
    target = target_at(tmp_path / "bundle")
    items = [*items_of("text", 5), Item("again", "text", "text 3"), *items_of("image", 3)]
    return add(tmp_path / "index", target, items, tmp_path / "cache").index


def test_equal_contents(index):
    (group,) = duplicates(index)
    assert group.modality == "text"
    assert group.kept[1].id == "text-3"
    assert [(item.id, cosine) for _, item, cosine in group.others] == [("again", 1.0)]


def test_near_ones_join_the_first_of_their_group(index):
    rows = index.rows("text", range(5))
    cosines = rows @ rows.T
    least = float(sorted(cosines[i, j] for i in range(5) for j in range(i))[-1]) - 1e-4
    groups = [group for group in duplicates(index, near=least) if group.modality == "text"]
    pairs = {
        (group.kept[0], number): cosine
        for group in groups
        for number, item, cosine in group.others
        if item.id != "again"
    }
    ((i, j),) = pairs
    assert pairs[i, j] == pytest.approx(float(cosines[i, j]), abs=1e-5)
    assert i < j


def test_a_low_bar_leaves_one_of_each_modality(index):
    groups = list(duplicates(index, near=1e-9))
    members = [n for g in groups if g.modality == "text" for n, _, _ in g.others]
    assert len(members) == len(set(members))  # nothing is a member twice


@pytest.mark.parametrize("near", [0.0, -0.5, 1.5, float("nan")])
def test_what_is_no_cosine_is_refused(index, near):
    with pytest.raises(UsageError, match="--near"):
        list(duplicates(index, near=near))


def test_too_many_to_compare(index, monkeypatch):
    monkeypatch.setattr("reactions.search.duplicates.MOST_COMPARED", 2)
    with pytest.raises(UsageError, match="too many to compare"):
        list(duplicates(index, near=0.9))
