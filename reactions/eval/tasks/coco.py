"""COCO, the test split of Karpathy: images with five or more captions each."""

from __future__ import annotations

from reactions.eval.karpathy import SOURCE, items_of
from reactions.eval.published import EvaluationSet, Layout
from reactions.eval.task import CAPTIONS, FREEBIND, Task

SET = EvaluationSet(
    Task(
        name="coco",
        title="COCO (Karpathy test)",
        kind="retrieval",
        query="image",
        other="text",
        expected=5000,
        protocol=CAPTIONS.format(m="image"),
        licence="CC-BY-4.0 (annotations)",
        citation="Lin et al. 2014",
        source=SOURCE + "cocodataset.org (val2014 images)",
        aliases=("mscoco", "ms-coco"),
        paper_items=5000,
        groups=(FREEBIND,),
        rank=7,
    ),
    Layout(
        folders=("coco", "COCO", "mscoco", "coco2014"),
        labels=("dataset_coco.json", "annotations/dataset_coco.json", "karpathy/dataset_coco.json"),
        media=(("image", ("val2014", "images/val2014", "images", "")),),
        tree="coco/dataset_coco.json and coco/val2014/COCO_val2014_000000391895.jpg, ...",
    ),
    items=items_of,
)
