"""The field's other metrics against definitions written out, query by query."""

import re

import numpy as np
import pytest
from fakes import unit_rows
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import UsageError
from reactions.eval import further_metrics, metrics
from reactions.eval.registry import all_tasks, get_task


def slow_ranks(scores, right, ties):
    """Ranks of the right answers, best first; ties by the rule."""
    wrong = [s for i, s in enumerate(scores) if i not in right]
    right_scores = sorted((scores[i] for i in right), reverse=True)
    margin = -metrics.TIE if ties == "strict" else metrics.TIE
    return [sum(s > o + margin for s in wrong) + j + 1 for j, o in enumerate(right_scores)]


def slow(left, right, owner, ties):
    gains, precisions = [], []
    for i, query in enumerate(left):
        own_answers = {int(j) for j in np.flatnonzero(owner == i)}
        ranks = slow_ranks((right @ query).tolist(), own_answers, ties)
        dcg = sum(1 / np.log2(1 + r) for r in ranks if r <= 10)
        gains.append(dcg / sum(1 / np.log2(1 + r) for r in range(1, min(len(own_answers), 10) + 1)))
        precisions.append(np.mean([(j + 1) / r for j, r in enumerate(ranks)]))
    return 100 * np.mean(gains), 100 * np.mean(precisions)


@pytest.mark.parametrize("ties", ["strict", "lenient"])
@given(data=st.data())
def test_several_right_answers(ties, data):
    n = data.draw(st.integers(1, 7))
    counts = data.draw(st.lists(st.integers(1, 13), min_size=n, max_size=n))
    owner = np.random.default_rng(n).permutation(np.repeat(np.arange(n), counts))
    # Few directions: many answers tie.
    rows = unit_rows(4, 3, data.draw(st.integers(0, 99)))
    left = rows[data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))]
    right = rows[data.draw(st.lists(st.integers(0, 3), min_size=len(owner), max_size=len(owner)))]
    values = further_metrics.of_several("a->b", left, right, owner, ties)
    ndcg, ap = slow(left, right, owner, ties)
    assert values["a->b nDCG@10"] == pytest.approx(ndcg, abs=1e-6)
    assert values["a->b mAP"] == pytest.approx(ap, abs=1e-6)


def test_tiles_do_not_show(monkeypatch):
    left, right = unit_rows(40, 6, 0), unit_rows(97, 6, 1)
    owner = np.append(np.arange(40), np.random.default_rng(0).integers(0, 40, 57))
    untiled = further_metrics.of_several("x", left, right, owner, "strict")
    monkeypatch.setattr(further_metrics, "TILE_BYTES", 4 * 97 * 3)
    assert further_metrics.of_several("x", left, right, owner, "strict") == pytest.approx(untiled)


def test_one_right_answer_is_the_same_by_either_way():
    left, right = unit_rows(30, 5, 0), unit_rows(30, 5, 1)
    owner = np.random.default_rng(0).permutation(30)
    ranks = metrics.ranks_of_best(left, right, owner).strict
    several = further_metrics.of_several("x", left, right, owner, "strict")
    assert further_metrics.of_single("x", ranks) == pytest.approx(several)


def test_ranks():
    values = further_metrics.of_ranks("x", np.array([1, 2, 4, 100], np.int32))
    assert values["x MRR"] == pytest.approx(100 * (1 + 0.5 + 0.25 + 0.01) / 4)
    assert values["x median rank"] == 3
    gains = further_metrics.of_single("x", np.array([1, 3, 11], np.int32))
    assert gains["x nDCG@10"] == pytest.approx(100 * (1 + 0.5) / 3)
    assert gains["x mAP"] == pytest.approx(100 * (1 + 1 / 3 + 1 / 11) / 3)


def test_against_scikit_learn():
    ranking = pytest.importorskip("sklearn.metrics")
    left, right = unit_rows(12, 6, 0), unit_rows(48, 6, 1)
    owner = np.tile(np.arange(12), 4)
    values = further_metrics.of_several("x", left, right, owner, "strict")
    relevant = (owner[None] == np.arange(12)[:, None]).astype(int)
    scores = left @ right.T
    expected = ranking.ndcg_score(relevant, scores, k=10)
    assert values["x nDCG@10"] == pytest.approx(100 * expected, abs=1e-4)
    aps = [ranking.average_precision_score(r, s) for r, s in zip(relevant, scores, strict=True)]
    assert values["x mAP"] == pytest.approx(100 * np.mean(aps), abs=1e-4)


def test_classes():
    ranks = np.array([1, 1, 2, 6, 1, 5], np.int32)
    labels = np.array([0, 0, 0, 2, 2, 3])
    values = further_metrics.of_classes(ranks, labels)
    assert values["top-5"] == pytest.approx(100 * 5 / 6)
    # Classes 0, 2 and 3 have items: 2 of 3, 1 of 2 and none are right.
    assert values["mean per class"] == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)


def test_means_of_both_directions():
    further = {"a->b MRR": 40.0, "a->b median rank": 3.0, "b->a MRR": 60.0, "b->a median rank": 5.0}
    assert further_metrics.with_means(further, ("a->b", "b->a")) == {**further, "mean MRR": 50.0}


@pytest.mark.parametrize(
    ("wanted_names", "names"),
    [
        ("all", ["a R@1", "mean R@1", "a MRR", "mean MRR", "a median rank"]),
        ("MRR", ["a MRR", "mean MRR"]),
        ("mean mrr, a R@1", ["mean MRR", "a R@1"]),
        ("median", ["a median rank"]),
    ],
)
def test_metrics_by_name(wanted_names, names):
    main = {"a R@1": 1.0, "mean R@1": 1.0}
    further = {"a MRR": 1.0, "mean MRR": 1.0, "a median rank": 1.0}
    assert further_metrics.chosen(wanted_names, main, further) == names


@pytest.mark.parametrize(
    ("wanted_names", "message"), [("MRS", "no metric 'MRS'"), (" , ", "names none")]
)
def test_names_of_no_metric(wanted_names, message):
    with pytest.raises(UsageError, match=message):
        further_metrics.chosen(wanted_names, {"mean R@1": 1.0}, {"mean MRR": 1.0})


@pytest.mark.parametrize("task", [task for task in all_tasks() if task.kind != "multilabel"])
def test_names_are_known_before_anything_is_scored(task):
    main, further = further_metrics.names_of(task)
    assert set(task.metrics) <= set(main)
    if task.kind == "classification":
        scored = further_metrics.of_classes(np.array([1, 2]), np.array([0, 1]))
    else:
        scored = {}
        for direction in task.directions:
            scored |= further_metrics.of_ranks(direction, np.array([1]))
            scored |= further_metrics.of_single(direction, np.array([1]))
        scored = further_metrics.with_means(scored, task.directions)
    assert set(further) == set(scored)


def test_every_suggestion_is_accepted_as_it_stands():
    for task in all_tasks():
        names = further_metrics.names_of(task)
        for typo in (f"{name}x".replace(" ", "") for name in (*names[0], *names[1])):
            with pytest.raises(UsageError) as refused:
                further_metrics.chosen(typo, *names)
            for name in re.findall(r"'([^']+)'", refused.value.fix):
                assert further_metrics.chosen(name, *names)


def test_a_part_that_one_metric_has_is_suggested_whole():
    task = get_task("esc50")
    with pytest.raises(UsageError, match="did you mean 'mean per class'"):
        further_metrics.chosen("perclass", *further_metrics.names_of(task))
