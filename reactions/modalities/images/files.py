"""Images opened within limits: only formats that are decoded safely, sizes held before decoding.

A decoded image takes at most 4 bytes a pixel inside Pillow and 3 in the array that is returned,
which is filled in bands of rows: 0.7 GB at the limit of 100 million pixels. A progressive JPEG
adds up to 8 bytes a pixel while it is decoded. AVIF and WEBP images may have half as many pixels,
JPEG 2000 images a quarter.
"""

from __future__ import annotations

import importlib
import re
import struct
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from reactions.core.errors import MediaError
from reactions.core.left_out import note
from reactions.modalities.images import greys
from reactions.modalities.images.headers import Excess, check_header
from reactions.modalities.images.jpegs import stored_pixels

if TYPE_CHECKING:
    import PIL.Image
    from numpy.typing import NDArray

FORMATS = (
    "AVIF",
    "BMP",
    "DIB",
    "GIF",
    "JPEG",
    "JPEG2000",
    "PNG",
    "PPM",
    "QOI",
    "TGA",
    "TIFF",
    "WEBP",
)
"""What Pillow may decode. Its other formats run programs (PostScript: Ghostscript), read further
files, or are not worth the code that the author of a file can reach."""

MAX_SCANS = 200
"""Passes of a progressive JPEG: each costs as much as decoding all its pixels."""

_PLUGINS = {"DIB": "Bmp", "JPEG2000": "Jpeg2K", "WEBP": "WebP"}
_PILLOW = re.compile(r"PIL\.")
# What ``filterwarnings`` below puts into ``warnings.filters``: added once, not for each image.
_PILLOW_FILTER = ("ignore", None, Warning, _PILLOW, 0)
FIRST_OF_SEVERAL = "the first of several pictures in a file, and its others are ignored"
_SEVERAL = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
"""Formats of animations and pages. JPEGs hold smaller versions of the same, which do not count."""

_ORIENTATION = 0x0112
_TILE_TAGS = (322, 323)
_SHARES = {"AVIF": 2, "JPEG2000": 4, "WEBP": 2}
"""Their decoders keep further copies: their limit is this many times lower."""

_SLOW_BYTES = {"qoi": 24 << 20, "ppm_plain": 32 << 20, "bmp_rle": 32 << 20}
"""What Pillow decodes in Python: this many bytes take ten seconds."""

_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
"""What undoes each EXIF orientation."""


@lru_cache(maxsize=1)
def formats() -> tuple[str, ...]:
    """Return those of ``FORMATS`` that this Pillow decodes."""
    from PIL import Image

    # Plugins put themselves into Image.OPEN when they are imported.
    for name in FORMATS:
        try:
            importlib.import_module(f"PIL.{_PLUGINS.get(name, name.capitalize())}ImagePlugin")
        except ImportError:  # an older Pillow, or one built without it
            continue
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_image(stream: BinaryIO, path: str, max_pixels: int) -> PIL.Image.Image:
    """Open an image and hold what it declares against the limits; no pixel is decoded yet.

    Args:
        stream: at its start.
        path: for messages.
        max_pixels: width times height, at most.

    Raises:
        MediaError: it is larger than ``max_pixels``, or would take as much to decode.
        Exception: Pillow's plugins raise whatever their parser meets.
    """
    from PIL import Image

    _silence()
    _check_webp(stream.read(32), path, max_pixels)
    try:
        check_header(stream)
    except Excess as error:
        raise MediaError(
            f"cannot use the image '{path}'", why=str(error), fix="save it anew", path=path
        ) from error
    image = Image.open(stream, formats=formats())
    try:
        _check(image, stream, path, max_pixels)
    except BaseException:
        image.close()
        raise
    return image


def _silence() -> None:
    """Keep Pillow from warning on stderr of what it decodes all the same, a line for each tag.

    ``warnings.catch_warnings`` does not help here: images are decoded in several threads.
    """
    if _PILLOW_FILTER not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def to_rgb(image: PIL.Image.Image, path: str, stream: BinaryIO | None = None) -> NDArray[np.uint8]:
    """Decode an open image: first frame, upright, on white where it is transparent.

    Args:
        image: not decoded yet, or decoded.
        path: for messages.
        stream: what it was opened from, where its pixels are still those of its file.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        MediaError: the range of its values is not defined (``greys``).
        Exception: Pillow's plugins raise whatever their parser meets.
    """
    if stream is not None and (stored := stored_pixels(image, stream)) is not None:
        turn = _turn(image)
        return stored if turn is None else np.ascontiguousarray(turn(stored))
    raw_mode = greys.raw_mode(image)
    greys.in_native_order(image)
    image.load()
    turn = _turn(image)
    out = np.empty((image.height, image.width, 3), np.uint8)
    if greys.is_wide(image):
        grey = greys.greys_of(image, path)
        for rows, band in greys.bands(image):
            values = np.asarray(band)
            out[rows] = grey.to_8_bits(values)[:, :, None]
            if isinstance(clear := image.info.get("transparency"), int):
                out[rows][values == clear] = 255  # on white, as all that is transparent
    else:
        for rows, band in greys.bands(_in_8_bits(image, raw_mode, path, stream)):
            out[rows] = _on_white(band)
    _note_several(image)
    return out if turn is None else np.ascontiguousarray(turn(out))


def to_16_bits(image: PIL.Image.Image) -> NDArray[np.uint16] | None:
    """Decode an open image of one channel of 16 bits, upright; None for any other.

    Returns:
        (h, w) uint16.

    Raises:
        Exception: Pillow's plugins raise whatever their parser meets.
    """
    # "I" is 32 bits to Pillow, which also reads PNGs of 16 bits as that.
    if not image.mode.startswith("I"):
        return None
    greys.in_native_order(image)
    image.load()
    values = np.asarray(image).astype(np.int64)
    _note_several(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        return None
    turn = _turn(image)
    upright = values.astype(np.uint16)
    # The turns are those of pictures with channels.
    return upright if turn is None else np.ascontiguousarray(turn(upright[:, :, None])[:, :, 0])


def _note_several(image: PIL.Image.Image) -> None:
    """Note a file of several pictures. Last: Pillow looks for a second one, and may be led astray.

    What is wrong with further pictures is not a reason to refuse the first.
    """
    with suppress(Exception):
        if image.format in _SEVERAL and getattr(image, "is_animated", False):
            note(FIRST_OF_SEVERAL)


def oversized(path: str, max_pixels: int, why: str = "") -> MediaError:
    """Return the error for an image beyond the limits."""
    return MediaError(
        f"image too large: '{path}'",
        why=why or f"more than {max_pixels // 1_000_000} million pixels",
        fix="scale it down",
        path=path,
    )


def _check(image: PIL.Image.Image, stream: BinaryIO, path: str, max_pixels: int) -> None:
    limit = max_pixels // _SHARES.get(str(image.format), 1)
    if image.width * image.height > limit:
        raise _too_many_pixels(path, image.width, image.height, limit)
    if image.format == "TIFF":
        # libtiff takes memory for a whole tile, however small the image.
        width, height = (_whole(image.tag_v2.get(tag)) for tag in _TILE_TAGS)  # type: ignore[attr-defined]
        if width * height > max_pixels:
            raise _too_many_pixels(path, width, height, max_pixels, "tiles of ")
    tiles = getattr(image, "tile", None) or [("",)]
    codec = str(tiles[0][0])
    place = stream.tell()
    size_bytes = stream.seek(0, 2)
    stream.seek(place)
    if size_bytes > _SLOW_BYTES.get(codec, size_bytes):
        most = f"more than {_SLOW_BYTES[codec] >> 20} MiB of this kind are not decoded"
        raise oversized(path, max_pixels, f"it has {size_bytes} bytes; {most}")
    if image.format == "JPEG" and image.info.get("progressive"):
        place = stream.tell()
        stream.seek(0)
        # Starts of scans; a byte FF of the pixels themselves is always followed by 00.
        n = stream.read().count(b"\xff\xda")
        stream.seek(place)
        if n > MAX_SCANS:
            raise oversized(path, max_pixels, f"it has {n} scans, more than {MAX_SCANS}")


def _check_webp(head: bytes, path: str, max_pixels: int) -> None:
    """Hold a WebP's canvas against the limit: its decoder takes memory for it when it opens."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return
    match head[12:16]:
        case b"VP8X":
            width = int.from_bytes(head[24:27], "little") + 1
            height = int.from_bytes(head[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack("<HH", head[26:30]))
        case _:
            return
    if width * height > (limit := max_pixels // _SHARES["WEBP"]):
        raise _too_many_pixels(path, width, height, limit)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _too_many_pixels(
    path: str, width: int, height: int, max_pixels: int, what: str = ""
) -> MediaError:
    limit = f"more than {max_pixels // 1_000_000} million pixels"
    return oversized(path, max_pixels, f"{what}{width} x {height} pixels, {limit}")


def _turn(
    image: PIL.Image.Image,
) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata (an open set of errors) does not damage the pixels
        return None


def _in_8_bits(
    image: PIL.Image.Image, raw_mode: str, path: str, stream: BinaryIO | None
) -> PIL.Image.Image:
    """Return a loaded picture by the lower bytes of its 16 bits a channel, if the upper are 0."""
    if not raw_mode or stream is None or not greys.is_black(image):
        return image
    stream.seek(0)
    # Its size was held against the limits when it was opened before.
    anew = open_image(stream, path, sys.maxsize)
    return greys.low_bytes(anew, raw_mode, path) or image


def _on_white(image: PIL.Image.Image) -> NDArray[np.uint8]:
    """Return some rows as (h, w, 3) uint8."""
    from PIL import Image

    if image.mode in ("RGBa", "La"):  # colours times their opacity, in memory alone
        image = image.convert(image.mode.upper())
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(canvas, image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8)
