"""N-Caltech101: recordings of an event camera that looks at Caltech-101's pictures."""

from __future__ import annotations

from reactions.eval import caltech
from reactions.eval.labelled import Labelled, classification
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.recordings import FOLDERS, LABELS, chosen_recordings
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Return the recordings for testing that are there; classes in the order of their folders.

    Raises:
        MissingError: no recording is there.
        DataError: a list is damaged, or no recording can be decoded.
    """
    return _read(published, "test")


def train(published: PublishedSet) -> ClassificationData:
    """Return the recordings for training, as ``read`` does."""
    return _read(published, "train")


def _read(published: PublishedSet, part: caltech.Part) -> ClassificationData:
    recordings = chosen_recordings(published, part)
    number = {folder: i for i, folder in enumerate(recordings.folders)}
    return classification(
        published,
        "event",
        [Labelled(n.id, entry, number[n.folder]) for n, entry in recordings.entries.items()],
        map(caltech.spoken, recordings.folders),
        expected=recordings.expected,
        remarks=recordings.remarks,
    )


SET = EvaluationSet(
    Task(
        name="ncaltech101",
        title="N-Caltech101",
        kind="classification",
        query="event",
        other="text",
        protocol="zero-shot accuracy on EventBind's list for testing or EST's testing folder if "
        "one is there, else, for no division is published, on the recordings whose class and "
        "number have a hash in the lowest fifth; recordings are shown as pictures of the style "
        f"that the space asks for; {CLIP_DEFAULT}",
        licence="not verified",
        citation="Orchard et al. 2015",
        source="garrickorchard.com/datasets/n-caltech101, or EST's copy: "
        "rpg.ifi.uzh.ch/datasets/gehrig_et_al_iccv19/N-Caltech101.zip",
        templates=IMAGE_TEMPLATES,
        aliases=("ncal", "n-cal", "n-caltech101", "n-caltech-101"),
        groups=(UNIBIND,),
        rank=29,
    ),
    Layout(
        folders=("ncaltech101", "N-Caltech101", "n-caltech101"),
        labels=LABELS,
        media=(("event", FOLDERS),),
        tree="ncaltech101/Caltech101/accordion/image_0001.bin, ...; or EST's "
        "ncaltech101/{training,validation,testing}/accordion/accordion_1.npy, ...; EventBind's "
        "ncaltech101/Caltech101_{train,val}.txt, if there, divide it",
    ),
    read=read,
    splits={"train": train},
)
