"""Objectives, and the choice among settings from their values on folds."""

import numpy as np
import pytest

from reactions.core.errors import UsageError
from reactions.eval.registry import parse_tasks
from reactions.experiments.choosing.choice import Figure, make_board, summary
from reactions.experiments.choosing.objective import read_keep, read_quantity

TASKS = parse_tasks("audiocaps,clotho,vggss,coco,esc50")


def test_a_family_is_the_mean_of_its_tasks():
    quantity = read_quantity("audio-text", TASKS, option="--objective")
    assert quantity.tasks == {"audiocaps": 0.5, "clotho": 0.5}


def test_weights_and_tasks_may_be_mixed():
    quantity = read_quantity("0.5*audio-text + 1.5 * ESC-50", TASKS, option="--objective")
    assert quantity.tasks == {"audiocaps": 0.125, "clotho": 0.125, "esc50": 0.75}


def test_what_the_lab_lacks_of_a_family_is_left_out():
    assert read_quantity("audio-image", TASKS, option="x").tasks == {"vggss": 1.0}


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("audio-txt", "no task and no family of tasks is called 'audio-txt'", "'audio-text'"),
        ("esc-5", "is called 'esc-5'", "'esc50'"),
        ("image classification", "nothing can be scored", "audio-text"),
        ("audio-text +", "is not a sum of families and tasks", "--objective"),
        ("-esc50", "is not a sum of families and tasks", "--objective"),
        ("esc50 - vggss", "is not a sum of families and tasks", "--objective"),
        ("esc50,vggss", "is not a sum of families and tasks", "--objective"),
        ("0*esc50", "the weight of 'esc50' is 0", "leave it out"),
    ],
)
def test_objectives_that_name_nothing_are_refused(text, message, fix):
    with pytest.raises(UsageError, match=message) as caught:
        read_quantity(text, TASKS, option="--objective")
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("text", "reference", "least"),
    [
        ("image-text >= base - 0.5", "base", -0.5),
        ("image-text>=base", "base", 0.0),
        ("coco >= own + 1", "own", 1.0),
        ("esc50 >= 85.5", "", 85.5),
    ],
)
def test_least_values(text, reference, least):
    keep = read_keep(text, TASKS)
    assert (keep.reference, keep.least) == (reference, least)


@pytest.mark.parametrize(
    "text", ["esc50", "esc50 > 3", "esc50 >= much", ">= 3", "esc50 >= base * 2"]
)
def test_other_conditions_are_refused(text):
    with pytest.raises(UsageError, match="is not a least value"):
        read_keep(text, TASKS)


def board(objective, kept_scores, limit="coco >= 0", base=None, choices=None):
    tasks = {"esc50": np.array(objective, float), "coco": np.array(kept_scores, float)}
    return make_board(
        read_quantity("esc50", TASKS, option="x"),
        [read_keep(limit, TASKS)],
        tasks,
        {"coco": np.array(base, float)} if base else {},
        own=0,
        choices=choices or range(len(objective)),
    )


STEADY = [[1, 1, 1, 1], [3, 3, 3, 3], [5, 5, 5, 5]]


def test_the_best_of_those_that_keep_it_is_chosen():
    results = board(STEADY, [[1] * 4, [0] * 4, [-1] * 4])
    assert results.best() == 1
    assert list(results.allowed) == [True, True, False]
    assert results.expected() == Figure(3.0, 0.0)


def test_what_is_kept_must_be_kept_one_error_down():
    # The mean of the last is 0.5, and its standard error is 0.87.
    results = board(STEADY, [[1] * 4, [0] * 4, [-1, -1, 2, 2]])
    assert results.best() == 1
    assert board(STEADY, [[1] * 4, [0] * 4, [0.4, 0.4, 0.6, 0.6]]).best() == 2


def test_references_are_compared_fold_by_fold():
    kept_scores = [[60, 70, 80, 90], [59, 69, 79, 89], [59.8, 69.8, 79.8, 89.8]]
    assert board(STEADY, kept_scores, "coco >= own - 0.5").best() == 2
    assert board(STEADY, kept_scores, "coco >= base - 0.5", base=[59, 69, 79, 89]).best() == 2
    assert board(STEADY, kept_scores, "coco >= base", base=[60, 70, 80, 90]).best() == 0


def test_nothing_is_chosen_where_nothing_is_kept():
    results = board(STEADY, [[-1] * 4] * 3)
    assert results.best() is None
    assert results.expected() is None


def test_only_what_was_asked_for_is_chosen():
    results = board(STEADY, [[1] * 4] * 3, choices=[0, 1])
    assert results.best() == 1
    assert results.frontier() == [1]


def test_the_frontier_has_what_nothing_beats():
    results = board([[1] * 4, [3] * 4, [5] * 4, [2] * 4], [[3] * 4, [2] * 4, [1] * 4, [1] * 4])
    assert results.frontier() == [2, 1, 0]
    assert board(STEADY, [[1] * 4] * 3).frontier() == [2]


def test_the_best_of_many_is_less_flattered_across_folds():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 10))
    results = board(noise, np.ones((200, 10)))
    best = results.best()
    assert results.objective[best].mean() > 0.5
    assert abs(results.expected().mean) < results.objective[best].mean()


def test_losses_are_of_the_same_folds():
    results = board([[1, 2, 3, 4], [2, 3, 4, 5], [0, 0, 0, 0]], [[1] * 4] * 3)
    tuning = summary(results, [read_keep("coco >= 0", TASKS)], 0, 1)
    assert tuning["loss"] == {"mean": 1.0, "standard_error": 0.0}
    assert tuning["kept"][0]["margin"]["mean"] == 1.0
