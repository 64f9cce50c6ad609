"""Clotho's evaluation split: clips of Freesound with five captions each."""

from __future__ import annotations

from reactions.eval.task_data import RetrievalData
from reactions.eval.tasks.published import (
    Captioned,
    Layout,
    PublishedSet,
    captioned,
    captions_in,
)

LAYOUT = Layout(
    task="clotho",
    title="Clotho",
    expected=1045,
    folders=("clotho", "Clotho", "clotho_v2"),
    labels=("clotho_captions_evaluation.csv", "csv/clotho_captions_evaluation.csv"),
    media=(("audio", ("evaluation", "clotho_audio_evaluation", "audio/evaluation", "audio", "")),),
    origin="zenodo.org/record/4783391 (version 2.1)",
    tree="clotho/clotho_captions_evaluation.csv (file_name, caption_1, ..., caption_5) and "
    "clotho/evaluation/FILE_NAME, ...",
)


def items_of(published: PublishedSet) -> list[Captioned]:
    """Return the clips, whether they are there or not.

    Raises:
        DataError: the csv is damaged.
    """
    columns = [f"caption_{i}" for i in range(1, 6)]
    return [
        Captioned(
            id=row["file_name"].rpartition(".")[0] or row["file_name"],
            names=(row["file_name"],),
            captions=captions_in(published, row["file_name"], (row[column] for column in columns)),
        )
        for row in published.read_csv(published.labels, ["file_name", *columns])
    ]


def read(published: PublishedSet) -> RetrievalData:
    """Return the clips that are there, with all their captions.

    Raises:
        MissingError: no clip is there.
        DataError: the csv is damaged, or no clip can be decoded.
    """
    return captioned(published, "audio", items_of(published))
