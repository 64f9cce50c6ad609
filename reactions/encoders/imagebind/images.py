"""Pictures as ImageBind sees them: the middle 224 x 224 at that size.

Of thermal and depth pictures the authors published the towers but no preprocessing: ``variants``
names what there is to choose from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from reactions.core.errors import MediaError
from reactions.encoders.base import Unusable
from reactions.encoders.imagebind.sizes import SIDE
from reactions.encoders.imagebind.variants import USUAL, Variants
from reactions.encoders.preprocessing.image_transform import CLIP_MEAN, CLIP_STD, ImageTransform
from reactions.modalities.base import Modality
from reactions.modalities.depth import DEPTH, decode, stored_as
from reactions.modalities.image import IMAGE, MAX_PIXELS
from reactions.modalities.thermal import THERMAL, brightness

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIDDLE = ImageTransform((SIDE, SIDE), "shortest", (SIDE, SIDE))
_SMOOTH = ImageTransform((SIDE, SIDE), "shortest", (SIDE, SIDE), resample="bilinear")
LIMITS = _MIDDLE.limits
_NPY = b"\x93NUMPY"
_NEAREST_M, _MOST_DISPARITY = 0.01, 75.0
_DISPARITY_MEAN, _DISPARITY_STD = 0.0418, 0.0295
_FARTHEST_M = {"sunrgbd-disparity": 8.0, "omnivore-disparity": 50.0}
_READ_AS = {"sunrgbd-disparity": 1.0, "omnivore-disparity": 8.0}
"""What a metre is taken for: SUN RGB-D stores millimetres turned by three bits."""
_MEAN, _STD = np.array(CLIP_MEAN, np.float32), np.array(CLIP_STD, np.float32)


def colour(pixels: Any) -> NDArray[np.float32]:
    """Normalise (h, w, 3) uint8 RGB with CLIP's statistics to (3, 224, 224) float32.

    Raises:
        Unusable: another shape or type, or so narrow that scaling it is absurd.
    """
    _require(pixels, IMAGE)
    scaled = _MIDDLE.resized(pixels).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((scaled - _MEAN) / _STD).transpose(2, 0, 1))


def grey(values: Any, variants: Variants = USUAL) -> NDArray[np.float32]:
    """Turn a thermal picture into the (1, 224, 224) float32 of the thermal tower.

    Args:
        values: (h, w) float32 in [0, 1].
        variants: which of the ways.

    Returns:
        In [0, 1], or in [-1, 1] for ``unibind``.

    Raises:
        Unusable: another shape or type, or so narrow that scaling it is absurd.
    """
    _require(values, THERMAL)
    scaled = _MIDDLE.resized(_brightness(values))
    grey = scaled.astype(np.float32)[None] / np.float32(255)
    if scaled.dtype != np.uint8:
        grey = grey.clip(0, 1)  # bicubic interpolation overshoots
    return grey if variants.thermal == "plain" else (grey - np.float32(0.5)) / np.float32(0.5)


def _brightness(values: NDArray[Any]) -> NDArray[Any]:
    """Return brightness to 255: as whole numbers where that is what it was, else as float32."""
    if values.ndim == 3:
        return brightness(values)
    scaled = values * np.float32(255)
    whole = np.rint(scaled)
    # A picture of 8 bits is scaled as such, as in the published code for other pictures.
    return whole.astype(np.uint8) if np.abs(scaled - whole).max() < 1e-3 else scaled


def depth_record(variants: Variants) -> Modality:
    """Return the modality of depth maps as a variant has them decoded."""
    if variants.depth != "standardised":
        return stored_as(variants.stored)
    return replace(DEPTH, decode=_arrays_alone)


def _arrays_alone(stream: BinaryIO, path: str) -> NDArray[Any]:
    """Decode standardised disparities: a picture of millimetres holds none."""
    head = stream.read(len(_NPY))
    stream.seek(0)
    if head != _NPY:
        raise MediaError(
            f"cannot embed the depth map '{path}'",
            why="depth=standardised takes arrays (npy) of standardised disparities, and this "
            "is not one",
            fix="depth=sunrgbd-disparity in the space's URI, for millimetres or metres",
            path=path,
        )
    values: NDArray[Any] = decode(stream, path)
    return values


def disparity(values: Any, variants: Variants = USUAL) -> NDArray[np.float32]:
    """Turn a depth map into the (1, 224, 224) float32 of the depth tower.

    Args:
        values: (h, w): standardised disparities, or metres, as ``variants.depth`` says. Where
            nothing was measured (0 metres), it is taken for the nearest there can be.
        variants: which of the ways.

    Raises:
        Unusable: another shape or type, not finite, or so narrow that scaling it is absurd.
    """
    _require(values, DEPTH)
    values = values.astype(np.float32)
    if variants.depth == "standardised":
        return _MIDDLE.resized(values)[None]
    metres = (values * _READ_AS[variants.depth]).clip(_NEAREST_M, _FARTHEST_M[variants.depth])
    disparities = np.float32(variants.baseline_m * variants.focal_px) / metres
    shares = disparities.clip(0, _MOST_DISPARITY) / np.float32(_MOST_DISPARITY)
    resized: NDArray[np.float32] = _SMOOTH.resized(shares)[None]
    return (resized - np.float32(_DISPARITY_MEAN)) / np.float32(_DISPARITY_STD)


def _require(values: Any, modality: Modality) -> None:
    why = modality.why_unusable(values)
    if not why and values.shape[0] * values.shape[1] > MAX_PIXELS:
        why = f"it has more than {MAX_PIXELS // 1_000_000} million pixels"
    if why:
        raise Unusable(modality.name, why)
