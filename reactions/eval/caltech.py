"""What Caltech-101 and N-Caltech101 share: classes, lists of pairs, and a division by names.

Neither set is published in parts. EventBind's lists divide both, as pairs of a recording and its
picture; EST's copy of the recordings lies in folders for training and testing. Without either, an
item is for testing if the hash of its class and number lies in the lowest fifth: the recording of
a picture is on the picture's side, and what else is there does not matter. So
that this holds with lists, too, they divide both sets wherever they lie in the folder of either.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from reactions.core.local_files import is_dir, is_file
from reactions.eval.published import PublishedSet

Part: TypeAlias = Literal["test", "train"]

N_CLASSES = 101

_DROPPED = "Faces"
"""The same pictures as ``Faces_easy``, with more around the faces."""

_SPOKEN = {
    "airplanes": "airplane",
    "Faces_easy": "face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "BACKGROUND_Google": "background",
}
"""Classes whose folders are not called as one would say. Source: EventCLIP."""

_SHARE = 5
_NUMBER = re.compile(r"(?:.*_)?0*(\d+)")
_LISTS: Mapping[Part, str] = {"test": "Caltech101_val.txt", "train": "Caltech101_train.txt"}

PICTURES = (
    "101_ObjectCategories",
    "caltech-101/101_ObjectCategories",
    "caltech101/101_ObjectCategories",
    "Caltech-101",
)
"""Where the folders of classes may be in the pictures' folder; the last is EventBind's."""

_PICTURE_FOLDERS = ("caltech101", "Caltech101", "caltech-101")
_RECORDING_FOLDERS = ("ncaltech101", "N-Caltech101", "n-caltech101", "ncaltech101_images")
"""What the folders of the two sets are called, which lie beside each other."""

RULE = (
    "no division is published: the items whose class and number have a hash in the lowest fifth "
    "are scored, the others are for training"
)


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """What a recording and its picture have in common.

    Attributes:
        folder: of the class, as published.
        number: of the item in it, from 1.
    """

    folder: str
    number: int

    @property
    def id(self) -> str:
        """As published: ``accordion/image_0001``."""
        return f"{self.folder}/image_{self.number:04d}"


def name_of(path: str) -> Name | None:
    """Return what the last two parts of a path name; None if they name no item."""
    parts = [part for part in re.split(r"[/\\]", path.strip()) if part]
    if len(parts) < 2:
        return None
    match = _NUMBER.fullmatch(parts[-1].rpartition(".")[0] or parts[-1])
    return Name(parts[-2], int(match[1])) if match and len(match[1]) < 10 else None


def is_tested(name: Name) -> bool:
    """Whether an item is scored where no list divides the set."""
    sha = hashlib.sha256(f"caltech101/{name.id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(sha[:8], "big") % _SHARE == 0


def class_folders(names: Iterable[Name]) -> list[str]:
    """Return the folders of classes, sorted, without that which doubles another."""
    return sorted({name.folder for name in names} - {_DROPPED})


def spoken(folder: str) -> str:
    """Return a class's name as one would say it; underscores stand for spaces."""
    return _SPOKEN.get(folder, folder)


def dropped(name: Name) -> bool:
    """Whether an item is left out as a double."""
    return name.folder == _DROPPED


def listed_pairs(published: PublishedSet, part: Part) -> dict[Name, Name] | None:
    """Return the recordings of EventBind's list and their pictures; None where it is not there.

    Raises:
        DataError: a line does not name both.
    """
    if (path := _list_of(published, part)) is None:
        return None
    pairs: dict[Name, Name] = {}
    for line in published.read_lines(path):
        paths = line.split("\t")
        names = [name_of(text) for text in paths[:2]]
        if len(names) < 2 or names[0] is None or names[1] is None:
            raise published.damaged(path, f"no recording and picture in the line '{line[:60]}'")
        pairs[names[0]] = names[1]
    return {a: b for a, b in pairs.items() if not dropped(a)}


def _list_of(published: PublishedSet, part: Part) -> Path | None:
    """Return EventBind's list, in the set's folder or in one beside it.

    It divides the pictures and the recordings alike, whichever set it was laid to: otherwise
    pictures of recordings that are scored would be for training.
    """
    # The folder is the set's own, or one that holds those of several sets.
    homes = (published.folder, published.folder.parent)
    names = (*_PICTURE_FOLDERS, *_RECORDING_FOLDERS)
    places = (*homes, published.labels.parent, *(home / name for home in homes for name in names))
    return next((path for place in places if is_file(path := place / _LISTS[part])), None)


def listed(published: PublishedSet, part: Part) -> str:
    """Return which list divides the set, for people."""
    path = _list_of(published, part)
    return f"divided by EventBind's list {path.parent.name}/{path.name}" if path else ""


def remarks(folders: Iterable[str], chosen: str) -> tuple[str, ...]:
    """Return what was decided, for people, beside how many classes were found if not all."""
    n = len(list(folders))
    odd = (
        (f"{n} classes are there; the published lists have {N_CLASSES}",) if n != N_CLASSES else ()
    )
    return (chosen, *odd) if chosen else odd


def picture_folder(published: PublishedSet) -> Path | None:
    """Return the folder of Caltech-101's pictures, in the set's folder or beside it."""
    beside = published.folder.parent
    homes = [
        published.folder,
        *(beside / name for name in _PICTURE_FOLDERS),
    ]
    places = [home / name for home in homes for name in PICTURES]
    return next(filter(is_dir, places), None)
