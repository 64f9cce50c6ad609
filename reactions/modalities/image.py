"""Images: pixels in RGB, upright, the same whatever they were stored as."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.modalities.base import Modality
from reactions.modalities.undecoded import VIDEO_FILES, UndecodedKind, endings
from reactions.modalities.values import other_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.modalities.encoded import Source

MAX_PIXELS = 100_000_000

WHOLE_BYTES = 1 << 24
"""Image files up to this size are read in one go."""

_TAIL_BYTES = 1 << 12


def load_image(source: Source) -> NDArray[np.uint8]:
    """Decode an image, first frame only, upright as its EXIF orientation says.

    Transparent pixels show a white background; 16-bit images are scaled to 8 bits. What values of
    more than 8 bits mean, they say themselves (``images.greys``).

    Args:
        source: an image in one of ``images.files.FORMATS``, whatever its name ends in.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        MediaError: the file is missing, not an image, cut short, larger than ``MAX_PIXELS``,
            or holds values whose range is not defined; ``fields["path"]`` names it.
        DataError: the tar or the server it lies in cannot be read.
    """
    pixels: NDArray[np.uint8] = IMAGE.load(source)
    return pixels


def decode(stream: BinaryIO, path: str) -> NDArray[np.uint8]:
    """Decode an open image as ``load_image`` does."""
    from PIL import Image

    from reactions.modalities.encoded import in_memory
    from reactions.modalities.images import files

    try:
        buffered = in_memory(stream, WHOLE_BYTES)
        with files.open_image(buffered, path, MAX_PIXELS) as image:
            return files.to_rgb(image, path, buffered)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise files.oversized(path, MAX_PIXELS) from error


def proves_whole(stream: BinaryIO, path: str) -> bool:
    """Return whether header and end prove an image whole.

    Raises:
        MediaError: it is too large to be decoded.
    """
    from reactions.modalities.images import files

    size_bytes = stream.seek(0, 2)
    stream.seek(max(0, size_bytes - _TAIL_BYTES))
    tail = stream.read()
    stream.seek(0)
    head = stream.read(8)
    stream.seek(0)
    with files.open_image(stream, path, MAX_PIXELS) as image:
        if image.format == "JPEG":
            # The end marker, behind which some writers pad with zeros.
            return tail.rstrip(b"\0").endswith(b"\xff\xd9")
        if image.format == "WEBP":
            # RIFF counts what follows its first 8 bytes.
            return bool(size_bytes >= struct.unpack("<I", head[4:])[0] + 8)
        if image.format == "PNG":
            image.verify()  # every chunk's checksum, up to the last
            return True
    return False


def why_unusable(value: Any) -> str:
    """Return why a value is not an image that can be embedded; "" if it is one."""
    import numpy as np

    if (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint8
        and value.ndim == 3
        and value.shape[2] == 3
        and min(value.shape) > 0
    ):
        return ""
    return "it needs (h, w, 3) uint8 pixels" + other_array(value)


_CONVERT = "convert it to PNG or JPEG"

# Phones and messengers rename HEIF to .jpg. The brand "mif1" is left out: AVIF has it as well.
_HEIF = re.compile(rb"....ftyp(hei[cxms]|hev[cxms])", re.DOTALL)
_JPEG_XL = re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")

IMAGE = Modality(
    name="image",
    letter="V",
    aliases=("img", "images"),
    suffixes=endings(
        "apng avif avifs bmp dib gif j2c j2k jfif jp2 jpc jpe jpeg jpf jpg jpx mpo pbm pgm png "
        "pnm ppm qoi tga tif tiff webp"
    ),
    undecoded=(
        UndecodedKind("a HEIF image", endings("heic heics heif heifs hif"), _CONVERT, _HEIF),
        UndecodedKind("a JPEG XL image", endings("jxl"), _CONVERT, _JPEG_XL),
        UndecodedKind("a drawing", endings("ai cdr emf eps ps svg svgz wmf"), _CONVERT),
        UndecodedKind(
            "a camera's raw image",
            endings("3fr arw cr2 cr3 dng erf kdc mef nef nrw orf pef raf raw rw2 sr2 srf srw x3f"),
            _CONVERT,
        ),
        UndecodedKind(
            "an image of a format that is not decoded here",
            endings(
                "bpg cur dcm dcx dds djvu exr fits flif fts hdr icns ico iff jls jxr pam pcx pfm "
                "pict psb psd ras sgi wdp xbm xcf xpm"
            ),
            _CONVERT,
        ),
        VIDEO_FILES,
    ),
    form="an (h, w, 3) uint8 array",
    decode=decode,
    proves_whole=proves_whole,
    why_unusable=why_unusable,
)
