"""Caltech-101: pictures of 100 objects and of what is none, without the doubled faces."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="caltech101",
        title="Caltech-101",
        kind="classification",
        query="image",
        other="text",
        expected=1_741,
        protocol="zero-shot accuracy on a fifth of the pictures: those of EventBind's list if "
        "it is there, else, for no split is published, the fifth of each class with "
        "the lowest hashes of their names; Faces, which Faces_easy repeats, is left "
        "out; the prompt is CLIP's default template, as UniBind says of its baselines",
        licence="CC-BY-4.0",
        citation="Fei-Fei et al. 2004",
        source="data.caltech.edu/records/mzrjq-6wc02",
        templates=IMAGE_TEMPLATES,
        aliases=("cal", "caltech-101"),
        groups=(UNIBIND,),
        rank=21,
    ),
    Layout(
        folders=("caltech101", "caltech-101", "Caltech101"),
        labels=("101_ObjectCategories", "caltech-101/101_ObjectCategories"),
        media=(("image", ("101_ObjectCategories", "")),),
        tree="caltech101/101_ObjectCategories/accordion/image_0001.jpg, ...",
    ),
    read=read,
    splits={"train": read},
)
