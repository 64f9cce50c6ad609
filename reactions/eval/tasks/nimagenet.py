"""N-ImageNet: recordings of an event camera that looks at ImageNet's pictures."""

from __future__ import annotations

from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData


def read(published: PublishedSet) -> ClassificationData:
    """Raise that the reader of this layout is not written yet."""
    raise published.missing("its files cannot be read yet")


SET = EvaluationSet(
    Task(
        name="nimagenet",
        title="N-ImageNet",
        kind="classification",
        query="event",
        other="text",
        expected=50_000,
        protocol="zero-shot accuracy on the recordings of ImageNet's validation set; the "
        "prompt is CLIP's default template, as UniBind says of its baselines",
        licence="not verified",
        citation="Kim et al. 2021",
        source="huggingface.co/datasets/82magnolia/N-ImageNet",
        templates=IMAGE_TEMPLATES,
        aliases=("n-imagenet", "nin1k", "n-in-1k"),
        groups=(UNIBIND,),
        rank=30,
    ),
    Layout(
        folders=("nimagenet", "N_Imagenet", "N-ImageNet", "n_imagenet"),
        labels=("val_list.txt", "extracted_val"),
        media=(("event", ("extracted_val", "")),),
        tree="nimagenet/val_list.txt, nimagenet/extracted_val/n01440764/*.npz, ... and the "
        "names of the classes as ImageNet's, such as LOC_synset_mapping.txt",
    ),
    read=read,
    splits={"train": read},
)
