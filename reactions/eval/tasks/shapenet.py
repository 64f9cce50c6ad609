"""ShapeNet-part: 2,874 shapes of 16 kinds, test set."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="shapenet",
        title="ShapeNet-part",
        kind="classification",
        query="point",
        other="text",
        expected=2_874,
        protocol="zero-shot accuracy on the test set; the class is that of the shape, parts "
        "are not used; the prompt is CLIP's default template, as UniBind says of its "
        "baselines",
        licence="research only",
        citation="Chang et al. 2015; Yi et al. 2016",
        source="shapenet.org (ShapeNetCore part annotations with normals)",
        templates=IMAGE_TEMPLATES,
        aliases=("shapenet-part", "shapenetpart"),
        groups=(UNIBIND,),
        rank=23,
    ),
    Layout(
        folders=("shapenet", "shapenetcore_partanno_segmentation_benchmark_v0_normal"),
        labels=("train_test_split/shuffled_test_file_list.json",),
        media=(("point", ("",)),),
        tree="shapenet/synsetoffset2category.txt, "
        "shapenet/train_test_split/shuffled_test_file_list.json and "
        "shapenet/02691156/1021a0914a7207aff927ed529ad90a11.txt, ...",
    ),
    read=read,
    splits={"train": read},
)
