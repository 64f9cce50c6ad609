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
        ("audio-text +", "no sum of families", "--objective"),
        ("-esc50", "no sum of families", "--objective"),
        ("esc50 - vggss", "no sum of families", "--objective"),
        ("esc50,vggss", "no sum of families", "--objective"),
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
    with pytest.raises(UsageError, match="no least value"):
        read_keep(text, TASKS)


def board(objective, kept, limit="coco >= 0", base=None, choices=None):
    tasks = {"esc50": np.array(objective, float), "coco": np.array(kept, float)}
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
    made = board(STEADY, [[1] * 4, [0] * 4, [-1] * 4])
    assert made.best() == 1
    assert list(made.allowed) == [True, True, False]
    assert made.expected() == Figure(3.0, 0.0)


def test_what_is_kept_must_be_kept_one_error_down():
    # The mean of the last is 0.5, and its standard error is 0.87.
    made = board(STEADY, [[1] * 4, [0] * 4, [-1, -1, 2, 2]])
    assert made.best() == 1
    assert board(STEADY, [[1] * 4, [0] * 4, [0.4, 0.4, 0.6, 0.6]]).best() == 2


def test_references_are_compared_fold_by_fold():
    kept = [[60, 70, 80, 90], [59, 69, 79, 89], [59.8, 69.8, 79.8, 89.8]]
    assert board(STEADY, kept, "coco >= own - 0.5").best() == 2
    assert board(STEADY, kept, "coco >= base - 0.5", base=[59, 69, 79, 89]).best() == 2
    assert board(STEADY, kept, "coco >= base", base=[60, 70, 80, 90]).best() == 0


def test_nothing_is_chosen_where_nothing_is_kept():
    made = board(STEADY, [[-1] * 4] * 3)
    assert made.best() is None
    assert made.expected() is None


def test_only_what_was_asked_for_is_chosen():
    made = board(STEADY, [[1] * 4] * 3, choices=[0, 1])
    assert made.best() == 1
    assert made.frontier() == [1]


def test_the_frontier_has_what_nothing_beats():
    made = board([[1] * 4, [3] * 4, [5] * 4, [2] * 4], [[3] * 4, [2] * 4, [1] * 4, [1] * 4])
    assert made.frontier() == [2, 1, 0]
    assert board(STEADY, [[1] * 4] * 3).frontier() == [2]


def test_the_best_of_many_is_less_flattered_across_folds():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 10))
    made = board(noise, np.ones((200, 10)))
    best = made.best()
    assert made.objective[best].mean() > 0.5
    assert abs(made.expected().mean) < made.objective[best].mean()


def test_losses_are_of_the_same_folds():
    made = board([[1, 2, 3, 4], [2, 3, 4, 5], [0, 0, 0, 0]], [[1] * 4] * 3)
    beside = summary(made, [read_keep("coco >= 0", TASKS)], 0, 1)
    assert beside["loss"] == {"mean": 1.0, "standard_error": 0.0}
    assert beside["kept"][0]["margin"]["mean"] == 1.0
