"""ImageNet's validation set: 50,000 images of 1,000 classes.

Images lie in folders named by class (``val/n01440764/*.JPEG``), or all in one with the
truth beside it. Names of classes come from a file of the data set or of its users; of
several names of a class the first counts, and all of them where classes share the first.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reactions.core.addresses import Entry
from reactions.core.local_files import is_dir
from reactions.core.storage import walk
from reactions.eval.labelled import Labelled, classification
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import FREEBIND, UNIBIND, Task
from reactions.eval.task_data import ClassificationData
from reactions.eval.wordnet import WNID, class_names, distinct
from reactions.modalities.suffixes import modality_of

_TRUTHS = (
    "LOC_val_solution.csv",
    "val.txt",
    "ILSVRC2012_validation_ground_truth.txt",
    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
    "ILSVRC_clsloc_validation_ground_truth.txt",
    "devkit/data/ILSVRC_clsloc_validation_ground_truth.txt",
)
_DEVKITS = tuple(
    f"{folder}map_clsloc.txt" for folder in ("", "ILSVRC/devkit/data/", "devkit/data/")
)
_VAL = ("val", "ILSVRC2012_img_val", "ILSVRC/Data/CLS-LOC/val", "validation")

_TRAIN = ("train", "ILSVRC2012_img_train", "ILSVRC/Data/CLS-LOC/train")

TEMPLATES = (
    "a photo of a {class}.",
    "a close-up photo of a {class}.",
    "a photo of the small {class}.",
    "a photo of the large {class}.",
    "a blurry photo of a {class}.",
    "a bright photo of the {class}.",
    "a drawing of a {class}.",
)
"""Our own pick: the paper does not name its templates, and the usual 80 cost 80,000 texts."""


def read(published: PublishedSet) -> ClassificationData:
    """Return the images that are there; classes in the order of their WordNet ids.

    Raises:
        MissingError: images, names or truth are missing.
        DataError: a file is damaged, or no image can be decoded.
    """
    present = {child.name for child in published.labels.iterdir() if child.is_dir()}
    names = class_names(published, (published.folder,), present)
    wnids = sorted(names)
    entries = [e for e in walk(str(published.labels)) if modality_of(e.name) == "image"]
    folders = {entry.name.partition("/")[0] for entry in entries if "/" in entry.name}
    if not entries:
        raise published.missing(f"no images in {published.labels}")
    if folders:
        labelled = [
            (entry, entry.name.partition("/")[0])
            for entry in entries
            if WNID.fullmatch(entry.name.partition("/")[0])
        ]
    else:
        labelled = _flat(published, entries, wnids)
    if strangers := {wnid for _, wnid in labelled} - set(wnids):
        raise published.damaged(published.labels, f"the class {min(strangers)} has no name")
    if not labelled:
        raise published.damaged(published.labels, "none of its images has a class")
    number = {wnid: i for i, wnid in enumerate(wnids)}
    items = [Labelled(_stem(entry), entry, number[wnid]) for entry, wnid in labelled]
    classes = distinct([names[wnid] for wnid in wnids])
    return classification(published, "image", items, classes, expected=published.task.expected)


def train(published: PublishedSet) -> ClassificationData:
    """Return the training images that are there, in folders of classes.

    Raises:
        MissingError: there is no such folder, or images or names are missing.
        DataError: a file is damaged, or no image can be decoded.
    """
    folders = [published.folder / name for name in _TRAIN]
    if (folder := next(filter(is_dir, folders), None)) is None:
        raise published.missing("its training images are not there", _TRAIN)
    return replace(read(replace(published, labels=folder, reading="train")), expected=0)


def _flat(
    published: PublishedSet, entries: list[Entry], wnids: list[str]
) -> list[tuple[Entry, str]]:
    """Return the class of each image of a flat folder, by the file of truth."""
    places = (published.folder, published.labels.parent)
    path = next((p for f in places for n in _TRUTHS if (p := f / n).is_file()), None)
    if path is None:
        raise published.missing(
            f"the images in {published.labels} lie in no folders of classes, and there is no "
            f"{', '.join(_TRUTHS[:3])}"
        )
    truth = _truth(published, path, entries, wnids)
    return [(entry, truth[_stem(entry)]) for entry in entries if _stem(entry) in truth]


def _truth(
    published: PublishedSet, path: Path, entries: list[Entry], wnids: list[str]
) -> dict[str, str]:
    if path.suffix == ".csv":  # ImageId,PredictionString: "n03995372 85 1 499 272 ..."
        rows = published.read_csv(path, ("ImageId", "PredictionString"))
        truth: dict[str, str] = {}
        for fields in rows:
            label = fields["PredictionString"].split(" ")[0]
            _add(published, path, truth, fields["ImageId"], label)
        return truth
    lines = published.read_lines(path)
    if all(line.isdecimal() for line in lines):  # one number a line, by the order of the images
        numbered = _numbered(published, path)
        # Images are numbered from 1, so that an incomplete folder still finds its lines.
        truth = {}
        for stem in map(_stem, entries):
            digits = stem.rpartition("_")[2]
            row = int(digits) - 1 if digits.isdecimal() else -1
            if 0 <= row < len(lines) and int(lines[row]) in numbered:
                truth[stem] = numbered[int(lines[row])]
        return truth
    truth = {}
    for line in lines:  # "ILSVRC2012_val_00000001.JPEG 65", or with a WordNet id
        name, _, label = line.replace(",", " ").rpartition(" ")
        label = label.strip()
        # val.txt counts classes from 0 by WordNet id, unlike the devkit, which counts its own way.
        if label.isdecimal() and int(label) < len(wnids):
            label = wnids[int(label)]
        if not WNID.fullmatch(label):
            raise published.damaged(path, f"no class in the line '{line[:60]}'")
        _add(published, path, truth, Path(name.strip()).stem, label)
    return truth


def _add(published: PublishedSet, path: Path, truth: dict[str, str], name: str, label: str) -> None:
    if truth.setdefault(name, label) != label:
        raise published.damaged(path, f"'{name}' has two classes, {truth[name]} and {label}")


def _numbered(published: PublishedSet, path: Path) -> dict[int, str]:
    """Return the devkit's own numbers of the classes."""
    places = (path.with_name("map_clsloc.txt"), *(published.folder / name for name in _DEVKITS))
    numbers = next((place for place in places if place.is_file()), None)
    if numbers is None:
        raise published.missing(
            f"{path.name} numbers the classes as the devkit does, but map_clsloc.txt, which says "
            "how, is not beside it"
        )
    numbered = {}
    for line in published.read_lines(numbers):
        fields = line.split()
        if len(fields) >= 2 and WNID.fullmatch(fields[0]) and fields[1].isdecimal():
            numbered[int(fields[1])] = fields[0]
    return numbered


def _stem(entry: Entry) -> str:
    return entry.name.rpartition("/")[2].rpartition(".")[0]


SET = EvaluationSet(
    Task(
        name="imagenet",
        title="ImageNet",
        kind="classification",
        query="image",
        other="text",
        expected=50_000,
        protocol="zero-shot accuracy on the validation set; a class is the normalised mean of "
        "its normalised template embeddings",
        licence="research only",
        citation="Deng et al. 2009",
        source="image-net.org (ILSVRC2012 validation images) or its Kaggle challenge",
        templates=TEMPLATES,
        aliases=("imagenet-1k", "in1k", "in-1k"),
        paper_items=50_000,
        groups=(FREEBIND, UNIBIND),
        rank=9,
    ),
    Layout(
        folders=("imagenet", "ImageNet", "ILSVRC2012", "imagenet-1k"),
        labels=_VAL,
        media=(("image", _VAL),),
        tree="imagenet/val/n01440764/*.JPEG, ... (or imagenet/val/*.JPEG with "
        "LOC_val_solution.csv, val.txt or the devkit's ground truth) and the names of the classes "
        "in LOC_synset_mapping.txt, imagenet_class_index.json, map_clsloc.txt or classnames.txt "
        "('n01440764 tench', one a line)",
    ),
    read=read,
    splits={"train": train},
)
