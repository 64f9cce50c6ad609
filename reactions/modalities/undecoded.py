"""Kinds of files that hold media and are not decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UndecodedKind:
    """A kind of files that hold a modality and are not decoded.

    Attributes:
        name: of the kind, for people.
        suffixes: their endings, lower case, with the full stop.
        fix: how to make them usable.
        starts: what such files begin with, whatever they are called.
    """

    name: str
    suffixes: tuple[str, ...]
    fix: str
    starts: re.Pattern[bytes] | None = None


def endings(names: str) -> tuple[str, ...]:
    """Return the endings that a text of names, such as ``"jpg png"``, stands for."""
    return tuple(f".{name}" for name in names.split())


VIDEO_FILES = UndecodedKind(
    "a video",
    endings(
        "3g2 3gp asf avi divx f4v flv m2ts m2v m4v mk3d mkv mov mp4 mpeg mpg mts mxf ogm ogv ogx "
        "qt rmvb ts vob webm wmv wtv"
    ),
    "take out a picture of it: ffmpeg -i IN OUT.png",
)
"""They hold images and sounds."""

SOUND_FILES = endings("3ga aac adts m4a m4b m4r mka weba wma")
"""Sounds that are read as videos are: most of them are videos without pictures."""
