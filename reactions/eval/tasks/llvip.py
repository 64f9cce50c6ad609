"""LLVIP: people and backgrounds in thermal pictures of streets at night."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from reactions.core.local_files import is_dir
from reactions.core.types import Modality
from reactions.eval.box_files import read_marks
from reactions.eval.crops import CLASSES, Annotated, person_crops
from reactions.eval.label_files import Damaged
from reactions.eval.labelled import Labelled, classification, media_files, stem
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData
from reactions.modalities.images.crops import Rectangle

_ANNOTATIONS = "Annotations"
_READY = {"test": ("val", "test"), "train": ("train",)}
"""Folders of crops that others cut out, with a folder a class."""

_N_PEOPLE = 7931
_OURS = (
    f"backgrounds are ours: of the published set, with {_N_PEOPLE:,} people and "
    f"{15_809 - _N_PEOPLE:,} backgrounds, the latter are not known"
)


def read(split: str, published: PublishedSet, modality: Modality = "thermal") -> ClassificationData:
    """Return crops out of the pictures of a split, or those that were cut out before.

    Args:
        split: ``test`` or ``train``.
        published: the set.
        modality: ``image`` for the same places of the visible pictures.

    Raises:
        MissingError: no picture is there.
        DataError: annotations are damaged, or no picture can be decoded.
    """
    expected = published.task.expected if split == "test" else 0
    if published.labels.name == "person":
        if modality == "image":
            raise published.missing("ready crops have no visible pictures", ("visible",))
        return _ready(published, _READY[split], expected)
    camera = "infrared" if modality == "thermal" else "visible"
    folder = published.labels.parent.parent / camera / split
    annotations = published.labels.parent.parent / _ANNOTATIONS
    if not is_dir(folder):
        raise published.missing(f"there is no {camera}/{split}", (f"{camera}/{split}",))
    pictures = []
    for entry in media_files(folder, modality):
        path = annotations / f"{stem(entry.name)}.xml"
        if not path.is_file():
            raise published.missing(f"{entry.name} has no annotations", (str(path.name),))
        pictures.append(Annotated(stem(entry.name), entry, *_boxes(published, path)))
    return person_crops(
        published,
        pictures,
        expected=expected,
        modality=modality,
        remarks=(_OURS,),
    )


def _boxes(
    published: PublishedSet, path: Path
) -> tuple[tuple[Rectangle, ...], tuple[Rectangle, ...]]:
    try:
        marks = read_marks(path)
    except Damaged as error:
        raise published.damaged(path, str(error)) from error
    people = tuple(mark.box for mark in marks if mark.name == "person")
    return people, tuple(mark.box for mark in marks if mark.name != "person")


def _ready(published: PublishedSet, splits: Sequence[str], expected: int) -> ClassificationData:
    root = published.labels.parent.parent
    folder = next((root / split for split in splits if is_dir(root / split)), None)
    if folder is None:
        raise published.missing(f"there is no {splits[0]}", splits)
    items = [
        Labelled(f"{name}/{stem(entry.name)}", entry, label)
        for label, name in enumerate(CLASSES)
        for entry in media_files(folder / name, "thermal")
    ]
    return classification(
        published,
        "thermal",
        items,
        CLASSES,
        expected=expected,
        remarks=("crops are taken as they lie there, cut out by others",),
    )


SET = EvaluationSet(
    Task(
        name="llvip",
        title="LLVIP",
        kind="classification",
        query="thermal",
        other="text",
        expected=15_809,
        protocol="zero-shot accuracy of two classes: the people annotated in the infrared test "
        "pictures, and rectangles of equal size that touch none of them, at places drawn with a "
        f"fixed seed, for the published ones are not known; {CLIP_DEFAULT}",
        licence="not verified",
        citation="Jia et al. 2021",
        source="bupt-ai-cz.github.io/LLVIP; ready crops: LanguageBind's thermal data",
        templates=IMAGE_TEMPLATES,
        groups=(UNIBIND,),
        rank=25,
    ),
    Layout(
        folders=("llvip", "LLVIP"),
        labels=("infrared/test", "LLVIP/infrared/test", "val/person", "test/person"),
        media=(("thermal", ("infrared/test", "val", "test")),),
        tree="LLVIP/Annotations/190001.xml, ... and LLVIP/infrared/{train,test}/190001.jpg, ...; "
        "or ready crops: llvip/{train,val}/{person,background}/*.jpg",
    ),
    read=partial(read, "test"),
    splits={
        "train": partial(read, "train"),
        "train_visible": partial(read, "train", modality="image"),
    },
)
