"""Places365: pictures of 365 scenes; its validation set has 36,500."""

from __future__ import annotations

from pathlib import Path

from reactions.core.local_files import is_file
from reactions.eval.labelled import FilesByPath, Labelled, classification, stem
from reactions.eval.published import EvaluationSet, Layout, PublishedSet
from reactions.eval.task import CLIP_DEFAULT, IMAGE_TEMPLATES, UNIBIND, Task
from reactions.eval.task_data import ClassificationData

_LISTS = ("", "filelist_places365-standard")
_CATEGORIES = "categories_places365.txt"
_TRAIN = "places365_train_standard.txt"
_VAL_MEDIA = ("val_256", "val_large", "val", "")
_TRAIN_MEDIA = ("data_256_standard", "data_large_standard", "data_256", "data_large", "train", "")


def read(published: PublishedSet) -> ClassificationData:
    """Return the validation images that are there; classes in the order of their numbers.

    Raises:
        MissingError: the file of categories is missing, or all images are.
        DataError: a file is damaged, or no image can be decoded.
    """
    return _read(published, published.labels, _VAL_MEDIA, 0, published.task.expected)


def train(published: PublishedSet) -> ClassificationData:
    """Return the training images that are there.

    Raises:
        MissingError: the list of training images is missing, or all images are.
        DataError: a file is damaged, or no image can be decoded.
    """
    return _read(published, _find(published, _TRAIN), _TRAIN_MEDIA, 2, 0)


def _read(
    published: PublishedSet, listed: Path, folders: tuple[str, ...], depth: int, expected: int
) -> ClassificationData:
    path = _find(published, _CATEGORIES)
    names: dict[int, str] = {}
    for line in published.read_lines(path):  # "/a/airfield 0"
        name, _, number = line.rpartition(" ")
        if not (name.strip() and number.isdecimal()):
            raise published.damaged(path, f"no category and its number in the line '{line[:60]}'")
        names[int(number)] = category_words(name.strip())
    if sorted(names) != list(range(len(names))):
        raise published.damaged(path, "its numbers do not count from 0")
    files = FilesByPath(published, "image", depth, folders)
    items = []
    n = 0
    for line in published.read_lines(listed):  # "Places365_val_00000001.jpg 165"
        name, _, number = line.rpartition(" ")
        if not (name.strip() and number.isdecimal() and int(number) in names):
            raise published.damaged(listed, f"no image and its category in '{line[:60]}'")
        n += 1
        if (entry := files.get(name.strip())) is not None:
            id = name.strip().strip("/").rpartition(".")[0] if depth else stem(name.strip())
            items.append(Labelled(id, entry, int(number)))
    return classification(
        published, "image", items, (names[i] for i in range(len(names))), expected=expected or n
    )


def category_words(name: str) -> str:
    """Return a category in words: ``/a/arena/hockey`` is a hockey arena."""
    parts = name.strip("/").split("/")
    # The first letter of the name is a folder of its own.
    kinds = parts[1:] if len(parts) > 1 and len(parts[0]) == 1 else parts
    return " ".join(reversed([kind.replace("_", " ") for kind in kinds]))


def _find(published: PublishedSet, name: str) -> Path:
    places = [published.folder / folder / name for folder in _LISTS]
    if (path := next(filter(is_file, places), None)) is None:
        raise published.missing(f"there is no {name}", (name,))
    return path


SET = EvaluationSet(
    Task(
        name="places365",
        title="Places365",
        kind="classification",
        query="image",
        other="text",
        expected=36_500,
        protocol="zero-shot accuracy on the validation set: labels of the test set are not "
        f"published; {CLIP_DEFAULT}",
        licence="not verified",
        citation="Zhou et al. 2018",
        source="places2.csail.mit.edu (Places365-Standard)",
        templates=IMAGE_TEMPLATES,
        aliases=("p365", "places"),
        groups=(UNIBIND,),
        rank=20,
    ),
    Layout(
        folders=("places365", "Places365", "places365_standard"),
        labels=tuple(f"{folder}/places365_val.txt".lstrip("/") for folder in _LISTS),
        media=(("image", _VAL_MEDIA),),
        tree="places365/places365_val.txt, places365/categories_places365.txt and "
        "places365/val_256/Places365_val_00000001.jpg, ...; to train: "
        "places365/places365_train_standard.txt and places365/data_256_standard/a/airfield/*.jpg",
    ),
    read=read,
    splits={"train": train},
)
