"""Retrieval between N-Caltech101's recordings and the Caltech-101 pictures they are of."""

from __future__ import annotations

import numpy as np

from reactions.eval import caltech
from reactions.eval.labelled import media_files
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.recordings import FOLDERS, LABELS, chosen_recordings
from reactions.eval.task import UNIBIND, Task
from reactions.eval.task_data import RetrievalData


def read(published: PublishedSet) -> RetrievalData:
    """Return the recordings for testing whose pictures are there, with the class of each.

    Raises:
        MissingError: no recording and picture are there.
        DataError: a list is damaged, or no pair can be decoded.
    """
    recordings = chosen_recordings(published, "test")
    if not recordings.is_paired:
        raise published.missing(
            "which picture a recording of EST's copy is of is not known: it has its own numbers"
        )
    if (folder := caltech.picture_folder(published)) is None:
        raise published.missing("Caltech-101's pictures are not there", caltech.PICTURES)
    pictures = {
        name: entry
        for entry in media_files(folder, "image")
        if (name := caltech.name_of(entry.name)) is not None
    }
    names = [n for n in recordings.entries if recordings.pictures.get(n, n) in pictures]
    if not names:
        raise published.missing("no recording has its picture", caltech.PICTURES)
    left = published.part("event", [(n.id, recordings.entries[n]) for n in names])
    right = published.part(
        "image", [(n.id, pictures[recordings.pictures.get(n, n)]) for n in names]
    )
    both = left.good & right.good
    if not both.any():
        raise published.damaged(published.labels, "no pair has a usable recording and picture")
    number = {folder: i for i, folder in enumerate(recordings.folders)}
    labels = np.array([number[n.folder] for n in names], np.int64)[both]
    return RetrievalData(
        left=published.corpus(left, both, "event"),
        right=published.corpus(right, both, "image"),
        owner=np.arange(len(labels)),
        expected=recordings.expected,
        left_labels=labels,
        right_labels=labels,
        remarks=recordings.remarks,
    )


SET = EvaluationSet(
    Task(
        name="ncaltech101_images",
        title="N-Caltech101 and Caltech-101",
        kind="retrieval",
        query="event",
        other="image",
        protocol="each recording has one picture; both directions; a hit is the pair itself, or "
        "with --hit class any item of the query's class, as EventBind's code counts and UniBind's "
        "table 2 probably does; divided as N-Caltech101; main score: mean of both directions' R@1",
        licence="not verified",
        citation="Orchard et al. 2015; Fei-Fei et al. 2004",
        source="garrickorchard.com/datasets/n-caltech101 and data.caltech.edu/records/mzrjq-6wc02",
        aliases=("ncal-images", "n-caltech101-images"),
        cutoffs=(1, 5, 10, 20),
        groups=(UNIBIND,),
        rank=31,
    ),
    Layout(
        folders=("ncaltech101_images", "ncaltech101", "N-Caltech101", "n-caltech101"),
        labels=LABELS,
        media=(("event", FOLDERS), ("image", caltech.PICTURES)),
        tree="recordings as N-Caltech101: ncaltech101/Caltech101/accordion/image_0001.bin, ...; "
        "pictures in it or beside it: caltech101/101_ObjectCategories/accordion/image_0001.jpg, "
        "...; pairs have equal names, or those of EventBind's ncaltech101/Caltech101_val.txt",
    ),
    read=read,
)
