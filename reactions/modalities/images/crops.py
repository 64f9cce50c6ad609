"""Rectangles of pictures that lie in files: cut out when they are read, without loss."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from reactions.core.errors import DataError, MediaError, MissingError
from reactions.core.hashing import digest
from reactions.core.storage import Blob
from reactions.core.types import Digest
from reactions.modalities.image import MAX_PIXELS
from reactions.modalities.images.files import open_image

CROP_VERSION = 1
"""Raise it whenever a change here can change a crop's pixels."""


class Rectangle(NamedTuple):
    """A rectangle of whole pixels, from ``left`` and ``top`` to before ``right`` and ``bottom``."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels a row."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    def within(self, width: int, height: int) -> Rectangle:
        """Return what of it lies in a picture; without a pixel if nothing does."""
        left, right = (min(max(x, 0), width) for x in (self.left, self.right))
        top, bottom = (min(max(y, 0), height) for y in (self.top, self.bottom))
        return Rectangle(left, top, max(left, right), max(top, bottom))

    def meets(self, other: Rectangle) -> bool:
        """Whether both share a pixel."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(frozen=True, slots=True)
class Crop(Blob):
    """A rectangle of a picture, encoded as PNG when it is read.

    Attributes:
        box: in the picture as it is stored, within it.
    """

    box: Rectangle = field(default=Rectangle(0, 0, 0, 0))

    def __str__(self) -> str:
        return f"{self.url} ({', '.join(map(str, self.box))})"

    def read(self) -> bytes:
        """Decode the picture, and return the rectangle with as many bits as it has.

        Raises:
            MissingError: the file is gone.
            MediaError: it cannot be decoded, or the rectangle is not within it.
            DataError: it cannot be read.
        """
        try:
            with open_image(io.BytesIO(Blob(self.url).read()), self.url, MAX_PIXELS) as image:
                if self.box.within(*image.size) != self.box or 0 in self.box[2:]:
                    raise ValueError(f"it has {image.width} x {image.height} pixels")
                out = io.BytesIO()
                # What is not stored as PNG has 8 bits a channel all the same.
                whole = image if image.mode in _AS_PNG else image.convert("RGB")
                whole.crop(self.box).save(out, "PNG")
                return out.getvalue()
        except (MissingError, DataError, MemoryError):
            raise
        except Exception as error:  # decoders raise whatever their parsers meet
            raise MediaError(
                f"cannot cut a rectangle out of '{self.url}'", why=str(error), path=self.url
            ) from error


_AS_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I")


def picture_size(stream: BinaryIO, path: str) -> tuple[int, int]:
    """Return the (width, height) that an open picture declares.

    Raises:
        MediaError: it is too large to be decoded.
        Exception: Pillow's plugins raise whatever their parser meets.
    """
    with open_image(stream, path, MAX_PIXELS) as image:
        return image.size


def crop_tag(box: Rectangle, sha256: Digest) -> str:
    """Return the tagged content digest of a rectangle of the picture with a digest."""
    return f"crop:{digest('crop', [CROP_VERSION, list(box), sha256])}"
