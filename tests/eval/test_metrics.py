from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reactions.core.errors import DimensionMismatch
from reactions.eval import metrics

# Coordinates in quarters keep float32 dot products exact, so that ties are exact as well.
QUARTERS = st.integers(-3, 3).map(lambda k: np.float32(k / 4))
TILES = (1, 100, 1 << 20)  # a row at a time, a few, all at once


def tables(n: st.SearchStrategy[int], dim: int = 3) -> st.SearchStrategy[np.ndarray]:
    return n.flatmap(lambda rows: arrays(np.float32, (rows, dim), elements=QUARTERS))


@st.composite
def retrieval(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    left = draw(tables(st.integers(1, 7)))
    n = len(left)
    extra = draw(st.lists(st.integers(0, n - 1), max_size=8))
    owner = np.array(draw(st.permutations([*range(n), *extra])), np.int64)
    right = draw(tables(st.just(len(owner))))
    return left, right, owner


@contextmanager
def tiles_of(size_bytes: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "TILE_BYTES", size_bytes)
        yield


def check_ranks(ranks: metrics.Ranks, strict: list[int], lenient: list[int]) -> None:
    assert {ranks.strict.dtype, ranks.lenient.dtype} == {np.dtype(np.int32)}
    assert ranks.strict.tolist() == ranks.by("strict").tolist() == strict
    assert ranks.lenient.tolist() == ranks.by("lenient").tolist() == lenient
    assert ranks.n_tied == sum(a != b for a, b in zip(strict, lenient, strict=True))


@st.composite
def classed(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    answer_labels = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=9)), np.int64)
    labels_answered = st.sampled_from(answer_labels.tolist())
    query_labels = np.array(draw(st.lists(labels_answered, min_size=1, max_size=9)), np.int64)
    queries = draw(tables(st.just(len(query_labels))))
    answers = draw(tables(st.just(len(answer_labels))))
    return queries, answers, query_labels, answer_labels


@given(classed())
def test_ranks_of_same_class_match_brute_force(case: tuple[np.ndarray, ...]) -> None:
    queries, answers, query_labels, answer_labels = case
    strict, lenient = [], []
    for query, label in zip(queries, query_labels, strict=True):
        scores = answers @ query
        best = scores[answer_labels == label].max()
        wrong = scores[answer_labels != label]
        strict.append(1 + int((wrong >= best).sum()))
        lenient.append(1 + int((wrong > best).sum()))
    for tile_bytes in TILES:
        with tiles_of(tile_bytes):
            ranks = metrics.ranks_of_same_class(queries, answers, query_labels, answer_labels)
        check_ranks(ranks, strict, lenient)


@given(classed(), st.integers(1, 9))
def test_a_hit_by_class_is_an_answer_of_the_class_among_the_first_k(
    case: tuple[np.ndarray, ...], k: int
) -> None:
    queries, answers, query_labels, answer_labels = case
    ranks = metrics.ranks_of_same_class(*case)
    for i, (query, label) in enumerate(zip(queries, query_labels, strict=True)):
        scores = answers @ query
        alike = answer_labels == label
        for rule, kind in (("strict", alike), ("lenient", ~alike)):
            # Of equal scores the wrong ones come first, or, leniently, the right ones.
            order = np.lexsort((kind, -scores))
            assert (ranks.by(rule)[i] <= k) == alike[order[:k]].any()


@given(retrieval())
def test_ranks_of_owner_match_brute_force(case: tuple[np.ndarray, ...]) -> None:
    left, right, owner = case
    strict, lenient = [], []
    for j, owner_index in enumerate(owner):
        scores = [float(right[j] @ x) for x in left]
        others = [s for i, s in enumerate(scores) if i != owner_index]
        strict.append(1 + sum(s >= scores[owner_index] for s in others))
        lenient.append(1 + sum(s > scores[owner_index] for s in others))
    for tile_bytes in TILES:
        with tiles_of(tile_bytes):
            ranks = metrics.ranks_of_owner(left, right, owner)
        check_ranks(ranks, strict, lenient)


@given(retrieval())
def test_ranks_of_best_match_brute_force(case: tuple[np.ndarray, ...]) -> None:
    left, right, owner = case
    strict, lenient = [], []
    for i, x in enumerate(left):
        scores = right @ x
        best = max(s for s, owner_index in zip(scores, owner, strict=True) if owner_index == i)
        others = [s for s, owner_index in zip(scores, owner, strict=True) if owner_index != i]
        strict.append(1 + sum(s >= best for s in others))
        lenient.append(1 + sum(s > best for s in others))
    for tile_bytes in TILES:
        with tiles_of(tile_bytes):
            ranks = metrics.ranks_of_best(left, right, owner)
        check_ranks(ranks, strict, lenient)


def test_a_collapsed_space_scores_nothing() -> None:
    same = np.full((10, 4), 0.5, np.float32)
    owner = np.arange(10)
    for ranks in (
        metrics.ranks_of_owner(same, same, owner),
        metrics.ranks_of_best(same, same, owner),
        metrics.ranks_of_class(same, same, owner),
    ):
        assert (ranks.strict == 10).all()
        assert (ranks.lenient == 1).all()
        assert ranks.n_tied == 10


def test_rounding_noise_is_a_tie() -> None:
    left = np.array([[1, 0], [1, 0]], np.float32)
    right = np.array([[1, 0], [1, 0]], np.float32)
    right[1, 0] -= np.float32(2e-7)  # the most that summation order costs near 1
    owner = np.arange(2)
    assert metrics.ranks_of_best(left, right, owner).strict.tolist() == [2, 2]
    right[1, 0] -= np.float32(1e-5)
    assert metrics.ranks_of_best(left, right, owner).strict.tolist() == [1, 2]


def test_nearly_equal_captions_of_one_item_do_not_compete() -> None:
    left = np.eye(2, dtype=np.float32)
    right = np.array([[1, 0], [1 - 2e-7, 0], [0, 1]], np.float32)
    assert metrics.ranks_of_best(left, right, np.array([0, 0, 1])).strict.tolist() == [1, 1]


def brute_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Sum (R_k - R_{k-1}) P_k over every distinct threshold, from the definition."""
    total, last_recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        hits = int((chosen & targets).sum())
        recall, precision = hits / targets.sum(), hits / chosen.sum()
        total += (recall - last_recall) * precision
        last_recall = recall
    return total


@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=30))
def test_average_precision_matches_its_definition(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([pair[0] / 4 for pair in pairs], np.float32)
    targets = np.array([pair[1] for pair in pairs])
    precision = metrics.average_precision(scores, targets)
    if targets.any():
        # Sums of at most 30 rationals in float64.
        assert precision == pytest.approx(brute_average_precision(scores, targets), abs=1e-12)
    else:
        assert np.isnan(precision)


def test_average_precision_by_hand() -> None:
    scores = np.array([0.1, 0.4, 0.35, 0.8])
    targets = np.array([False, False, True, True])
    assert metrics.average_precision(scores, targets) == pytest.approx(5 / 6, abs=1e-12)
    # All tied: one threshold, precision is the share of positives.
    assert metrics.average_precision(np.zeros(4), targets) == 0.5


@pytest.mark.parametrize("tile_bytes", [1, 170, 1 << 20])
def test_class_average_precisions_by_class(tile_bytes: int) -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(20, 3)).astype(np.float32)
    classes = rng.normal(size=(5, 3)).astype(np.float32)
    targets = rng.random((20, 5)) < 0.3
    targets[:, 2] = False
    with tiles_of(tile_bytes):
        precisions = metrics.class_average_precisions(queries, classes, targets)
    scores = queries @ classes.T
    for label in (0, 1, 3, 4):
        expected = brute_average_precision(scores[:, label], targets[:, label])
        assert precisions[label] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(precisions[2])


@given(tables(st.integers(1, 9)), tables(st.integers(1, 5)), st.data())
def test_a_prediction_is_right_where_no_other_class_reaches_it(
    queries: np.ndarray, classes: np.ndarray, data: st.DataObject
) -> None:
    n, c = len(queries), len(classes)
    labels = np.array(data.draw(st.lists(st.integers(0, c - 1), min_size=n, max_size=n)))
    strict, lenient = [], []
    for query, label in zip(queries, labels, strict=True):
        scores = [float(query @ x) for x in classes]
        others = [s for k, s in enumerate(scores) if k != label]
        strict.append(all(s < scores[label] for s in others))
        lenient.append(all(s <= scores[label] for s in others))
    for tile_bytes in TILES:
        with tiles_of(tile_bytes):
            ranks = metrics.ranks_of_class(queries, classes, labels)
        assert (ranks.strict == 1).tolist() == strict
        assert (ranks.lenient == 1).tolist() == lenient


def test_recall_counts_ranks_up_to_k() -> None:
    ranks = np.array([1, 5, 6, 2], np.int32)
    assert [metrics.recall_at(ranks, k) for k in (1, 2, 5, 6)] == [0.25, 0.5, 0.75, 1.0]


def test_no_tile_exceeds_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched:
        """Rows that record the longest slice asked for."""

        def __init__(self, x: np.ndarray) -> None:
            self.x, self.longest = x, 0
            self.shape, self.dtype = x.shape, x.dtype

        def __len__(self) -> int:
            return len(self.x)

        def __getitem__(self, rows: slice) -> np.ndarray:
            tile = self.x[rows]
            self.longest = max(self.longest, len(tile))
            return tile

    monkeypatch.setattr(metrics, "TILE_BYTES", 4 * 10 * 8)
    x = np.eye(10, dtype=np.float32)
    owner = np.arange(10)
    queries = Watched(x)
    assert (metrics.ranks_of_owner(x, queries, owner).strict == 1).all()
    assert (metrics.ranks_of_best(queries, x, owner).strict == 1).all()
    assert (metrics.ranks_of_class(queries, x, owner).strict == 1).all()
    metrics.class_average_precisions(queries, x, np.eye(10, dtype=bool))
    assert queries.longest == 8


def test_widths_must_agree() -> None:
    x, y = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
    owner = np.arange(2)
    for call in (
        lambda: metrics.ranks_of_class(x, y, owner),
        lambda: metrics.ranks_of_owner(x, y, owner),
        lambda: metrics.ranks_of_best(x, y, owner),
        lambda: metrics.class_average_precisions(x, y, np.ones((2, 2), bool)),
    ):
        with pytest.raises(DimensionMismatch, match="3 and 4 dimensions"):
            call()
