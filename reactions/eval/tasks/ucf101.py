"""UCF101: clips of 101 human actions, three splits."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="ucf101",
        title="UCF101",
        kind="classification",
        query="video",
        other="text",
        expected=11_213,
        protocol="zero-shot accuracy over the clips of the three test lists, one number a list "
        "beside it (fold_0 is the first); UniBind names no split; the prompt is "
        "CLIP's default template, as UniBind says of its baselines",
        licence="not verified",
        citation="Soomro et al. 2012",
        source="crcv.ucf.edu/data/UCF101.php (videos, and the splits for action recognition)",
        templates=IMAGE_TEMPLATES,
        aliases=("ucf", "ucf-101", "ufc-101"),
        groups=(UNIBIND,),
        rank=28,
    ),
    Layout(
        folders=("ucf101", "UCF101", "UCF-101"),
        labels=("ucfTrainTestlist", "."),
        media=(("video", ("UCF-101", "")),),
        tree="ucf101/ucfTrainTestlist/{classInd.txt,trainlist01.txt,testlist01.txt,...} "
        "and ucf101/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi, ...",
    ),
    read=read,
    splits={f"fold{n}": read for n in (1, 2, 3)} | {"train": read},
)
