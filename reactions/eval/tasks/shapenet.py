"""ShapeNet-part: shapes of 16 kinds; its test set has 2,874."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.eval.labelled import FilesByPath, Labelled, classification
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData

_CATEGORIES = "synsetoffset2category.txt"
_LISTS = "train_test_split"
_N_TRAIN = 12_137


def read(published: PublishedSet) -> ClassificationData:
    """Return the test shapes that are there; classes in the order of their published file.

    Raises:
        MissingError: the lists or all shapes are missing.
        DataError: a list is damaged, or no shape can be decoded.
    """
    return _read(published, "test", published.task.expected)


def train(published: PublishedSet) -> ClassificationData:
    """Return the training shapes that are there, as ``read`` does; validation is left alone."""
    return _read(published, "train", _N_TRAIN)


def _read(published: PublishedSet, split: str, expected: int) -> ClassificationData:
    names: dict[str, str] = {}
    path = published.folder / _CATEGORIES
    for line in published.read_lines(path):  # "Airplane	02691156"
        name, _, synset = line.replace("\t", " ").rpartition(" ")
        if not (name.strip() and synset.isdecimal()):
            raise published.damaged(path, f"no category and its synset in the line '{line[:60]}'")
        names[synset] = name.strip()
    synsets = list(names)
    files = FilesByPath(published, "point", 1, ("",))
    items = []
    for id in _listed(published, split):
        synset = id.split("/")[-2]
        if synset not in names:
            raise published.damaged(path, f"it does not name the synset of '{id[:60]}'")
        if (entry := files.get(f"{id}.txt")) is not None:
            items.append(Labelled(id.removeprefix("shape_data/"), entry, synsets.index(synset)))
    return classification(published, "point", items, names.values(), expected=expected)


def _listed(published: PublishedSet, split: str) -> Sequence[str]:
    """Return the shapes of a list: ``shape_data/02691156/1021a0914a7207aff927ed529ad90a11``."""
    path = published.folder / _LISTS / f"shuffled_{split}_file_list.json"
    ids = published.read_json(path)
    if not (isinstance(ids, list) and ids):
        raise published.damaged(path, "it is not a JSON list of shapes")
    for id in ids:
        if not (isinstance(id, str) and id.count("/") >= 1):
            raise published.damaged(path, f"'{str(id)[:60]}' is not the path of a shape")
    return ids


SET = EvaluationSet(
    Task(
        name="shapenet",
        title="ShapeNet-part",
        kind="classification",
        query="point",
        other="text",
        expected=2874,
        protocol="zero-shot accuracy of the shape's kind on the test set; labels of parts, and "
        f"normals, are not used; {CLIP_DEFAULT}",
        licence="research only",
        citation="Chang et al. 2015; Yi et al. 2016",
        source="shapenet.org (part annotations with normals)",
        templates=IMAGE_TEMPLATES,
        aliases=("shapenet-part", "shapenetpart"),
        groups=(UNIBIND,),
        rank=23,
    ),
    Layout(
        folders=(
            "shapenet",
            "ShapeNet",
            "shapenetcore_partanno_segmentation_benchmark_v0_normal",
        ),
        labels=(f"{_LISTS}/shuffled_test_file_list.json",),
        media=(("point", ("",)),),
        tree=f"shapenet/{_CATEGORIES}, shapenet/{_LISTS}/shuffled_{{train,test}}_file_list.json "
        "and shapenet/02691156/1021a0914a7207aff927ed529ad90a11.txt, ...",
    ),
    read=read,
    splits={"train": train},
)
