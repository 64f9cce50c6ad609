"""N-Caltech101: recordings of an event camera that looks at Caltech-101's pictures."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="ncaltech101",
        title="N-Caltech101",
        kind="classification",
        query="event",
        other="text",
        expected=1_741,
        protocol="zero-shot accuracy on a fifth of the recordings: those of EventBind's list "
        "or of EST's testing folder if they are there, else those of the pictures "
        "that Caltech-101 is evaluated on; the prompt is CLIP's default template, as "
        "UniBind says of its baselines",
        licence="not verified",
        citation="Orchard et al. 2015",
        source="garrickorchard.com/datasets/n-caltech101; EST's copy: "
        "rpg.ifi.uzh.ch/datasets/gehrig_et_al_iccv19/N-Caltech101.zip",
        templates=IMAGE_TEMPLATES,
        aliases=("ncal", "n-caltech101", "n-caltech-101", "n-cal"),
        groups=(UNIBIND,),
        rank=29,
    ),
    Layout(
        folders=("ncaltech101", "N-Caltech101", "n-caltech101"),
        labels=("Caltech101", "Caltech101_val.txt", "testing"),
        media=(("event", ("Caltech101", "testing", "")),),
        tree="ncaltech101/Caltech101/accordion/image_0001.bin, ...; or EST's "
        "ncaltech101/{training,validation,testing}/accordion/accordion_1.npy, ...",
    ),
    read=read,
    splits={"train": read},
)
