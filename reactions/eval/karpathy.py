"""Karpathy's splits of COCO and Flickr30K: images with five or more captions each."""

from __future__ import annotations

from typing import Any

from reactions.eval.published import Captioned, PublishedSet, captions_in

SOURCE = (
    "cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip (splits and captions) and "
)


def items_of(published: PublishedSet) -> list[Captioned]:
    """Return the images of the test split, whether they are there or not.

    Raises:
        DataError: the JSON is damaged, or has no test split.
    """
    record = published.read_json(published.labels)
    try:
        images: list[dict[str, Any]] = [i for i in record["images"] if i["split"] == "test"]
        items = [
            Captioned(
                id=image["filename"].rpartition(".")[0],
                names=(image["filename"],),
                captions=captions_in(
                    published, image["filename"], (caption["raw"] for caption in image["sentences"])
                ),
            )
            for image in images
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise published.damaged(
            published.labels, f"it is not laid out as published ({error})"
        ) from None
    if not items:
        raise published.damaged(published.labels, "it has no test split")
    return items
