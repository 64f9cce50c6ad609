"""LLVIP: people and backgrounds in thermal pictures of streets at night."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="llvip",
        title="LLVIP",
        kind="classification",
        query="thermal",
        other="text",
        expected=15_809,
        protocol="zero-shot accuracy of two classes: crops of the people annotated in the "
        "infrared test pictures, and as many random crops of their sizes that touch "
        "none of them; the published crops are not known, ours are drawn with a fixed "
        "seed; the prompt is CLIP's default template, as UniBind says of its "
        "baselines",
        licence="not verified",
        citation="Jia et al. 2021",
        source="bupt-ai-cz.github.io/LLVIP",
        templates=IMAGE_TEMPLATES,
        aliases=(),
        groups=(UNIBIND,),
        rank=25,
    ),
    Layout(
        folders=("llvip", "LLVIP"),
        labels=("Annotations", "val/person", "test/person"),
        media=(("thermal", ("infrared/test", "val", "test")),),
        tree="llvip/Annotations/010001.xml, ... and "
        "llvip/infrared/{train,test}/010001.jpg, ...; or ready crops: "
        "llvip/{train,val}/{person,background}/*.jpg",
    ),
    read=read,
    splits={"train": read},
)
