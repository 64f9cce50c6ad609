"""ESC-50: 2,000 clips of 50 classes in five folds."""

from __future__ import annotations

from reactions.eval.clips_in_folds import ClipsInFolds
from reactions.eval.published import EvaluationSet, Layout
from reactions.eval.task import FREEBIND, SOUND_TEMPLATES, UNIBIND, Task

_CLIPS = ClipsInFolds("filename", "target", "category", n_folds=5)

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
    read=_CLIPS.read,
    splits=_CLIPS.splits(),
)
