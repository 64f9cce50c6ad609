"""Can this be decoded? A look at headers and ends, or a full try."""

from __future__ import annotations

import struct

from reactions.core.errors import DataError, MediaError
from reactions.core.transient import is_transient, run_again
from reactions.core.types import Modality
from reactions.data.sources.config import Depth
from reactions.modalities.image_files import open_image
from reactions.modalities.media import (
    MAX_PIXELS,
    Source,
    is_whole_audio,
    load_audio,
    load_image,
    open_media,
    place,
)

VERSION = 2
"""Raise it whenever a change here can change a verdict."""

_TAIL_BYTES = 1 << 12


def check(modality: Modality, source: Source, depth: Depth = "header") -> str:
    """Tell why an encoded image or sound cannot be decoded.

    A look at the header finds empty files, other formats and absurd sizes; one at the end
    finds what was cut short, where the format shows it. Damage in the middle only a full
    try finds; formats that show nothing at their end always get one.

    Args:
        modality: ``"image"`` or ``"audio"``; others are never at fault here.
        source: the media.
        depth: how hard to look.

    Returns:
        The reason in lower case; "" if nothing was found.

    Raises:
        TransientError: memory or a disk gave way, which says nothing about the item.
        DataError: the tar or the server it lies in cannot be read.
    """
    try:
        if modality == "image" and (depth == "full" or not _whole_image(source)):
            load_image(source)
        elif modality == "audio" and (depth == "full" or not is_whole_audio(source)):
            load_audio(source)
    except MemoryError as error:
        raise run_again(place(source), error) from error
    except MediaError as error:
        if is_transient(error.__cause__):
            raise run_again(place(source), error.__cause__ or error) from error
        return error.why or error.what
    return ""


def _whole_image(source: Source) -> bool:
    """Return whether header and end prove an image whole; False where a full try must decide."""
    try:
        with open_media(source) as stream:
            size_bytes = stream.seek(0, 2)
            stream.seek(max(0, size_bytes - _TAIL_BYTES))
            tail = stream.read()
            stream.seek(0)
            head = stream.read(8)
            stream.seek(0)
            with open_image(stream, place(source), MAX_PIXELS) as image:
                if image.format == "JPEG":
                    return tail.rstrip(b"\0").endswith(b"\xff\xd9")
                if image.format == "WEBP":
                    return bool(size_bytes >= struct.unpack("<I", head[4:])[0] + 8)
                if image.format == "PNG":
                    image.verify()  # every chunk's checksum, up to the last
                    return True
    except DataError:
        raise
    # Pillow's plugins raise whatever their parser meets; the full try words it.
    except Exception:
        return False
    return False
