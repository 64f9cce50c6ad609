"""COCO and Flickr30K by Karpathy's split: images with five or more captions each."""

from __future__ import annotations

from typing import Any

from reactions.eval.task_data import RetrievalData
from reactions.eval.tasks.published import (
    Captioned,
    Layout,
    PublishedSet,
    captioned,
    captions_in,
)

_ORIGIN = (
    "cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip (splits and captions) and "
)

COCO = Layout(
    task="coco",
    title="COCO (Karpathy test)",
    expected=5000,
    folders=("coco", "COCO", "mscoco", "coco2014"),
    labels=("dataset_coco.json", "annotations/dataset_coco.json", "karpathy/dataset_coco.json"),
    media=(("image", ("val2014", "images/val2014", "images", "")),),
    origin=_ORIGIN + "cocodataset.org (val2014 images)",
    tree="coco/dataset_coco.json and coco/val2014/COCO_val2014_000000391895.jpg, ...",
)

FLICKR30K = Layout(
    task="flickr30k",
    title="Flickr30K (Karpathy test)",
    expected=1000,
    folders=("flickr30k", "Flickr30k", "Flickr30K", "flickr30k_entities"),
    labels=(
        "dataset_flickr30k.json",
        "annotations/dataset_flickr30k.json",
        "karpathy/dataset_flickr30k.json",
    ),
    media=(("image", ("flickr30k-images", "flickr30k_images", "images", "Images", "")),),
    origin=_ORIGIN + "shannon.cs.illinois.edu/DenotationGraph (images)",
    tree="flickr30k/dataset_flickr30k.json and flickr30k/flickr30k-images/1007129816.jpg, ...",
)


def items_of(published: PublishedSet) -> list[Captioned]:
    """Return the images of the test split, whether they are there or not.

    Raises:
        DataError: the JSON is damaged, or has no test split.
    """
    record = published.read_json(published.labels)
    try:
        images: list[dict[str, Any]] = [i for i in record["images"] if i["split"] == "test"]
        found = [
            Captioned(
                id=image["filename"].rpartition(".")[0],
                names=(image["filename"],),
                captions=captions_in(
                    published, image["filename"], (one["raw"] for one in image["sentences"])
                ),
            )
            for image in images
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise published.damaged(
            published.labels, f"it is not laid out as published ({error})"
        ) from None
    if not found:
        raise published.damaged(published.labels, "it has no test split")
    return found


def read(published: PublishedSet) -> RetrievalData:
    """Return the images that are there, with all their captions.

    Raises:
        MissingError: no image is there.
        DataError: the JSON is damaged, or no image can be decoded.
    """
    return captioned(published, "image", items_of(published))
