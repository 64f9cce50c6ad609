"""Pictures as ImageBind sees them: the middle 224 x 224 at that size.

Of thermal and depth pictures the authors published the towers but no preprocessing. What
is done here is what its users report to work best: thermal ones in grey, depth ones as disparity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.encoders.imagebind.sizes import SIDE
from reactions.encoders.imagebind.unusable import Unusable
from reactions.modalities.image import MAX_PIXELS

if TYPE_CHECKING:
    import PIL.Image
    from numpy.typing import NDArray

_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def colour(pixels: Any) -> NDArray[np.float32]:
    """Normalise (h, w, 3) uint8 RGB with CLIP's statistics to (3, 224, 224) float32.

    Raises:
        Unusable: another shape or type, or so narrow that scaling it is absurd.
    """
    _require(pixels, (np.uint8,), channels=3)
    scaled = np.asarray(_middle(_image(pixels))).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((scaled - _MEAN) / _STD).transpose(2, 0, 1))


def grey(pixels: Any) -> NDArray[np.float32]:
    """Turn (h, w, 3) uint8 into the (1, 224, 224) float32 in [0, 1] of the thermal tower.

    Raises:
        Unusable: another shape or type, or so narrow that scaling it is absurd.
    """
    _require(pixels, (np.uint8,), channels=3)
    middle = _middle(_image(pixels).convert("L"))
    return np.asarray(middle).astype(np.float32)[None] / np.float32(255)


def disparity(values: Any) -> NDArray[np.float32]:
    """Crop (h, w) disparities, standardised, to the (1, 224, 224) float32 of the depth tower.

    Raises:
        Unusable: another shape or type, not finite, or so narrow that scaling it is absurd.
    """
    _require(values, (np.float32, np.float64), channels=None)
    if not np.isfinite(values).all():
        raise Unusable("not every value is finite")
    return np.asarray(_middle(_image(values.astype(np.float32))))[None]


def _require(values: Any, dtypes: tuple[type, ...], *, channels: int | None) -> None:
    wanted = (channels,) if channels else ()
    shape = ", ".join(["h", "w", *map(str, wanted)])
    if not (
        isinstance(values, np.ndarray)
        and values.dtype in dtypes
        and values.ndim == 2 + len(wanted)
        and values.shape[2:] == wanted
        and values.size > 0
    ):
        found = (
            f"an array of {values.dtype} and shape {values.shape}"
            if isinstance(values, np.ndarray)
            else type(values).__name__
        )
        raise Unusable(f"it needs ({shape}) {np.dtype(dtypes[0])}, not {found}")
    if values.shape[0] * values.shape[1] > MAX_PIXELS:
        raise Unusable(f"it has more than {MAX_PIXELS // 1_000_000} million pixels")


def _image(values: NDArray[Any]) -> PIL.Image.Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(values))


def _middle(image: PIL.Image.Image) -> PIL.Image.Image:
    """Scale the short side to 224 with Pillow's antialiased bicubic, and crop the middle.

    Sizes and offsets round as torchvision's ``Resize`` and ``CenterCrop`` do.
    """
    from PIL import Image

    width, height = image.size
    short = min(width, height)
    size = (SIDE * width // short, SIDE * height // short)
    if size[0] * size[1] > MAX_PIXELS:
        raise Unusable(f"{width} x {height} pixels are too narrow a strip")
    scaled = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (round((length - SIDE) / 2) for length in size)
    return scaled.crop((left, top, left + SIDE, top + SIDE))
