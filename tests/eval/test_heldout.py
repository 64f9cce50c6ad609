import numpy as np
import pytest

from reactions.eval.heldout import Ranking, best_sum, loss, weightings


def ranking(there, back=None):
    return Ranking(np.array(there), np.array(there if back is None else back))


def test_ranks_count_ties_against():
    scores = np.array([[0.9, 0.9, 0.1], [0.2, 0.5, 0.1], [0.3, 0.4, 0.2]], np.float32)
    ranks = Ranking.of(scores)
    assert ranks.there.tolist() == [2, 1, 3]
    assert ranks.back.tolist() == [1, 2, 1]
    assert ranks.recall(1) == pytest.approx(50)
    assert ranks.to_json()["there"]["R@1"] == pytest.approx(100 / 3)
    assert Ranking.of(np.ones((4, 4), np.float32)).there.tolist() == [4] * 4  # a collapsed space


def test_recall_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(30, 30)).astype(np.float32)
    ranks = Ranking.of(scores)
    for k in (1, 10):
        top = np.argsort(-scores, axis=1)[:, :k], np.argsort(-scores.T, axis=1)[:, :k]
        hits = [(best_rows == np.arange(30)[:, None]).any(1).mean() for best_rows in top]
        assert ranks.recall(k) == pytest.approx(100 * np.mean(hits))


def test_a_loss_is_told_from_one_point_on():
    good, same = ranking([1] * 99 + [11]), ranking([1] * 98 + [11] * 2)
    assert loss(same, {"A": good}) is None  # one point exactly
    worse = loss(ranking([1] * 97 + [11] * 3), {"A": good, "B": same})
    assert (worse.part, worse.metric, worse.difference.mean) == ("A", "R@10", pytest.approx(-2))
    assert loss(good, {}) is None


def test_what_is_certain_is_told_first():
    product = ranking([2] * 60 + [11] * 2 + [1] * 38)
    part = ranking([1] * 100)
    # R@10 loses two points, which may be chance; R@1 loses 62, which is not.
    verdict = loss(product, {"A": part})
    assert (verdict.metric, verdict.difference.high < 0) == ("R@1", True)
    alone = loss(ranking([1] * 98 + [11] * 2), {"A": ranking([1] * 96 + [2] * 4)})
    assert (alone.metric, alone.difference.high) == ("R@10", 0)


def test_weights_sum_to_one():
    assert [w for w, _ in weightings(2)] == pytest.approx([k / 10 for k in range(1, 10)])
    for n in (2, 3, 4, 7):
        weights_tried = list(weightings(n))
        assert all(len(w) == n and sum(w) == pytest.approx(1) and min(w) > 0 for w in weights_tried)
    assert list(weightings(7)) == [(1 / 7,) * 7]


def test_the_best_sum_is_found():
    rng = np.random.default_rng(1)
    good = (np.eye(40) + 0.1 * rng.normal(size=(40, 40))).astype(np.float32)
    noise = rng.normal(size=(40, 40)).astype(np.float32)
    weights, best_ranking = best_sum([good, noise])
    assert weights[0] == 0.9
    assert best_ranking.merit() == max(
        Ranking.of(a * good + b * noise).merit() for a, b in weightings(2)
    )
