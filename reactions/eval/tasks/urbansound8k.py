"""UrbanSound8K: 8,732 clips of ten kinds of city sounds in ten folds."""

from __future__ import annotations

from functools import partial

from reactions.eval.labelled import Labelled, classification
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import SOUND_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData, without_fold

_N_FOLDS = 10


def read(published: PublishedSet) -> ClassificationData:
    """Return the clips that are there; classes in the order of their published numbers.

    Raises:
        MissingError: no clip is there.
        DataError: the csv is damaged, or no clip can be decoded.
    """
    path = published.labels
    rows = list(published.read_csv(path, ("slice_file_name", "fold", "classID", "class")))
    names: dict[int, str] = {}
    for row in rows:
        if not (row["classID"].isdecimal() and row["fold"].isdecimal()):
            name = row["slice_file_name"]
            raise published.damaged(path, f"classID or fold of '{name}' is not a number")
        if not 1 <= int(row["fold"]) <= _N_FOLDS:
            raise published.damaged(path, f"there is a fold {row['fold']}, and they are 1 to 10")
        if names.setdefault(int(row["classID"]), row["class"]) != row["class"]:
            raise published.damaged(path, f"classID {row['classID']} has two classes")
    numbers = sorted(names)
    media_index = published.media_index("audio")
    items = [
        Labelled(
            row["slice_file_name"].rpartition(".")[0],
            entry,
            numbers.index(int(row["classID"])),
            int(row["fold"]) - 1,  # published folds count from 1, ours from 0
        )
        for row in rows
        if (entry := media_index.get([row["slice_file_name"]])) is not None
    ]
    return classification(
        published,
        "audio",
        items,
        (names[number] for number in numbers),
        expected=published.task.expected,
        in_folds=True,
    )


def all_but(fold: int, published: PublishedSet) -> ClassificationData:
    """Return the clips of all folds but one, from 1, to be trained on."""
    return without_fold(read(published), fold, f"fold{fold}")


SET = EvaluationSet(
    Task(
        name="urbansound8k",
        title="UrbanSound8K",
        kind="classification",
        query="audio",
        other="text",
        expected=8732,
        protocol="zero-shot accuracy over all ten folds, one number a fold beside it (fold_0 is "
        "fold 1), for the test set that UniBind names is not published; the prompt is that of "
        "ESC-50; underscores in class names are spaces",
        licence="CC-BY-NC-3.0",
        citation="Salamon et al. 2014",
        source="urbansounddataset.weebly.com or zenodo.org/records/1203745",
        templates=SOUND_TEMPLATES,
        aliases=("us8k", "urban-s", "urbansound"),
        groups=(UNIBIND,),
        rank=24,
    ),
    Layout(
        folders=("urbansound8k", "UrbanSound8K"),
        labels=("metadata/UrbanSound8K.csv", "UrbanSound8K.csv"),
        media=(("audio", ("audio", "")),),
        tree="UrbanSound8K/metadata/UrbanSound8K.csv and "
        "UrbanSound8K/audio/fold1/101415-3-0-2.wav, ...",
    ),
    read=read,
    splits={f"fold{n}": partial(all_but, n) for n in range(1, _N_FOLDS + 1)},
)
