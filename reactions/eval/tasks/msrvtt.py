"""MSR-VTT: 2,990 clips of 20 categories, test set."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="msrvtt",
        title="MSR-VTT",
        kind="classification",
        query="video",
        other="text",
        expected=2_990,
        protocol="zero-shot accuracy of the 20 categories on the test set; not the usual "
        "retrieval of captions; the prompt is CLIP's default template, as UniBind "
        "says of its baselines",
        licence="not verified",
        citation="Xu et al. 2016",
        source="the set's authors (ms-multimedia-challenge.com, 2017); clips come from YouTube",
        templates=IMAGE_TEMPLATES,
        aliases=("msr-vtt",),
        groups=(UNIBIND,),
        rank=27,
    ),
    Layout(
        folders=("msrvtt", "MSRVTT", "MSR-VTT"),
        labels=("test_videodatainfo.json", "MSRVTT_data.json"),
        media=(("video", ("TestVideo", "TrainValVideo", "videos", "")),),
        tree="msrvtt/test_videodatainfo.json, msrvtt/train_val_videodatainfo.json, "
        "msrvtt/category.txt, msrvtt/TestVideo/video7010.mp4, ... and "
        "msrvtt/TrainValVideo/video0.mp4, ...",
    ),
    read=read,
    splits={"train": read, "trainval": read},
)
