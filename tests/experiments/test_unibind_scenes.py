import numpy as np
import pytest

from reactions.experiments.unibind import scenes
from reactions.experiments.unibind.claims import GAP, GEOMETRY, SAME_CLASS, SAME_MODALITY
from reactions.labs.mini.world import CLASSES


class Stub:
    """Embeds each item by what its place in the stream says."""

    def __init__(self, embedding):
        self.embedding = embedding

    def embed(self, modality, items):
        rows = [self.embedding(modality, i) for i in range(len(items))]
        return np.array(rows, np.float32)


def kind_of(i):
    return i % len(CLASSES)  # scenes come in turn


def one_hot(i, n=50):
    return np.eye(n)[i]


def test_a_space_of_kinds_alone_has_no_gap_and_finds_all():
    space = Stub(lambda modality, i: one_hot(kind_of(i)))
    lie = scenes.geometry(space, seed=0)
    assert tuple(lie) == GEOMETRY
    assert lie[GAP] == pytest.approx([0], abs=1e-9)
    assert lie[SAME_CLASS].mean() == 1
    assert {v.mean() for v in scenes.point_retrieval(space, 0).values()} == {1.0}


def test_a_space_of_modalities_alone_has_a_gap():
    space = Stub(lambda modality, i: one_hot(scenes.MODALITIES.index(modality), 5))
    lie = scenes.geometry(space, seed=0)
    assert lie[GAP] == pytest.approx([np.sqrt(2)])
    assert lie[SAME_MODALITY].mean() == 1


def test_directions_of_point_retrieval_are_told_apart():
    # Every cloud lies at its kind; pictures all lie at the first kind.
    space = Stub(lambda modality, i: one_hot(kind_of(i) if modality == "point" else 0))
    scores = scenes.point_retrieval(space, 0)
    share = 1 / len(CLASSES)
    # A cloud's nearest picture is the first one, of the first kind; so is a picture's cloud.
    assert scores["point->image R@1"].mean() == pytest.approx(share)
    assert scores["image->point R@1"].mean() == pytest.approx(share)
    assert scores["image->point R@1"][1] == 0
    assert scores["point->image R@1"][0] == 1
