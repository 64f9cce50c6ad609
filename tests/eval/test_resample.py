import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DimensionMismatch
from reactions.eval import bootstrap, metrics
from reactions.eval.bootstrap import (
    bootstrap_difference,
    bootstrap_mean,
    bootstrap_strata,
    recall_by_item,
    student_interval,
)


def test_interval_matches_the_normal_theory() -> None:
    values = np.random.default_rng(0).normal(5, 2, size=400)
    mean, low, high = bootstrap_mean(values, n_resamples=4000, seed=1)
    assert mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    # 4,000 resamples place a 2.5% quantile within about 5% of the half-width.
    assert low == pytest.approx(mean - half, abs=0.1 * half)
    assert high == pytest.approx(mean + half, abs=0.1 * half)


def test_seeds_decide_and_chunks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(20.0)
    first = bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) == first
    assert bootstrap_mean(values, seed=4) != first
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 60)
    assert bootstrap_mean(values[:, None], seed=3) == first


def test_confidence_widens() -> None:
    values = np.arange(20.0)
    narrow, wide = (bootstrap_mean(values, confidence=c) for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_captions_of_one_item_are_one_observation() -> None:
    items = (np.random.default_rng(0).random(200) < 0.5).astype(float)
    captions, owner = np.repeat(items, 5), np.repeat(np.arange(200), 5)
    alone = bootstrap_mean(items)
    clustered = bootstrap_mean(captions, clusters=owner)
    naive = bootstrap_mean(captions)
    assert clustered == pytest.approx(alone)
    # Treating the five as independent would shrink the interval by sqrt(5).
    shrink = (naive.high - naive.low) / (clustered.high - clustered.low)
    assert shrink == pytest.approx(5**-0.5, abs=0.06)


def test_uneven_clusters_weigh_by_size() -> None:
    interval = bootstrap_mean([1.0, 0.0, 0.0, 0.0], clusters=[7, 2, 2, 2], n_resamples=500)
    # Two clusters: drawing one twice gives 1 or 0, both give 1/4.
    assert interval == (0.25, 0.0, 1.0)


def test_pairing_removes_what_both_share() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 10, size=100)
    x, y = difficulty + 1, difficulty + rng.normal(0, 0.1, size=100)
    interval = bootstrap_difference(x, y)
    assert interval.low > 0.9
    assert interval.high < 1.1
    assert bootstrap_difference(y, x).mean == pytest.approx(-interval.mean)
    assert bootstrap_difference(x, x) == (0, 0, 0)


def test_absent_classes_are_left_out_together() -> None:
    assert bootstrap_mean([1.0, np.nan, 1.0]) == (1, 1, 1)
    assert bootstrap_difference([1.0, np.nan, 3.0], [0.0, 1.0, np.nan]) == (1, 1, 1)


def test_strata_weigh_alike_whatever_their_size() -> None:
    long_stratum, short_stratum = np.zeros(300), np.ones(3)
    assert bootstrap_strata([long_stratum, short_stratum]) == (0.5, 0.5, 0.5)
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, size=100), rng.normal(3, 2, size=400)
    interval = bootstrap_strata([first, second], n_resamples=4000)
    assert interval.mean == pytest.approx((first.mean() + second.mean()) / 2)
    # Drawn within each stratum, so the gap between their means adds nothing.
    half = 1.96 * np.hypot(first.std() / 10, second.std() / 20) / 2
    assert interval.low == pytest.approx(interval.mean - half, abs=0.1 * half)
    assert interval.high == pytest.approx(interval.mean + half, abs=0.1 * half)
    assert bootstrap_strata([first], seed=1) == bootstrap_strata([first], seed=1)
    with pytest.raises(DimensionMismatch):
        bootstrap_strata([])


def test_mismatched_input() -> None:
    for call in (
        lambda: bootstrap_mean([]),
        lambda: bootstrap_mean([np.nan]),
        lambda: bootstrap_mean([1, 2], clusters=[1]),
        lambda: bootstrap_difference([1, 2], [1]),
    ):
        with pytest.raises(DimensionMismatch):
            call()


@given(st.data())
def test_recall_by_item_averages_to_the_mean_recall(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    owner = [*range(n), *data.draw(st.lists(st.integers(0, n - 1), max_size=9))]
    ranks = st.integers(1, 4)
    forward = np.array([data.draw(ranks) for _ in owner], np.int32)[:, None]
    backward = np.array([data.draw(ranks) for _ in range(n)], np.int32)[:, None]
    items = recall_by_item(forward, backward, owner, 2)
    assert items.shape == (n,)
    expected = (metrics.recall_at(forward, 2) + metrics.recall_at(backward, 2)) / 2
    assert items.mean() == pytest.approx(expected, abs=1e-12)


def test_students_interval_covers_95_in_100() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 10, 60):
        drawn = [student_interval(rng.normal(3.0, 2.0, n)) for _ in range(2000)]
        inside = np.mean([x.low <= 3.0 <= x.high for x in drawn])
        assert 0.935 < inside < 0.965  # three standard errors of 2,000 draws


def test_students_interval_of_one_and_none() -> None:
    assert student_interval([1.5]) == (1.5, -np.inf, np.inf)
    with pytest.raises(DimensionMismatch):
        student_interval([])
