"""MSR-VTT: clips of 20 categories; its test set has 2,990."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from reactions.core.local_files import is_file
from reactions.eval.labelled import FilesByPath, Labelled, classification
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData

_LISTS = (
    "test_videodatainfo.json",
    "train_val_videodatainfo.json",
    "videodatainfo_2017.json",
    "MSRVTT_data.json",
)
_MEDIA = ("TestVideo", "TrainValVideo", "videos", "all", "")
_TRAIN = {"train": 6513, "trainval": 7010}


def read(published: PublishedSet) -> ClassificationData:
    """Return the test clips that are there; classes in the order of their published numbers.

    Raises:
        MissingError: the lists or all clips are missing.
        DataError: a list is damaged, or no clip can be decoded.
    """
    return _read(published, {"test"}, published.task.expected)


def train(name: str, published: PublishedSet) -> ClassificationData:
    """Return the clips for training, with those for validation if ``name`` is ``trainval``.

    Raises:
        MissingError: the lists or all clips are missing.
        DataError: a list is damaged, or no clip can be decoded.
    """
    splits = {"train", "validate"} if name == "trainval" else {"train"}
    return _read(published, splits, _TRAIN[name])


def _read(published: PublishedSet, splits: Collection[str], expected: int) -> ClassificationData:
    if not is_file(path := published.labels.parent / "category.txt"):
        raise published.missing("there is no category.txt", ("category.txt",))
    names: dict[int, str] = {}
    for line in published.read_lines(path):  # "music	0"
        name, _, number = line.replace("\t", " ").rpartition(" ")
        if not (name.strip() and number.isdecimal()):
            raise published.damaged(path, f"no category and its number in the line '{line[:60]}'")
        names[int(number)] = name.strip()
    numbers = sorted(names)
    listed: dict[str, int] = {}
    for file, video in _videos(published):
        category = video.get("category")
        if type(category) is not int or category not in names:
            raise published.damaged(file, f"'{video['video_id']}' has none of the categories")
        if video.get("split") in splits:
            listed[video["video_id"]] = numbers.index(category)
    if not listed:
        raise published.missing(f"no list has clips for {' or '.join(sorted(splits))}", _LISTS)
    files = FilesByPath(published, "video", 0, _MEDIA)
    items = [
        Labelled(id, entry, label)
        for id, label in listed.items()
        if (entry := files.get(f"{id}.mp4")) is not None
    ]
    return classification(
        published, "video", items, (names[number] for number in numbers), expected=expected
    )


def _videos(published: PublishedSet) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the file and the record of each clip in all lists that are there."""
    for path in (published.labels.parent / name for name in _LISTS):
        if not is_file(path):
            continue
        record = published.read_json(path)
        videos = record.get("videos") if isinstance(record, Mapping) else None
        if not isinstance(videos, list) or not videos:
            raise published.damaged(path, "it has no list of videos")
        for video in videos:
            if not isinstance(video, Mapping) or not isinstance(video.get("video_id"), str):
                raise published.damaged(path, "a video has no video_id")
            yield path, video


SET = EvaluationSet(
    Task(
        name="msrvtt",
        title="MSR-VTT",
        kind="classification",
        query="video",
        other="text",
        expected=2990,
        protocol="zero-shot accuracy of the 20 categories on the test set, not the usual "
        f"retrieval of captions; {CLIP_DEFAULT}",
        licence="not verified",
        citation="Xu et al. 2016",
        source="the MSR Video to Language Challenge; clips come from YouTube",
        templates=IMAGE_TEMPLATES,
        aliases=("msr-vtt",),
        groups=(UNIBIND,),
        rank=27,
    ),
    Layout(
        folders=("msrvtt", "MSRVTT", "MSR-VTT"),
        labels=_LISTS,
        media=(("video", _MEDIA),),
        tree="msrvtt/{train_val,test}_videodatainfo.json, msrvtt/category.txt, "
        "msrvtt/TestVideo/video7010.mp4, ... and msrvtt/TrainValVideo/video0.mp4, ...",
    ),
    read=read,
    splits={name: partial(train, name) for name in _TRAIN},
)
