"""Crops of annotated people, and as many of what is none, out of a set's pictures.

Crops are not written: a row is a rectangle of a file, cut out when it is read. What is none is a
rectangle of a person's size at a random place of the same picture that touches nothing annotated;
the place follows from the picture's name and the person's number by a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.addresses import Entry
from reactions.core.hashing import digest
from reactions.core.storage import open_binary
from reactions.core.types import Modality
from reactions.data.scan_cache import ScanTable, Strings
from reactions.data.sources.files import look_at_file
from reactions.data.sources.parts import FilePart, signature_of
from reactions.eval.published import PublishedSet
from reactions.eval.task_data import ClassificationData
from reactions.modalities.base import CheckDepth
from reactions.modalities.images.crops import CROP_VERSION, Crop, Rectangle, crop_tag, picture_size

CLASSES = ("person", "background")

_TRIES = 100
"""Places tried for a background before it is given up."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A picture and what is marked in it.

    Attributes:
        id: without the set's name.
        entry: its file.
        people: rectangles that are cut out.
        others: further rectangles that backgrounds must not touch.
    """

    id: str
    entry: Entry
    people: tuple[Rectangle, ...]
    others: tuple[Rectangle, ...] = ()


def person_crops(
    published: PublishedSet,
    pictures: Sequence[Annotated],
    *,
    expected: int,
    modality: Modality = "thermal",
    n_backgrounds: int | None = None,
    remarks: Sequence[str] = (),
) -> ClassificationData:
    """Return people and backgrounds as items of two classes.

    Args:
        published: the set.
        pictures: whose files are there.
        expected: items of the published set; 0 if unknown.
        modality: of the pictures. Crops of the same places have the same ids in all.
        n_backgrounds: at most so many; None for one a person.
        remarks: what was decided where the set leaves it open.

    Raises:
        MissingError: there are no pictures.
        DataError: none can be decoded.
    """
    if not pictures:
        raise published.missing(
            "none of its annotated pictures is there", dict(published.layout.media)["thermal"]
        )
    files = [(picture.id, picture.entry) for picture in pictures]
    part = published.part(modality, files, look=partial(_look, modality=modality))
    rows = _rows(published, pictures, part, n_backgrounds)
    if not rows:
        raise published.damaged(published.labels, "no annotated person lies within a picture")
    crops = CropPart.of(part, rows)
    people = sum(row.label == 0 for row in rows)
    counts = f"{people} people and {len(rows) - people} backgrounds are cut out"
    if lost := sum(len(picture.people) for picture in pictures) - people:
        counts += f"; {lost} annotated people lie outside their pictures"
    if lone := people - (len(rows) - people) if n_backgrounds is None else 0:
        counts += f"; {lone} people leave no place for a background of their size"
    return ClassificationData(
        queries=published.corpus(crops, crops.good, modality),
        labels=np.array([row.label for row in rows], np.int64)[crops.good],
        classes=CLASSES,
        expected=expected,
        remarks=(*remarks, counts),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A crop: the number of its picture, where it lies in it, and its class."""

    id: str
    picture: int
    box: Rectangle
    label: int


def _rows(
    published: PublishedSet,
    pictures: Sequence[Annotated],
    part: FilePart,
    n_backgrounds: int | None,
) -> list[_Row]:
    """Return the crops of all pictures; those of damaged ones, too, so that they are counted."""
    rows: list[_Row] = []
    n = 0
    for i, (picture, tag) in enumerate(zip(pictures, part.table.strings("tag"), strict=True)):
        size = _size_of(tag)
        within = [box.within(*size) if size else box for box in picture.people]
        marked = (*within, *picture.others)
        for number, box in enumerate(within):
            if box.width < 1 or box.height < 1:
                continue
            rows.append(_Row(f"{picture.id}/person-{number}", i, box, 0))
            if size is None or (n_backgrounds is not None and n >= n_backgrounds):
                continue
            name = f"{published.task.name}/{picture.id}/{number}"
            if (other := background(name, box, size, marked)) is not None:
                rows.append(_Row(f"{picture.id}/background-{number}", i, other, 1))
                n += 1
    return rows


def background(
    name: str, like: Rectangle, size: tuple[int, int], marked: Iterable[Rectangle]
) -> Rectangle | None:
    """Return a rectangle of a person's size that touches nothing; None if none is found.

    Args:
        name: decides where it lies; equal names give equal places.
        like: within the picture.
        size: (width, height) of the picture.
        marked: what must not be touched.
    """
    marked = list(marked)
    room = (size[0] - like.width + 1, size[1] - like.height + 1)
    for attempt in range(_TRIES):
        sha = hashlib.sha256(f"background/{attempt}/{name}".encode("utf-8", "surrogatepass"))
        draw = sha.digest()
        # 64 bits: the remainder's bias is below 1e-15 for any picture.
        left, top = (int.from_bytes(draw[8 * k : 8 * k + 8], "big") % room[k] for k in (0, 1))
        box = Rectangle(left, top, left + like.width, top + like.height)
        if not any(box.meets(other) for other in marked):
            return box
    return None


class CropPart(FilePart):
    """Rectangles of scanned pictures; the table's column ``box`` says which."""

    @classmethod
    def of(cls, pictures: FilePart, rows: Sequence[_Row]) -> CropPart:
        """Return the crops of a part of pictures; those of damaged ones cannot be used."""
        numbers = np.array([row.picture for row in rows], np.int64)
        tags = pictures.table.strings("tag").at(numbers)
        whys = pictures.table.strings("why").at(numbers)
        boxes = [",".join(map(str, row.box)) for row in rows]
        table = ScanTable(
            {
                # Ids of the pictures begin with the set's name.
                "id": Strings.pack(
                    f"{id.partition('/')[0]}/{row.id}"
                    for id, row in zip(pictures.ids(numbers), rows, strict=True)
                ),
                "url": Strings.pack(pictures.table.strings("url").at(numbers)),
                "tag": Strings.pack(
                    crop_tag(row.box, tag.rpartition(":")[2])
                    for tag, row in zip(tags, rows, strict=True)
                ),
                "why": Strings.pack(whys),
                "box": Strings.pack(boxes),
            }
        )
        signature = signature_of([pictures.signature, digest("crops", [CROP_VERSION, *boxes])])
        return cls(pictures.name, table, signature, pictures.size_bytes)

    def values(self, rows: NDArray[np.int64]) -> list[Any]:
        """Return rectangles, which are cut out when they are read."""
        columns = [self.table.strings(name).at(rows) for name in ("url", "tag", "box")]
        return [
            Crop(url, tag=tag, box=Rectangle(*map(int, box.split(","))))
            for url, tag, box in zip(*columns, strict=True)
        ]


def _look(entry: Entry, *, modality: Modality, depth: CheckDepth) -> tuple[str, str]:
    """Look at a picture as at any other; the tag of one that is whole has its size."""
    tag, why = look_at_file(entry, modality=modality, depth=depth)
    if why:
        return tag, why
    try:
        with open_binary(entry.url) as stream:
            width, height = picture_size(stream, entry.url)
    except Exception as error:  # decoders raise whatever their parsers meet
        return tag, getattr(error, "why", "") or str(error)
    return f"picture:{width}x{height}:{tag.rpartition(':')[2]}", ""


def _size_of(tag: str) -> tuple[int, int] | None:
    if not tag.startswith("picture:"):
        return None
    width, _, height = tag.split(":")[1].partition("x")
    return int(width), int(height)
