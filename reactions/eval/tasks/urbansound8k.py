"""UrbanSound8K: 8,732 clips of ten kinds of city sounds in ten folds."""

from __future__ import annotations

from reactions.eval.clips_in_folds import ClipsInFolds
from reactions.eval.published import EvaluationSet, Layout
from reactions.eval.task import SOUND_TEMPLATES, UNIBIND, Task

_CLIPS = ClipsInFolds("slice_file_name", "classID", "class", n_folds=10)

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
    read=_CLIPS.read,
    splits=_CLIPS.splits(),
)
