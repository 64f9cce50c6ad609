"""KAIST's multispectral pedestrians: people and backgrounds in thermal pictures."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from reactions.core.addresses import Entry
from reactions.core.local_files import is_dir
from reactions.core.storage import walk
from reactions.core.types import Modality
from reactions.eval.box_files import Mark, read_marks
from reactions.eval.crops import Annotated, person_crops
from reactions.eval.label_files import Damaged
from reactions.eval.labelled import media_files
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData

N_PEOPLE, N_BACKGROUNDS = 5131, 4869
"""As UniBind says of its selection."""

LEAST_HEIGHT = 50
"""Pixels of a person that is selected."""

_SETS = {"train": range(6), "test": range(6, 12)}
_ANNOTATIONS = (
    "annotations",
    "annotations-xml",
    "annotations-xml-new",
    "annotations-xml-new-sanitized",
)
"""The published ones first; later ones are others' corrections."""
_IMAGES = ("images", "")
_FRAME = re.compile(r"(?:.*/)?set(\d\d)/(V\d{3})/(?:(?:lwir|visible)/)?(I\d+)\.\w+")

RULE = (
    f"UniBind's selection is not published: of the people at least {LEAST_HEIGHT} pixels high, "
    f"neither hidden nor ignored, the {N_PEOPLE:,} with the lowest hashes of frame and number, "
    f"and {N_BACKGROUNDS:,} backgrounds"
)


def read(split: str, published: PublishedSet, modality: Modality = "thermal") -> ClassificationData:
    """Return crops out of the pictures of a split.

    Args:
        split: ``test``, sets 6 to 11, or ``train``, sets 0 to 5.
        published: the set.
        modality: ``image`` for the same places of the visible pictures.

    Raises:
        MissingError: no picture is there.
        DataError: annotations are damaged, or no picture can be decoded.
    """
    camera = "lwir" if modality == "thermal" else "visible"
    annotations = published.labels.parent
    root = annotations.parent
    pictures = {
        frame: entry
        for name in _IMAGES
        if is_dir(root / name)
        for entry in media_files(root / name, modality)
        if f"/{camera}/" in f"/{entry.name}" and (frame := _frame(entry, split)) is not None
    }
    candidates: dict[tuple[str, int], Mark] = {}
    marked: dict[str, list[Mark]] = {}
    for entry in walk(str(annotations)):
        frame = _frame(entry, split)
        if frame is None or frame not in pictures:
            continue
        marked[frame] = list(_marks(published, Path(entry.url)))
        for number, mark in enumerate(marked[frame]):
            if _is_candidate(mark):
                candidates[frame, number] = mark
    people = sorted(candidates, key=_order)[:N_PEOPLE]
    of_frame: dict[str, list[int]] = {}
    for frame, number in people:
        of_frame.setdefault(frame, []).append(number)
    annotated = [
        Annotated(
            frame,
            pictures[frame],
            tuple(marked[frame][number].box for number in sorted(numbers)),
            tuple(m.box for i, m in enumerate(marked[frame]) if i not in numbers),
        )
        for frame, numbers in sorted(of_frame.items())
    ]
    return person_crops(
        published,
        annotated,
        expected=published.task.expected if split == "test" else 0,
        modality=modality,
        n_backgrounds=N_BACKGROUNDS,
        remarks=(RULE, f"people are those of {annotations.name}"),
    )


def _frame(entry: Entry, split: str) -> str | None:
    """Return the frame of a picture or of annotations, ``set06/V000/I00019``, if of a split."""
    match = _FRAME.fullmatch(f"/{entry.name}")
    if match is None or int(match[1]) not in _SETS[split]:
        return None
    return f"set{match[1]}/{match[2]}/{match[3]}"


def _marks(published: PublishedSet, path: Path) -> Iterator[Mark]:
    try:
        yield from read_marks(path)
    except Damaged as error:
        raise published.damaged(path, str(error)) from error


def _is_candidate(mark: Mark) -> bool:
    return (
        mark.name == "person"
        and mark.box.height >= LEAST_HEIGHT
        and not mark.hidden
        and not mark.ignored
    )


def _order(candidate: tuple[str, int]) -> bytes:
    frame, number = candidate
    return hashlib.sha256(f"rgbt/{frame}/{number}".encode()).digest()


SET = EvaluationSet(
    Task(
        name="rgbt",
        title="RGB-T (KAIST)",
        kind="classification",
        query="thermal",
        other="text",
        expected=N_PEOPLE + N_BACKGROUNDS,
        protocol=f"zero-shot accuracy of two classes, as for LLVIP; {RULE}, out of sets 6 to 11; "
        f"{CLIP_DEFAULT}",
        licence="not verified",
        citation="Hwang et al. 2015",
        source="github.com/SoonminHwang/rgbt-ped-detection",
        templates=IMAGE_TEMPLATES,
        aliases=("rgb-t", "kaist"),
        groups=(UNIBIND,),
        rank=26,
    ),
    Layout(
        folders=("rgbt", "kaist", "kaist-rgbt", "RGBT"),
        labels=tuple(
            f"{name}/{part}" for name in _ANNOTATIONS for part in ("set06", "set07", "set00")
        ),
        media=(("thermal", _IMAGES),),
        tree="kaist/annotations/set06/V000/I00019.txt (or annotations-xml-new/...xml), ... and "
        "kaist/set06/V000/lwir/I00019.jpg, ... or kaist/images/set06/...",
    ),
    read=partial(read, "test"),
    splits={
        "train": partial(read, "train"),
        "train_visible": partial(read, "train", modality="image"),
    },
)
