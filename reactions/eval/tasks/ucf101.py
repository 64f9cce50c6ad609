"""UCF101: 13,320 clips of 101 human actions, and three ways to divide them."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from reactions.core.local_files import is_dir, is_file
from reactions.eval.labelled import FilesByPath, Labelled, classification, stem
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData

_MEDIA = ("UCF-101", "")
_TEST = (3783, 3734, 3696)
_TRAIN = (9537, 9586, 9624)
"""Clips of each list."""

_WORD = re.compile(r"[A-Z][a-z]*|[a-z]+|\d+")


def read(published: PublishedSet) -> ClassificationData:
    """Return the clips of the test lists that are there; a fold is a list.

    Raises:
        MissingError: all lists or all clips are missing.
        DataError: a list is damaged, or no clip can be decoded.
    """
    folder = _lists(published)
    folds = [n for n in (1, 2, 3) if is_file(folder / f"testlist0{n}.txt")]
    if not folds:
        raise published.missing("there is no testlist01.txt", ("testlist01.txt",))
    names = _classes(published, folder)
    files = FilesByPath(published, "video", 0, _MEDIA)
    items = {
        item.id: item
        for n in folds
        for item in _listed(published, folder / f"testlist0{n}.txt", names, files, n - 1)
    }
    lacking = ", ".join(f"testlist0{n}.txt" for n in (1, 2, 3) if n not in folds)
    remarks = (f"{lacking} not there: their clips are not scored",) if lacking else ()
    return classification(
        published,
        "video",
        list(items.values()),
        map(spoken, names),
        expected=sum(_TEST[n - 1] for n in folds),
        in_folds=True,
        remarks=remarks,
    )


def train(number: int, published: PublishedSet) -> ClassificationData:
    """Return the clips of a training list, from 1, that are there.

    Raises:
        MissingError: the list or all clips are missing.
        DataError: a list is damaged, or no clip can be decoded.
    """
    folder = _lists(published)
    path = folder / f"trainlist0{number}.txt"
    if not is_file(path):
        raise published.missing(f"there is no {path.name}", (path.name,))
    names = _classes(published, folder)
    files = FilesByPath(published, "video", 0, _MEDIA)
    items = _listed(published, path, names, files, 0)
    return classification(
        published, "video", items, map(spoken, names), expected=_TRAIN[number - 1]
    )


def spoken(name: str) -> str:
    """Return a class in words: ``ApplyEyeMakeup`` is Apply Eye Makeup."""
    return " ".join(_WORD.findall(name)) or name


def _lists(published: PublishedSet) -> Path:
    return published.labels if is_dir(published.labels) else published.labels.parent


def _classes(published: PublishedSet, folder: Path) -> list[str]:
    if not is_file(path := folder / "classInd.txt"):
        raise published.missing("there is no classInd.txt", ("classInd.txt",))
    names: dict[int, str] = {}
    for line in published.read_lines(path):  # "1 ApplyEyeMakeup"
        number, _, name = line.partition(" ")
        if not (number.isdecimal() and name.strip()):
            raise published.damaged(path, f"no number and class in the line '{line[:60]}'")
        names[int(number)] = name.strip()
    return [names[number] for number in sorted(names)]


def _listed(
    published: PublishedSet, path: Path, names: list[str], files: FilesByPath, fold: int
) -> list[Labelled]:
    number = {name: i for i, name in enumerate(names)}
    items = []
    for line in published.read_lines(path):  # "Archery/v_Archery_g01_c01.avi", or with " 3" behind
        video = line.split(" ")[0]
        name = video.partition("/")[0]
        if "/" not in video or name not in number:
            raise published.damaged(path, f"no class of classInd.txt in the line '{line[:60]}'")
        if (entry := files.get(video)) is not None:
            items.append(Labelled(stem(video), entry, number[name], fold))
    return items


SET = EvaluationSet(
    Task(
        name="ucf101",
        title="UCF101",
        kind="classification",
        query="video",
        other="text",
        expected=sum(_TEST),
        protocol="zero-shot accuracy over the three test lists, one number a list beside it "
        "(fold_0 is the first), for UniBind names no split; class names are divided into words; "
        f"{CLIP_DEFAULT}",
        licence="not verified",
        citation="Soomro et al. 2012",
        source="crcv.ucf.edu/data/UCF101.php (videos, and the splits for action recognition)",
        templates=IMAGE_TEMPLATES,
        aliases=("ucf", "ucf-101", "ufc-101"),
        groups=(UNIBIND,),
        rank=28,
    ),
    Layout(
        folders=("ucf101", "UCF101", "UCF-101"),
        labels=("ucfTrainTestlist", "testlist01.txt"),
        media=(("video", _MEDIA),),
        tree="ucf101/ucfTrainTestlist/{classInd,trainlist01,testlist01,...}.txt and "
        "ucf101/UCF-101/Archery/v_Archery_g01_c01.avi, ...",
    ),
    read=read,
    splits={
        "train": partial(train, 1),
        **{f"fold{n}": partial(train, n) for n in (1, 2, 3)},
    },
)
