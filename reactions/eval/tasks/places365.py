"""Places365: 36,500 pictures of 365 scenes, validation set."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="places365",
        title="Places365",
        kind="classification",
        query="image",
        other="text",
        expected=36_500,
        protocol="zero-shot accuracy on the validation set, whose labels are published; those "
        "of the test set are not; the prompt is CLIP's default template, as UniBind "
        "says of its baselines",
        licence="not verified",
        citation="Zhou et al. 2018",
        source="places2.csail.mit.edu (Places365-Standard, small or high-resolution images)",
        templates=IMAGE_TEMPLATES,
        aliases=("p365", "places"),
        groups=(UNIBIND,),
        rank=20,
    ),
    Layout(
        folders=("places365", "places365_standard", "Places365"),
        labels=("places365_val.txt", "filelist_places365-standard/places365_val.txt"),
        media=(("image", ("val_256", "val_large", "val", "")),),
        tree="places365/places365_val.txt, places365/categories_places365.txt and "
        "places365/val_256/Places365_val_00000001.jpg, ...",
    ),
    read=read,
    splits={"train": read},
)
