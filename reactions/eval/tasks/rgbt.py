"""KAIST's multispectral pedestrians: people and backgrounds in thermal pictures."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="rgbt",
        title="RGB-T (KAIST)",
        kind="classification",
        query="thermal",
        other="text",
        expected=10_000,
        protocol="zero-shot accuracy of two classes, as for LLVIP; which 10,000 boxes UniBind "
        "selected is not published: ours are chosen by a stated rule; the prompt is "
        "CLIP's default template, as UniBind says of its baselines",
        licence="not verified",
        citation="Hwang et al. 2015",
        source="github.com/SoonminHwang/rgbt-ped-detection",
        templates=IMAGE_TEMPLATES,
        aliases=("rgb-t", "kaist"),
        groups=(UNIBIND,),
        rank=26,
    ),
    Layout(
        folders=("rgbt", "kaist", "KAIST", "kaist-rgbt"),
        labels=("annotations", "annotations-xml-new", "kaist_annotations"),
        media=(("thermal", ("images", "")),),
        tree="rgbt/annotations/set06/V000/I00019.txt, ... and rgbt/set06/V000/lwir/I00019.jpg, ...",
    ),
    read=read,
    splits={"train": read},
)
