import numpy as np
import pytest

from reactions.core.errors import DataError
from reactions.data.corpora import IdCorpus, TextCorpus
from reactions.eval.protocol import check
from reactions.eval.registry import get_task
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData
from reactions.experiments.choosing.data import FOLDS, part_of, tuning_data
from reactions.labs import mini
from reactions.labs.lab_file import load_lab

N = 4 * FOLDS
SOUNDS = IdCorpus("sounds", "audio", [f"s{i}" for i in range(N)])
OWNER = np.random.default_rng(0).permutation(np.arange(3 * N) % N)
PAIRS = RetrievalData(SOUNDS, TextCorpus("texts", [f"c{i}" for i in range(3 * N)]), OWNER)
CLIPS = ClassificationData(SOUNDS, np.arange(N) % 4, ("a", "b", "c", "d"), np.arange(N) % 5)
TARGETS = np.random.default_rng(1).random((N, 3)) < 0.5
TAGGED = MultilabelData(SOUNDS, TARGETS, ("a", "b", "c"))


def ids(corpus):
    return [item.id for item in corpus.items(0, len(corpus))]


def test_right_items_go_with_their_owners():
    rows = np.arange(N) % 3 == 0
    part = part_of(PAIRS, rows)
    check(get_task("audiocaps"), part)
    assert ids(part.left) == [f"s{i}" for i in range(N) if rows[i]]
    texts = [item.value for item in part.right.items(0, len(part.right))]
    owners = [ids(part.left)[owner] for owner in part.owner]
    assert len(texts) == 3 * rows.sum()
    assert all(owners[i] == f"s{OWNER[int(text[1:])]}" for i, text in enumerate(texts))


@pytest.mark.parametrize(("task", "data"), [("esc50", CLIPS), ("audioset", TAGGED)])
def test_labels_go_with_their_items(task, data):
    rows = np.arange(N) >= N // 2
    part = part_of(data, rows)
    check(get_task(task), part)
    name = "labels" if task == "esc50" else "targets"
    np.testing.assert_array_equal(getattr(part, name), getattr(data, name)[N // 2 :])


class Held:
    """A lab with three sets of its own."""

    def __new__(cls, monkeypatch, **changes):
        lab = load_lab("paper")
        sets = {"audiocaps": PAIRS, "esc50": CLIPS, "audioset": TAGGED, **changes}
        monkeypatch.setattr(type(lab), "benchmark", lambda self, task: sets[task])
        return lab


def test_sets_without_others_are_halved(monkeypatch):
    lab = Held(monkeypatch)
    tasks = [get_task(name) for name in ("audiocaps", "esc50", "audioset")]
    split = tuning_data(lab, tasks, seed=3)
    for task in tasks:
        first, rest = split.choose.benchmark(task.name), split.score.benchmark(task.name)
        check(task, first)
        check(task, rest)
        ids_chosen_by, other = (
            ids(x.left if task.name == "audiocaps" else x.queries) for x in (first, rest)
        )
        assert not set(ids_chosen_by) & set(other)
        assert len(ids_chosen_by) == len(other) == N // 2
        assert "seed 3" in split.origins[task.name]
    labels = [split.choose.benchmark("esc50").labels, split.score.benchmark("esc50").labels]
    assert all((np.bincount(class_labels) == N // 8).all() for class_labels in labels)
    repeated = tuning_data(lab, tasks, seed=3).choose.benchmark("audiocaps")
    assert ids(repeated.left) == ids(split.choose.benchmark("audiocaps").left)
    assert ids(repeated.left) != ids(
        tuning_data(lab, tasks, seed=4).choose.benchmark("audiocaps").left
    )


def test_small_sets_are_not_divided(monkeypatch):
    small_set = part_of(PAIRS, np.arange(N) < 20)
    with pytest.raises(DataError, match="audiocaps has 20 items: too few"):
        tuning_data(Held(monkeypatch, audiocaps=small_set), [get_task("audiocaps")], seed=0)


def test_the_mini_lab_has_scenes_to_choose_by():
    lab = load_lab("mini")
    split = tuning_data(lab, [get_task(name) for name in mini.TASKS], seed=0)
    assert split.score is lab
    for name in mini.TASKS:
        chosen, scored = split.choose.benchmark(name), lab.benchmark(name)
        check(get_task(name), chosen)
        corpora = [x.left if isinstance(x, RetrievalData) else x.queries for x in (chosen, scored)]
        assert len(corpora[0]) == len(corpora[1])
        assert corpora[0].digest != corpora[1].digest
        assert not set(corpora[0].stream.at(np.arange(50, dtype=np.uint64)).identity) & set(
            corpora[1].stream.at(np.arange(1000, dtype=np.uint64)).identity
        )
