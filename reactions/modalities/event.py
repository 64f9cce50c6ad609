"""Events of event cameras: recordings, or pictures that were made of some."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.errors import MediaError
from reactions.core.remote import url_name
from reactions.modalities import image
from reactions.modalities.base import Modality
from reactions.modalities.undecoded import UndecodedKind, endings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.modalities.events.values import Events

_FIX = (
    "save it as N-Caltech101's .bin, or as npz with x, y, t (whole microseconds) and p, "
    "or as a picture of its events"
)

_UNMARKED = (".bin", "")
"""Endings of files of N-Caltech101's form, which nothing in them marks; bytes have no name."""


def decode(stream: BinaryIO, path: str) -> Events | NDArray[np.uint8]:
    """Decode an open recording, or the picture of one; what looks like none is noted.

    Raises:
        MediaError: it is neither, is damaged, or is beyond the limits.
    """
    from reactions.modalities.events import files, looks

    head = stream.read(8)
    stream.seek(0)
    if files.is_picture(head):
        pixels = image.decode(stream, path)
        looks.note_looks(pixels, path)
        return pixels
    # A URL's query is not part of its name; what follows it is the name of a tar's member.
    suffixes = {PurePosixPath(name).suffix.lower() for name in (path, url_name(path))}
    if not files.is_marked(head) and suffixes.isdisjoint(_UNMARKED):
        raise MediaError(
            f"cannot read the events '{path}'",
            why="its first bytes do not say that it holds events, and "
            f"{PurePosixPath(path).suffix} is not the ending of a recording",
            fix="if it is of N-Caltech101's form, rename it to end in .bin; else " + _FIX,
            path=path,
        )
    try:
        return files.decode(stream)
    except ValueError as error:
        raise MediaError(
            f"cannot read the events '{path}'", why=str(error), fix=_FIX, path=path
        ) from error


def proves_whole(stream: BinaryIO, path: str) -> bool:
    """Return whether header and end prove a picture whole; recordings are always read."""
    from reactions.modalities.events import files

    head = stream.read(8)
    stream.seek(0)
    return files.is_picture(head) and image.proves_whole(stream, path)


def why_unusable(value: Any) -> str:
    """Return why a value is neither a recording nor a picture of one; "" if it is."""
    from reactions.modalities.events import values

    return values.why_unusable(value)


def digest(value: Any) -> str:
    """Return the tagged digest of a recording, or of a picture; "" for anything else."""
    from reactions.modalities.events import values

    return values.digest(value)


def size_bytes(value: Any) -> int:
    """Return what a recording or a picture takes in memory."""
    from reactions.modalities.events import values

    return values.size_bytes(value)


EVENT = Modality(
    name="event",
    aliases=("events",),
    shared=endings("bin npy npz png jpg jpeg"),
    undecoded=(
        UndecodedKind(
            "a recording of a format that is not decoded here",
            endings("aedat aedat4"),
            "export it as npz with x, y, t (whole microseconds) and p",
        ),
    ),
    form="Events (reactions.modalities.events.values) or an (h, w, 3) uint8 picture of some",
    decode=decode,
    proves_whole=proves_whole,
    why_unusable=why_unusable,
    digest=digest,
    size_bytes=size_bytes,
    check_version=1,
)
