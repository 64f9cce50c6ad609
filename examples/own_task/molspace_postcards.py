"""Postcards: images with a sentence each, as an evaluation set of molspace."""

from reactions.eval.published import Captioned, EvaluationSet, Layout
from reactions.eval.task import CAPTIONS, Task


def items_of(published):
    """Return all postcards of the list, whether their images are there or not."""
    return [
        Captioned(id=row["file"], names=(row["file"],), captions=(row["text"],))
        for row in published.read_csv(published.labels, ("file", "text"))
    ]


SET = EvaluationSet(
    Task(
        name="postcards",
        title="Postcards",
        kind="retrieval",
        query="image",
        other="text",
        protocol=CAPTIONS.format(m="image"),
        licence="CC0-1.0",
        source="your attic",
        aliases=("cards",),
    ),
    Layout(
        folders=("postcards",),
        labels=("postcards.csv",),
        media=(("image", ("images", "")),),
        tree="postcards/postcards.csv (file, text) and postcards/images/FILE",
    ),
    items=items_of,
)
