"""AudioSet's evaluation segments: clips of YouTube with several of 527 classes each."""

from __future__ import annotations

import csv

import numpy as np

from reactions.eval.label_files import PUBLISHED
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import FREEBIND, SOUND_TEMPLATES, Task
from reactions.eval.task_data import MultilabelData


def read(published: PublishedSet) -> MultilabelData:
    """Return the segments that are there.

    Raises:
        MissingError: the list of classes or every clip is missing.
        DataError: a csv is damaged, or no clip can be decoded.
    """
    mids, classes = _classes(published)
    column = {mid: i for i, mid in enumerate(mids)}
    segments = _segments(published)
    media_index = published.media_index("audio")
    present = [
        (id, labels, entry)
        for id, labels in segments.items()
        if (entry := media_index.get_video(id)) is not None
    ]
    if not present:
        raise published.missing(f"none of its {len(segments)} segments has a file", ("audio",))
    part = published.part("audio", [(id, entry) for id, _, entry in present])
    targets = np.zeros((len(present), len(classes)), np.bool_)
    for row, (id, labels, _) in enumerate(present):
        for mid in labels:
            if mid not in column:
                why = f"'{id}' has the class '{mid}', which class_labels_indices.csv lacks"
                raise published.damaged(published.labels, why)
            targets[row, column[mid]] = True
    return MultilabelData(
        queries=published.corpus(part, part.good, "audio"),
        targets=targets[part.good],
        classes=classes,
        expected=published.task.expected,
    )


def _classes(published: PublishedSet) -> tuple[list[str], tuple[str, ...]]:
    path = published.labels.with_name("class_labels_indices.csv")
    if not path.is_file():
        raise published.missing(f"no {path.name} beside {published.labels.name}")
    rows = list(published.read_csv(path, ("index", "mid", "display_name")))
    if not all(row["index"].isdecimal() for row in rows):
        raise published.damaged(path, "an index is not a number")
    rows.sort(key=lambda row: int(row["index"]))
    return [row["mid"] for row in rows], tuple(row["display_name"] for row in rows)


def _segments(published: PublishedSet) -> dict[str, list[str]]:
    """Return YouTube ids and their labels; the header is three lines of comment."""
    lines = [line for line in published.read_lines(published.labels) if not line.startswith("#")]
    segments: dict[str, list[str]] = {}
    for line in lines:
        try:  # one by one: a lone quote must not take the next line with it
            fields = PUBLISHED.fields_of(line)
        except csv.Error as error:
            raise published.damaged(published.labels, f"{error}: {line[:60]}") from None
        if fields[0] == "YTID":
            continue
        # Published as one quoted field; without the quotes its commas separate fields.
        labels = [mid.strip() for mid in ",".join(fields[3:]).split(",") if mid.strip()]
        if len(fields) < 4 or not labels:
            raise published.damaged(
                published.labels, f"a line has no labels: {','.join(fields)[:60]}"
            )
        if fields[0] in segments:
            raise published.damaged(published.labels, f"'{fields[0]}' is listed twice")
        segments[fields[0]] = labels
    if not segments:
        raise published.damaged(published.labels, "it lists no segments")
    return segments


SET = EvaluationSet(
    Task(
        name="audioset",
        title="AudioSet",
        kind="multilabel",
        query="audio",
        other="text",
        expected=19048,  # what the paper found of the 20,371 segments that were published
        protocol="macro mean of average precision over the classes present, on raw cosines",
        licence="CC-BY-4.0 (labels)",
        citation="Gemmeke et al. 2017",
        source="research.google.com/audioset (labels; clips come from YouTube)",
        templates=SOUND_TEMPLATES,
        paper_items=19048,
        groups=(FREEBIND,),
        rank=2,
    ),
    Layout(
        folders=("audioset", "AudioSet"),
        labels=("eval_segments.csv", "metadata/eval_segments.csv", "csv/eval_segments.csv"),
        media=(("audio", ("eval", "eval_segments", "audio/eval", "audio", "")),),
        tree="audioset/eval_segments.csv, audioset/class_labels_indices.csv beside it and "
        "audioset/audio/YTID.wav (or YYTID.wav, YTID_START_END.wav), ...",
    ),
    read=read,
)
