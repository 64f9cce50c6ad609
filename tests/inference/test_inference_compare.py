"""Similarity tables."""

import numpy as np
import pytest

from reactions.core.errors import UsageError
from reactions.core.types import Item
from reactions.inference.similarity import compare, label


def unit(*row: float) -> np.ndarray:
    array = np.array(row, np.float32)
    return array / np.linalg.norm(array)


def test_a_table_for_each_pair_of_modalities_in_order():
    items = [Item(str(i), m, None) for i, m in enumerate(["text", "image", "text", "audio"])]
    rows = np.stack([unit(1, 0), unit(1, 1), unit(0, 1), unit(-1, 0)])
    tables = compare([(items[:3], rows[:3]), (items[3:], rows[3:])])
    assert [(t.left, t.right) for t in tables] == [
        ("audio", "image"),
        ("audio", "text"),
        ("image", "text"),
    ]
    assert [item.id for item in tables[2].columns] == ["0", "2"]
    half = 0.5**0.5
    # Sums of two products in single precision: a few units in the last place.
    for table, expected in zip(tables, [[[-half]], [[-1, 0]], [[half, half]]], strict=True):
        np.testing.assert_allclose(table.cosines, expected, atol=1e-6)


def test_a_single_modality_is_compared_within():
    items = [Item(i, "text", i) for i in "ab"]
    [table] = compare([(items, np.stack([unit(1, 0), unit(0, 1)]))])
    assert (table.left, table.right) == ("text", "text")
    np.testing.assert_array_equal(table.cosines, np.eye(2))
    assert compare([]) == []


def test_too_many_items_stop_the_stream_early():
    def stream():
        for _ in range(2):
            yield [Item("a", "text", "a")] * 3, np.ones((3, 1), np.float32)
        raise AssertionError("read on")

    with pytest.raises(UsageError, match="more than 5 items"):
        compare(stream(), max_items=5)
    assert len(compare([next(stream())], max_items=3)) == 1


def test_labels(tmp_path):
    assert label(Item("7", "text", "rain")) == "rain"
    assert label(Item("7-rain", "text", "it rains")) == "7-rain"
    assert label(Item("7", "image", tmp_path / "dog.png")) == "dog.png"
    assert label(Item("dog", "image", tmp_path / "7.png")) == "dog"
    assert label(Item("7", "image", None)) == "7"
