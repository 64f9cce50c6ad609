"""Which of the items that a search has seen are best, and which of equal ones come first."""

import numpy as np
import pytest

from reactions.search.best import TIE, Best


def ranked(k, *blocks):
    best = Best(k)
    for order, scores, numbers in blocks:
        best.add(np.array(scores, np.float32), np.array(numbers), order)
    return [(order, number) for _, order, number in best.sorted()]


def test_the_best_come_first_whatever_block_they_are_in():
    blocks = [(0, [0.1, 0.9, 0.5], [0, 1, 2]), (0, [0.7, -np.inf, 0.2], [3, 4, 5])]
    assert ranked(3, *blocks) == [(0, 1), (0, 3), (0, 2)]
    assert ranked(9, *blocks) == [(0, 1), (0, 3), (0, 2), (0, 5), (0, 0)]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_what_differs_by_rounding_goes_by_what_was_added_first(k):
    one_bit = float(np.nextafter(np.float32(0.6625), np.float32(1)))
    first, copy = (0, [0.2, 0.6625], [0, 1]), (0, [one_bit, 0.3], [2, 3])
    assert ranked(k, first, copy)[:2] == [(0, 1), (0, 2)][:k]
    assert ranked(k, copy, first)[:2] == [(0, 1), (0, 2)][:k], "candidates come in any order"
    assert ranked(k, (1, [0.6625], [0]), copy)[:2] == [(0, 2), (1, 0)][:k]


def test_ties_have_one_score():
    best = Best(3)
    best.add(np.array([0.5, 0.5 + TIE / 2, 0.4], np.float32), np.arange(3), 0)
    scores = [score for score, _, _ in best.sorted()]
    assert scores[0] == scores[1] == pytest.approx(0.5, abs=TIE)
    assert scores[2] == pytest.approx(0.4)


def test_what_differs_by_more_is_no_tie():
    assert ranked(1, (0, [0.5, 0.5 + 3 * TIE], [0, 1])) == [(0, 1)]


def test_many_ties_are_cut_to_those_that_were_added_first():
    best = Best(3)
    for start in range(0, 1000, 100):
        best.add(np.ones(100, np.float32), np.arange(start, start + 100)[::-1], 0)
    assert [number for _, _, number in best.sorted()] == [0, 1, 2]
    assert len(best._scores) == 3
