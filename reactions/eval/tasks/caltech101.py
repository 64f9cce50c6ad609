"""Caltech-101: pictures of 100 kinds of objects, and of what is none of them."""

from __future__ import annotations

from reactions.eval import caltech
from reactions.eval.caltech import Part
from reactions.eval.labelled import Labelled, classification, media_files
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Return the pictures for testing that are there; classes in the order of their folders.

    Raises:
        MissingError: no picture is there.
        DataError: a list is damaged, or no picture can be decoded.
    """
    return _read(published, "test")


def train(published: PublishedSet) -> ClassificationData:
    """Return the pictures for training, as ``read`` does."""
    return _read(published, "train")


def _read(published: PublishedSet, part: Part) -> ClassificationData:
    pictures = {
        name: entry
        for entry in media_files(published.labels, "image")
        if (name := caltech.name_of(entry.name)) is not None and not caltech.dropped(name)
    }
    if not pictures:
        raise published.missing(f"no pictures in folders of classes in {published.labels}")
    folders = caltech.class_folders(pictures)
    pairs = caltech.listed_pairs(published, part)
    if pairs is not None:
        names, n = sorted(set(pairs.values())), len(set(pairs.values()))
        why = caltech.listed(published, part)
    else:
        names = sorted(n for n in pictures if caltech.is_tested(n) == (part == "test"))
        n, why = len(names), caltech.RULE
    number = {folder: i for i, folder in enumerate(folders)}
    items = [
        Labelled(name.id, pictures[name], number[name.folder]) for name in names if name in pictures
    ]
    return classification(
        published,
        "image",
        items,
        map(caltech.spoken, folders),
        expected=n,
        remarks=caltech.remarks(folders, why),
    )


SET = EvaluationSet(
    Task(
        name="caltech101",
        title="Caltech-101",
        kind="classification",
        query="image",
        other="text",
        protocol="zero-shot accuracy on EventBind's list for testing if it is there, else, for no "
        "division is published, on the pictures whose class and number have a hash in the lowest "
        "fifth; without Faces, which doubles Faces_easy, and with the background class; "
        f"{CLIP_DEFAULT}",
        licence="CC-BY-4.0",
        citation="Fei-Fei et al. 2004",
        source="data.caltech.edu/records/mzrjq-6wc02",
        templates=IMAGE_TEMPLATES,
        aliases=("cal", "caltech-101"),
        groups=(UNIBIND,),
        rank=21,
    ),
    Layout(
        folders=("caltech101", "caltech-101"),
        labels=caltech.PICTURES,
        media=(("image", caltech.PICTURES),),
        tree="caltech101/101_ObjectCategories/accordion/image_0001.jpg, ...; EventBind's "
        "caltech101/Caltech101_{train,val}.txt, if there or in ncaltech101/, divide it",
    ),
    read=read,
    splits={"train": train},
)
