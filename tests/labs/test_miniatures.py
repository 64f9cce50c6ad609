"""The miniatures of UniBind's evaluation sets: what they show, and what is told apart."""

import numpy as np
import pytest

from reactions.core.errors import UsageError
from reactions.eval.registry import all_tasks, evaluation_set
from reactions.eval.task import UNIBIND
from reactions.eval.task_data import ClassificationData, RetrievalData
from reactions.labs import mini
from reactions.labs.mini import classes
from reactions.labs.mini.subjects import subjects_by_name
from reactions.labs.mini.world import CLASSES

NAMES = [task.name for task in all_tasks() if UNIBIND in task.groups]
RECOGNITION = [name for name in NAMES if evaluation_set(name).task.kind == "classification"]


def miniature(task, **options):
    return mini.benchmark(task, seed=5, **options)


@pytest.mark.parametrize("task", RECOGNITION)
def test_every_class_has_items_and_is_described(task):
    data = miniature(task)
    assert isinstance(data, ClassificationData)
    assert len(data.queries) == len(data.labels) == data.expected
    assert 900 <= data.expected <= 2000
    assert data.labels.dtype == np.int64
    assert np.bincount(data.labels, minlength=len(data.classes)).min() >= 20
    assert len(data.labels) == np.bincount(data.labels).sum()
    assert set(data.classes) <= set(subjects_by_name())
    assert data.queries.modality == evaluation_set(task).task.query
    first = data.queries.items(0, 2)
    assert [item.modality for item in first] == [data.queries.modality] * 2


@pytest.mark.parametrize(
    ("task", "n"),
    [
        ("places365", 12),
        ("caltech101", 40),
        ("modelnet40", 40),
        ("shapenet", 16),
        ("urbansound8k", 10),
        ("llvip", 2),
        ("rgbt", 2),
        ("msrvtt", 14),
        ("ucf101", 50),
        ("ncaltech101", 40),
        ("nimagenet", 50),
    ],
)
def test_classes(task, n):
    assert len(set(miniature(task).classes)) == len(miniature(task).classes) == n


@pytest.mark.parametrize("task", ["caltech101", "modelnet40", "shapenet", "urbansound8k"])
def test_labels_are_those_of_the_kinds_that_are_shown(task):
    data = miniature(task)
    kinds = data.queries.stream.scenes(0, len(data.labels)).kind
    assert [CLASSES[kind] for kind in kinds] == [data.classes[label] for label in data.labels]


def test_objects_are_alone():
    assert not miniature("caltech101").queries.stream.scenes(0, 100).count.any()


def test_places_are_told_apart_by_where_and_how_many():
    data = miniature("places365")
    scenes = data.queries.stream.scenes(0, len(data.labels))
    places, counts = ("room", "street", "forest", "water"), ("one", "two", "three")
    for label, place, count in zip(data.labels, scenes.place, scenes.count, strict=True):
        assert data.classes[label] == f"{places[place]}_with_{counts[count]}"


def test_topics_are_groups_of_kinds_with_names_of_no_known_word():
    groups = classes.topic_kinds()
    assert sorted(kind for kinds in groups.values() for kind in kinds) == list(range(50))
    data = miniature("msrvtt")
    kinds = data.queries.stream.scenes(0, 100).kind
    for kind, label in zip(kinds, data.labels, strict=False):
        assert kind in groups[data.classes[label]]


def test_actions_name_the_kind_and_what_it_does():
    for name, action in zip(CLASSES, classes.ACTIONS, strict=True):
        assert action.removeprefix(f"{name}_") != action or action.endswith(f"_{name}")
    assert {"bowing_violin", "dog_barking"} <= set(classes.ACTIONS)


@pytest.mark.parametrize("task", ["llvip", "rgbt"])
def test_half_of_the_places_are_empty(task):
    data = miniature(task)
    scenes = data.queries.stream.scenes(0, len(data.labels))
    np.testing.assert_array_equal(data.labels == 1, scenes.count < 0)
    assert data.labels.mean() == 0.5
    assert len(np.unique(scenes.kind[data.labels == 0])) == 50


@pytest.mark.parametrize("task", ["rgbt", "shapenet", "nimagenet"])
def test_sensors_of_the_harder_sets_are_poor(task):
    assert miniature(task).queries.poor
    assert not miniature(task).queries.stream.alone


def test_recordings_are_of_the_pictures():
    pictures, recordings = miniature("caltech101"), miniature("ncaltech101")
    assert pictures.queries.stream == recordings.queries.stream
    np.testing.assert_array_equal(pictures.labels, recordings.labels)
    assert pictures.queries.ids() != recordings.queries.ids()
    pairs = miniature("ncaltech101_images")
    assert isinstance(pairs, RetrievalData)
    assert (pairs.left.modality, pairs.right.modality) == ("event", "image")
    assert pairs.left.stream == pairs.right.stream == pictures.queries.stream
    np.testing.assert_array_equal(pairs.left_labels, pictures.labels)
    np.testing.assert_array_equal(pairs.right_labels, pictures.labels)
    np.testing.assert_array_equal(pairs.owner, np.arange(1000))


class TestSplits:
    @pytest.mark.parametrize(
        "task", [name for name in RECOGNITION if "train" in evaluation_set(name).splits]
    )
    def test_training_scenes_are_others(self, task):
        data, train = miniature(task), mini.split(task, "train", seed=5)
        assert train.classes == data.classes
        assert np.bincount(train.labels, minlength=len(train.classes)).min() > 0
        tested, other = (d.queries.stream.scenes(0, 2000).identity for d in (data, train))
        assert not np.isin(tested, other).any()
        assert not set(data.queries.ids()) & set(train.queries.ids())

    def test_events_are_trained_on_with_the_pictures_they_are_of(self):
        pictures, events = (mini.split(t, "train", seed=5) for t in ("caltech101", "ncaltech101"))
        assert pictures.queries.stream == events.queries.stream

    @pytest.mark.parametrize(("task", "n"), [("esc50", 5), ("urbansound8k", 10), ("ucf101", 3)])
    def test_folds(self, task, n):
        data = miniature(task)
        assert data.folds is not None
        for fold in range(n):
            inside = np.bincount(data.labels[data.folds == fold], minlength=len(data.classes))
            assert inside.min() > 0
        part = mini.split(task, "fold2", seed=5)
        assert len(part.labels) == (data.folds != 1).sum()
        assert len(part.queries) == len(part.labels)

    @pytest.mark.parametrize("task", ["caltech101", "audiocaps", "ncaltech101_images"])
    def test_none_of_this_name(self, task):
        with pytest.raises(UsageError, match="no split 'tain'"):
            mini.split(task, "tain", seed=5)


@pytest.mark.parametrize("task", ["llvip", "rgbt"])
def test_what_is_warm_is_seen_under_the_same_ids(task):
    warm, visible = (mini.split(task, name, seed=0) for name in ("train", "train_visible"))
    assert (warm.queries.modality, visible.queries.modality) == ("thermal", "image")
    assert warm.queries.ids() == visible.queries.ids()
    assert warm.labels.tolist() == visible.labels.tolist()
    assert visible.queries.items(0, 1)[0].value.shape[2] == 3
