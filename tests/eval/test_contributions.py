from dataclasses import replace

import numpy as np
import pytest

from reactions.core.errors import DataError
from reactions.data.corpora import IdCorpus, TextCorpus
from reactions.eval.contributions import check_folds, contributions, fold_means
from reactions.eval.protocol import score
from reactions.eval.registry import get_task
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData

SOUNDS = IdCorpus("sounds", "audio", [f"s{i}" for i in range(12)])
OWNER = np.repeat(np.arange(12), [1, 2, 3] * 4)
TARGETS = np.random.default_rng(1).random((12, 4)) < 0.4
TARGETS[:, 3] = False
DATA = {
    "audiocaps": RetrievalData(SOUNDS, TextCorpus("captions", [f"c{i}" for i in range(24)]), OWNER),
    "esc50": ClassificationData(SOUNDS, np.arange(12) % 3, ("a", "b", "c")),
    "audioset": MultilabelData(SOUNDS, TARGETS, ("a", "b", "c", "d")),
}
SIZES = {"audiocaps": {"left": 12, "right": 24}}


def scored(task, data):
    rng = np.random.default_rng(0)
    sizes = SIZES.get(task.name, {"queries": 12, "prompts": len(getattr(data, "classes", ()))})
    rows = {}
    for name, n in sizes.items():
        x = rng.normal(size=(n, 5)).astype(np.float32)
        rows[name] = x / np.linalg.norm(x, axis=1, keepdims=True)
    return score(task, data, rows)


@pytest.mark.parametrize(
    ("name", "main"),
    [
        ("esc50", ""),
        ("audioset", ""),
        ("audiocaps", ""),
        ("audiocaps", "text->audio R@5"),
        ("audiocaps", "audio->text R@10"),
        ("audiocaps", "mean R@5"),
    ],
)
def test_their_mean_is_the_main_score(name, main):
    task = get_task(name)
    task = replace(task, main_score=main) if main else task
    result = scored(task, DATA[name])
    values = contributions(task, DATA[name], result)
    assert values.mean() == pytest.approx(result.value)
    assert len(values) == (3 if name == "audioset" else 12)


def test_fewer_values_than_folds_are_refused():
    with pytest.raises(ValueError, match="6 values cannot be divided into 10 folds"):
        fold_means(np.arange(6.0), 10)
    assert np.isfinite(fold_means(np.arange(10.0), 10)).all()


def test_data_of_fewer_classes_than_folds_are_refused():
    task = get_task("audioset")
    n = len(contributions(task, DATA["audioset"], scored(task, DATA["audioset"])))
    check_folds(task, DATA["audioset"], n)
    with pytest.raises(DataError, match=f"audioset has {n} classes with items: too few for"):
        check_folds(task, DATA["audioset"], n + 1)
    with pytest.raises(DataError, match="audiocaps has 12 items: too few for 13 folds"):
        check_folds(get_task("audiocaps"), DATA["audiocaps"], 13)


def test_folds_are_even_and_the_same_each_time():
    values = np.arange(100.0)
    folds = fold_means(values, 10)
    assert folds.shape == (10,)
    assert folds.mean() == pytest.approx(values.mean())
    np.testing.assert_array_equal(folds, fold_means(values, 10))
    assert folds.std() < 20  # mixed, not ranges of items
