"""JPEGs by simplejpeg, in about half of Pillow's time, where its pixels are Pillow's.

Both decode with libjpeg-turbo, each with a build of its own. Of what is stored in YCbCr or grey,
baseline, they give the same pixels; of CMYK they do not, and of progressive files that lack their
last scans newer builds guess otherwise than older ones: Pillow keeps those. Because a system's own
Pillow may have another library, a few pictures are compared before the first file is decoded.
"""

from __future__ import annotations

import importlib.util
import io
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    import PIL.Image
    from numpy.typing import NDArray

_SPACES = ("YCbCr", "Gray")
_SUBSAMPLINGS = ("444", "422", "420", "440", "411", "Gray")


def stored_pixels(image: PIL.Image.Image, stream: BinaryIO) -> NDArray[np.uint8] | None:
    """Decode an open image of Pillow's by simplejpeg.

    Args:
        image: not decoded yet; its limits are checked.
        stream: what it was opened from.

    Returns:
        (h, w, 3) uint8 RGB as it is stored, not turned; None for what Pillow has to decode.
    """
    if not (
        image.format == "JPEG"
        and image.mode in ("RGB", "L")
        and not image.info.get("progressive")
        and isinstance(stream, io.BytesIO)
        and agrees()
    ):
        return None
    import simplejpeg

    data = stream.getvalue()
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in _SPACES or (width, height) != image.size:
            return None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:  # damaged, as far as it can tell: Pillow decides what that means
        return None
    return pixels


@lru_cache(maxsize=1)
def agrees() -> bool:
    """Return whether simplejpeg is installed and gives Pillow's pixels for a few pictures."""
    if importlib.util.find_spec("simplejpeg") is None:
        return False
    import simplejpeg
    from PIL import Image

    rng = np.random.default_rng(26)
    # Smooth and noisy, and of sides that no block fits.
    slope = np.add.outer(np.arange(47), np.arange(33))[:, :, None] * np.array([3, 2, 1])
    pixels = np.clip(slope + rng.integers(-40, 40, (47, 33, 3)), 0, 255).astype(np.uint8)
    for subsampling in _SUBSAMPLINGS:
        data = simplejpeg.encode_jpeg(pixels, quality=85, colorsubsampling=subsampling)
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            pillow = np.asarray(image.convert("RGB"))
        if not np.array_equal(simplejpeg.decode_jpeg(data, "RGB"), pillow):
            return False
    return True
