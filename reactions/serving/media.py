"""Media of an index's items, by number: small pictures, outlines, and what is played.

A file is read only where an item of the index names it and its contents are those that were
indexed: an index, whoever made it, opens no other file of this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reactions.core.errors import DataError, MediaError
from reactions.core.hashing import bytes_digest
from reactions.core.types import Item, Modality
from reactions.labs.lab import Lab
from reactions.modalities import registry
from reactions.search.hits import IndexedItem
from reactions.search.index import SearchIndex
from reactions.serving.kept import Kept
from reactions.serving.limits import LIMITS, NotThere, ServingLimits
from reactions.serving.pictures import encoded_picture, is_drawn, peaks, picture_of, wav
from reactions.serving.samples import LabItems

if TYPE_CHECKING:
    from collections.abc import Hashable

_MAGIC: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)
_PLAYED: Final = {"audio": ("audio/", "video/mp4", "video/webm"), "video": ("video/",)}
_HEAD: Final = 16


@dataclass(frozen=True, slots=True)
class Medium:
    """What is sent to a browser.

    Attributes:
        kind: its media type.
        content: bytes; b"" where it is a file.
        path: the file.
        size_bytes: of either.
    """

    kind: str
    content: bytes = b""
    path: Path | None = None
    size_bytes: int = 0


def kind_of(head: bytes) -> str:
    """Return the media type that the first bytes of a file show; "" if none is known."""
    media_type = next((kind for at, sign, kind in _MAGIC if head[at:].startswith(sign)), "")
    if not media_type and len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "audio/mpeg"  # frames without a header before them
    return media_type


def played(modality: Modality, head: bytes) -> str:
    """Return the media type by which a browser plays a file as it is; "" if it cannot."""
    kind = kind_of(head)
    if not kind.startswith(_PLAYED.get(modality, ("-",))):
        return ""
    return kind.replace("video/", "audio/") if modality == "audio" else kind


class Media:
    """Media of indexes' items, with a cache.

    Args:
        lab: where items are found that lie in no file.
        limits: bounds.
    """

    def __init__(self, lab: Lab, limits: ServingLimits = LIMITS) -> None:
        self._digests = lab.digests
        self._lab_items = LabItems(lab)
        self._limits = limits
        self._media: Kept[Medium] = Kept(limits.cache_bytes, lambda medium: len(medium.content))
        self._outlines: Kept[list[float]] = Kept(4096)
        self._are_in_lab: Kept[tuple[bool]] = Kept(65536)

    def picture(self, index: SearchIndex, modality: Modality, number: int) -> Medium:
        """Return a small picture of an item.

        Raises:
            NotThere: there is no such item, or nothing to draw.
            DataError: its file is gone, or was changed.
        """
        key = ("picture", str(index.directory), modality, number)
        if (cached := self._media.get(key)) is not None:
            return cached
        if not is_drawn(modality):
            raise _nothing(modality, number)
        pixels = picture_of(modality, self._value(index, modality, number))
        if pixels is None:
            raise _nothing(modality, number)
        return self._keep(key, picture_medium(encoded_picture(pixels)))

    def outline(self, index: SearchIndex, modality: Modality, number: int) -> list[float]:
        """Return the outline of a sound, as ``pictures.peaks``; raises as ``picture`` does."""
        key = (str(index.directory), modality, number)
        if (cached := self._outlines.get(key)) is not None:
            return cached
        if modality != "audio":
            raise _nothing(modality, number)
        heights = peaks(self._value(index, modality, number))
        self._outlines.put(key, heights)
        return heights

    def play(self, index: SearchIndex, modality: Modality, number: int) -> Medium:
        """Return what is played of a sound or a video: its file, or the start of it as WAV.

        Raises:
            NotThere: there is no such item, or it cannot be played.
            DataError: its file is gone, or was changed.
        """
        key = ("play", str(index.directory), modality, number)
        if (cached := self._media.get(key)) is not None:
            return cached
        if modality not in _PLAYED:
            raise _nothing(modality, number)
        indexed = _indexed(index, modality, number)
        if indexed.source:
            content = self._contents(indexed)
            if isinstance(content, bytes):
                if kind := played(modality, content[:_HEAD]):
                    return self._keep(key, Medium(kind, content, size_bytes=len(content)))
            else:
                with content.open("rb") as stream:
                    kind = played(modality, stream.read(_HEAD))
                if kind:
                    return Medium(kind, path=content, size_bytes=content.stat().st_size)
        if modality != "audio":
            raise NotThere(
                f"the video {number} cannot be played by a browser",
                why="browsers play MP4 and WebM",
                fix="its frames are shown; convert it to play it",
            )
        sound = wav(self._value(index, modality, number), self._limits.sound_seconds)
        return self._keep(key, Medium("audio/wav", sound, size_bytes=len(sound)))

    def places(self, index: int, item: IndexedItem, number: int) -> dict[str, str | None]:
        """Return where the page finds what it shows of an item; None for what there is not."""
        modality = item.modality
        base = f"/api/indexes/{index}/{modality}/{number}"
        exists = bool(item.source) or self._is_in_lab(item)
        return {
            "picture": f"{base}/picture" if exists and is_drawn(modality) else None,
            "outline": f"{base}/outline" if exists and modality == "audio" else None,
            "play": f"{base}/play"
            if exists and modality in _PLAYED and self._plays(item)
            else None,
        }

    def _is_in_lab(self, item: IndexedItem) -> bool:
        key = item.modality, item.id, item.digest
        cached = self._are_in_lab.get(key)
        if cached is None:
            cached = (self._lab_items.find(item) is not None,)
            self._are_in_lab.put(key, cached)
        return cached[0]

    def _plays(self, item: IndexedItem) -> bool:
        return item.modality == "audio" or bool(item.source)

    def _value(self, index: SearchIndex, modality: Modality, number: int) -> Any:
        indexed = _indexed(index, modality, number)
        if indexed.source:
            return registry.load(Item(indexed.id, modality, self._contents(indexed))).value
        item = self._lab_items.find(indexed)
        if item is None:
            raise _nothing(modality, number)
        return item.value

    def _contents(self, indexed: IndexedItem) -> Path | bytes:
        """Return the file of an item, or its bytes in a tar or parquet file of this machine.

        Raises:
            DataError: it is gone, or another one.
        """
        part = indexed.part
        if part is None or not Path(part.url).is_file():
            return self._file(indexed)
        if not 0 < (part.size_bytes or 0) <= self._limits.upload_bytes:
            raise MediaError(
                f"'{indexed.label}' is larger than what is shown of tars and parquet files",
                why=f"it has {part.size_bytes} bytes, more than {self._limits.upload_bytes}",
                fix="index copies of the files",
            )
        data = part.read()
        if f"file:{bytes_digest(data)}" != indexed.digest:
            raise DataError(
                f"'{indexed.label}' is not shown",
                why="it is not what was indexed: its file was changed",
                fix="build the index again",
            )
        return data

    def _file(self, indexed: IndexedItem) -> Path:
        """Return the file of an item, checked to be what was indexed.

        Raises:
            DataError: it is gone, or another one.
        """
        path = Path(indexed.source)
        if not path.is_absolute() or "://" in indexed.source:
            raise MediaError(
                f"'{indexed.label}' lies on a server, and is not fetched to be shown",
                fix="index copies of the files",
            )
        if not path.is_file() and indexed.is_gone:
            raise DataError(f"'{indexed.label}' is gone", why="its file was moved or removed")
        if ".tar/" in indexed.source and not path.is_file():
            raise MediaError(
                f"'{indexed.label}' lies in a tar, and is not unpacked to be shown",
                fix="index copies of the files",
            )
        if not path.is_file():
            raise MediaError(
                f"'{indexed.label}' lies in another file, and is not unpacked to be shown",
                fix="index copies of the files",
            )
        if f"file:{self._digests.of(path)}" != indexed.digest:
            raise DataError(
                f"'{indexed.label}' is not shown",
                why="its file is not what was indexed: it was changed, or it lies within an "
                "archive",
                fix="build the index again",
            )
        return path

    def _keep(self, key: Hashable, medium: Medium) -> Medium:
        self._media.put(key, medium)
        return medium


def picture_medium(content: bytes) -> Medium:
    """Return a picture that was encoded here."""
    return Medium(kind_of(content), content, size_bytes=len(content))


def _indexed(index: SearchIndex, modality: Modality, number: int) -> IndexedItem:
    from reactions.core.errors import UsageError

    try:
        return index.item(modality, number)
    except UsageError as error:
        raise NotThere(error.what, why=error.why, fix=error.fix) from None


def _nothing(modality: Modality, number: int) -> NotThere:
    return NotThere(f"there is nothing to show of {modality} {number}")
