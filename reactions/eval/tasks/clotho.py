"""Clotho's evaluation split: clips of Freesound with five captions each."""

from __future__ import annotations

from reactions.eval.published import (
    Captioned,
    EvaluationSet,
    Layout,
    PublishedSet,
    captions_in,
)
from reactions.eval.task import CAPTIONS, FREEBIND, Task


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


SET = EvaluationSet(
    Task(
        name="clotho",
        title="Clotho",
        kind="retrieval",
        query="audio",
        other="text",
        expected=1045,
        protocol=CAPTIONS.format(m="audio"),
        licence="Tampere University licence, non-commercial (captions)",
        citation="Drossos et al. 2020",
        source="zenodo.org/record/4783391 (version 2.1)",
        paper_items=1045,
        groups=(FREEBIND,),
        rank=4,
    ),
    Layout(
        folders=("clotho", "Clotho", "clotho_v2"),
        labels=("clotho_captions_evaluation.csv", "csv/clotho_captions_evaluation.csv"),
        media=(
            ("audio", ("evaluation", "clotho_audio_evaluation", "audio/evaluation", "audio", "")),
        ),
        tree="clotho/clotho_captions_evaluation.csv (file_name, caption_1, ..., caption_5) and "
        "clotho/evaluation/FILE_NAME, ...",
    ),
    items=items_of,
)
