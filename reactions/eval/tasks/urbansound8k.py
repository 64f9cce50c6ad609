"""UrbanSound8K: 8,732 clips of ten kinds of city sounds in ten folds."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import SOUND_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="urbansound8k",
        title="UrbanSound8K",
        kind="classification",
        query="audio",
        other="text",
        expected=8_732,
        protocol="zero-shot accuracy over all ten folds, one number a fold beside it: no test "
        "set is published",
        licence="CC-BY-NC-3.0",
        citation="Salamon et al. 2014",
        source="urbansounddataset.weebly.com, or zenodo.org/records/1203745",
        templates=SOUND_TEMPLATES,
        aliases=("us8k", "urban-s", "urbansound"),
        groups=(UNIBIND,),
        rank=24,
    ),
    Layout(
        folders=("urbansound8k", "UrbanSound8K"),
        labels=("metadata/UrbanSound8K.csv", "UrbanSound8K.csv"),
        media=(("audio", ("audio", "")),),
        tree="urbansound8k/metadata/UrbanSound8K.csv and "
        "urbansound8k/audio/fold1/101415-3-0-2.wav, ...",
    ),
    read=read,
    splits={f"fold{n}": read for n in range(1, 11)},
)
