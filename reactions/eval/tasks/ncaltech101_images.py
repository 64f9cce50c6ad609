"""Retrieval between N-Caltech101's recordings and the Caltech-101 pictures they are of."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import UNIBIND, Task
from reactions.eval.task_data import RetrievalData


def read(published: PublishedSet) -> RetrievalData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="ncaltech101_images",
        title="N-Caltech101 and Caltech-101",
        kind="retrieval",
        query="event",
        other="image",
        expected=1741,
        protocol="each recording has one picture; both directions; a hit is the pair itself, or "
        "with --hit class any item of the query's class, as EventBind's code counts, and "
        "probably UniBind's table 2; main score: mean of both directions' R@1",
        licence="not verified",
        citation="Orchard et al. 2015; Fei-Fei et al. 2004",
        source="garrickorchard.com/datasets/n-caltech101 and data.caltech.edu/records/mzrjq-6wc02",
        aliases=("ncal-images", "n-caltech101-images"),
        cutoffs=(1, 5, 10, 20),
        groups=(UNIBIND,),
        rank=31,
    ),
    Layout(
        folders=("ncaltech101", "N-Caltech101", "n-caltech101"),
        labels=("Caltech101", "Caltech101_val.txt", "testing"),
        media=(("event", ("Caltech101", "testing", "")), ("image", ("101_ObjectCategories",))),
        tree="ncaltech101/Caltech101/accordion/image_0001.bin, ... and "
        "ncaltech101/101_ObjectCategories/accordion/image_0001.jpg, ...",
    ),
    read=read,
)
