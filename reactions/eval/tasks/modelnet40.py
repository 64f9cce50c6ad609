"""ModelNet40: shapes of 40 kinds; its test set has 2,468."""

from __future__ import annotations

from collections.abc import Iterator

from reactions.core.local_files import is_dir, is_file
from reactions.eval.labelled import FilesByPath, Labelled, classification, media_files, stem
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData

_RESAMPLED = "modelnet40_normal_resampled"
_FOLDERS = (_RESAMPLED, "")
_NAMES = ("modelnet40_shape_names.txt", "shape_names.txt")
_N_TRAIN = 9843


def read(published: PublishedSet) -> ClassificationData:
    """Return the test shapes that are there.

    Raises:
        MissingError: the lists or all shapes are missing.
        DataError: a list is damaged, or no shape can be decoded.
    """
    return _read(published, "test", published.task.expected)


def train(published: PublishedSet) -> ClassificationData:
    """Return the training shapes that are there, as ``read`` does."""
    return _read(published, "train", _N_TRAIN)


def _read(published: PublishedSet, split: str, expected: int) -> ClassificationData:
    """Read points of the lists, or the meshes of folders: ``airplane/test/airplane_0627.off``."""
    if is_file(published.labels):
        classes, items = _listed(published, split)
    else:
        classes, items = _meshes(published, split)
    return classification(published, "point", items, classes, expected=expected)


def _listed(published: PublishedSet, split: str) -> tuple[list[str], list[Labelled]]:
    beside = published.labels.parent
    names = next((p for name in _NAMES if is_file(p := beside / name)), None)
    if names is None:
        raise published.missing(f"there is no {_NAMES[0]}", (_NAMES[0],))
    if not is_file(listed := beside / f"modelnet40_{split}.txt"):
        raise published.missing(f"there is no {listed.name}", (listed.name,))
    classes = published.read_lines(names)
    number = {name: i for i, name in enumerate(classes)}
    files = FilesByPath(published, "point", 0, _FOLDERS)
    items = []
    for id in published.read_lines(listed):  # "airplane_0627"
        shape = id.rpartition("/")[2].rpartition("_")[0]
        if shape not in number:
            raise published.damaged(listed, f"'{id[:60]}' is of none of the shapes in {names.name}")
        if (entry := files.get(id)) is not None:
            items.append(Labelled(stem(id), entry, number[shape]))
    return classes, items


def _meshes(published: PublishedSet, split: str) -> tuple[list[str], list[Labelled]]:
    root = published.labels.parent.parent
    classes = sorted(child.name for child in root.iterdir() if is_dir(child / "test"))
    return classes, list(_in_folders(published, classes, split))


def _in_folders(published: PublishedSet, classes: list[str], split: str) -> Iterator[Labelled]:
    root = published.labels.parent.parent
    for number, name in enumerate(classes):
        for entry in media_files(root / name / split, "point"):
            yield Labelled(stem(entry.name), entry, number)


SET = EvaluationSet(
    Task(
        name="modelnet40",
        title="ModelNet40",
        kind="classification",
        query="point",
        other="text",
        expected=2468,
        protocol=f"zero-shot accuracy on the test set; colours and normals are not used; "
        f"{CLIP_DEFAULT}",
        licence="research only",
        citation="Wu et al. 2015",
        source="modelnet.cs.princeton.edu (meshes), or shapenet.cs.stanford.edu/media/"
        "modelnet40_normal_resampled.zip (points)",
        templates=IMAGE_TEMPLATES,
        aliases=("mn40", "modelnet"),
        groups=(UNIBIND,),
        rank=22,
    ),
    Layout(
        folders=("modelnet40", "ModelNet40", _RESAMPLED),
        labels=(
            "modelnet40_test.txt",
            f"{_RESAMPLED}/modelnet40_test.txt",
            "airplane/test",
            "ModelNet40/airplane/test",
        ),
        media=(("point", _FOLDERS),),
        tree="modelnet40/modelnet40_{train,test}.txt, modelnet40/modelnet40_shape_names.txt and "
        "modelnet40/airplane/airplane_0627.txt, ...; or meshes: "
        "modelnet40/airplane/test/airplane_0627.off, ...",
    ),
    read=read,
    splits={"train": train},
)
