"""ModelNet40: 2,468 shapes of 40 kinds, test set."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="modelnet40",
        title="ModelNet40",
        kind="classification",
        query="point",
        other="text",
        expected=2_468,
        protocol="zero-shot accuracy on the test set; the prompt is CLIP's default template, "
        "as UniBind says of its baselines",
        licence="research only",
        citation="Wu et al. 2015",
        source="modelnet.cs.princeton.edu (meshes), or its resampled points: "
        "shapenet.cs.stanford.edu/media/modelnet40_normal_resampled.zip",
        templates=IMAGE_TEMPLATES,
        aliases=("mn40", "modelnet"),
        groups=(UNIBIND,),
        rank=22,
    ),
    Layout(
        folders=("modelnet40", "modelnet40_normal_resampled", "ModelNet40"),
        labels=("modelnet40_test.txt",),
        media=(("point", ("modelnet40_normal_resampled", "")),),
        tree="modelnet40/modelnet40_test.txt, modelnet40/modelnet40_shape_names.txt and "
        "modelnet40/airplane/airplane_0001.txt, ...",
    ),
    read=read,
    splits={"train": read},
)
