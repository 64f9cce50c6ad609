"""Flickr30K, the test split of Karpathy: images with five or more captions each."""

from __future__ import annotations

from reactions.eval.karpathy import SOURCE, items_of
from reactions.eval.published import EvaluationSet, Layout
from reactions.eval.task import CAPTIONS, FREEBIND, Task

SET = EvaluationSet(
    Task(
        name="flickr30k",
        title="Flickr30K (Karpathy test)",
        kind="retrieval",
        query="image",
        other="text",
        expected=1000,
        protocol=CAPTIONS.format(m="image"),
        licence="research only",
        citation="Young et al. 2014",
        source=SOURCE + "shannon.cs.illinois.edu/DenotationGraph (images)",
        aliases=("f30k",),
        paper_items=1000,
        groups=(FREEBIND,),
        rank=8,
    ),
    Layout(
        folders=("flickr30k", "Flickr30k", "Flickr30K", "flickr30k_entities"),
        labels=(
            "dataset_flickr30k.json",
            "annotations/dataset_flickr30k.json",
            "karpathy/dataset_flickr30k.json",
        ),
        media=(("image", ("flickr30k-images", "flickr30k_images", "images", "Images", "")),),
        tree="flickr30k/dataset_flickr30k.json and flickr30k/flickr30k-images/1007129816.jpg, ...",
    ),
    items=items_of,
)
