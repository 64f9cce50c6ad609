"""N-ImageNet: recordings of an event camera that looks at ImageNet's pictures."""

from __future__ import annotations

from reactions.core.local_files import is_dir, is_file
from reactions.eval.labelled import FilesByPath, Labelled, classification, media_files, stem
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData
from reactions.eval.wordnet import WNID, class_names, distinct

_VAL, _TRAIN = "extracted_val", "extracted_train"
_N_TRAIN = 1_281_167


def read(published: PublishedSet) -> ClassificationData:
    """Return the recordings for validation that are there; classes in the order of WordNet ids.

    Raises:
        MissingError: recordings or the names of their classes are missing.
        DataError: a list is damaged, or no recording can be decoded.
    """
    return _read(published, "val_list.txt", _VAL, published.task.expected)


def train(published: PublishedSet) -> ClassificationData:
    """Return the recordings for training, as ``read`` does."""
    return _read(published, "train_list.txt", _TRAIN, _N_TRAIN)


def _read(published: PublishedSet, listed: str, folder: str, expected: int) -> ClassificationData:
    path = published.folder / listed
    if is_file(path):  # ".../extracted_val/n01440764/ILSVRC2012_val_00000293.npz"
        paths = published.read_lines(path)
    elif is_dir(published.folder / folder):
        paths = [entry.name for entry in media_files(published.folder / folder, "event")]
    else:
        raise published.missing(f"there is no {listed} and no {folder}", (listed, folder))
    files = FilesByPath(published, "event", 1, (folder,))
    # Other copies of the set keep the recordings elsewhere: what a list names is looked for there.
    if not len(files):
        files = FilesByPath(published, "event", 1, ("",))
    ids = []
    for text in paths:
        id = "/".join(text.replace("\\", "/").split("/")[-2:]).strip()
        if not WNID.fullmatch(id.partition("/")[0]):
            raise published.damaged(path, f"no folder such as n01440764 in the line '{text[-60:]}'")
        ids.append(id)
    present = {id.partition("/")[0] for id in ids}
    homes = [
        published.folder,
        *(published.folder.parent / name for name in ("imagenet", "ImageNet")),
    ]
    names = class_names(published, homes, present)
    if strangers := present - set(names):
        raise published.damaged(path, f"the class {min(strangers)} has no name")
    wnids = sorted(names)
    number = {wnid: i for i, wnid in enumerate(wnids)}
    items = [
        Labelled(stem(id), entry, number[id.partition("/")[0]])
        for id in ids
        if (entry := files.get(id)) is not None
    ]
    classes = distinct([names[wnid] for wnid in wnids])
    remarks: tuple[str, ...] = ()
    if len(present) < len(wnids):
        remarks = (
            f"{len(present)} of the {len(wnids)} named classes have recordings; "
            "all are scored as classes",
        )
    return classification(published, "event", items, classes, expected=expected, remarks=remarks)


SET = EvaluationSet(
    Task(
        name="nimagenet",
        title="N-ImageNet",
        kind="classification",
        query="event",
        other="text",
        expected=50_000,
        protocol="zero-shot accuracy on the recordings of ImageNet's validation set; classes and "
        "their names are ImageNet's, in the order of their WordNet ids; recordings are shown as "
        f"pictures of the style that the space asks for; {CLIP_DEFAULT}",
        licence="not verified",
        citation="Kim et al. 2021",
        source="huggingface.co/datasets/82magnolia/N-ImageNet",
        templates=IMAGE_TEMPLATES,
        aliases=("n-imagenet", "n-in-1k", "nin1k"),
        groups=(UNIBIND,),
        rank=30,
    ),
    Layout(
        folders=("nimagenet", "N_Imagenet", "N-ImageNet", "n_imagenet"),
        labels=("val_list.txt", _VAL),
        media=(("event", (_VAL, "")),),
        tree="N_Imagenet/val_list.txt, N_Imagenet/extracted_val/n01440764/*.npz, ... and the "
        "names of the classes, as for imagenet, in it or in imagenet beside it: "
        "LOC_synset_mapping.txt, ...",
    ),
    read=read,
    splits={"train": train},
)
