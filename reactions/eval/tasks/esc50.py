"""ESC-50: 2,000 clips of 50 classes in five folds."""

from __future__ import annotations

from functools import partial

from reactions.eval.labelled import Labelled, classification
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import FREEBIND, SOUND_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData, without_fold


def read(published: PublishedSet) -> ClassificationData:
    """Return the clips that are there; classes in the order of their published numbers.

    Raises:
        MissingError: no clip is there.
        DataError: the csv is damaged, or no clip can be decoded.
    """
    path = published.labels
    rows = list(published.read_csv(path, ("filename", "fold", "target", "category")))
    names: dict[int, str] = {}
    for row in rows:
        if not (row["target"].isdecimal() and row["fold"].isdecimal()):
            raise published.damaged(path, f"target or fold of '{row['filename']}' is not a number")
        if names.setdefault(int(row["target"]), row["category"]) != row["category"]:
            raise published.damaged(path, f"target {row['target']} has two categories")
    numbers = sorted(names)
    media_index = published.media_index("audio")
    items = [
        Labelled(
            row["filename"].rpartition(".")[0],
            entry,
            numbers.index(int(row["target"])),
            int(row["fold"]) - 1,  # published folds count from 1, ours from 0
        )
        for row in rows
        if (entry := media_index.get([row["filename"]])) is not None
    ]
    if not items:
        raise published.missing(f"none of its {len(rows)} clips is there", ("audio",))
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
        name="esc50",
        title="ESC-50",
        kind="classification",
        query="audio",
        other="text",
        expected=2000,
        protocol="zero-shot accuracy over all five folds, one number a fold beside it; "
        "underscores in class names are spaces",
        licence="CC-BY-NC-3.0",
        citation="Piczak 2015",
        source="github.com/karolpiczak/ESC-50",
        templates=SOUND_TEMPLATES,
        aliases=("esc",),
        paper_items=400,  # it cannot be: the paper's scores are multiples of 1/2000
        groups=(FREEBIND, UNIBIND),
        rank=1,
    ),
    Layout(
        folders=("esc50", "ESC-50", "ESC-50-master"),
        labels=("meta/esc50.csv", "esc50.csv"),
        media=(("audio", ("audio", "")),),
        tree="ESC-50/meta/esc50.csv and ESC-50/audio/1-100032-A-0.wav, ...",
    ),
    read=read,
    splits={f"fold{n}": partial(all_but, n) for n in range(1, 6)},
)
