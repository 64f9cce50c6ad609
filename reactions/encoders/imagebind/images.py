"""Pictures as ImageBind sees them: the middle 224 x 224 at that size.

Of thermal and depth pictures the authors published the towers but no preprocessing. What
is done here is what its users report to work best: thermal ones in grey, depth ones as disparity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.encoders.base import Unusable
from reactions.encoders.imagebind.sizes import SIDE
from reactions.encoders.preprocessing.image_transform import CLIP_MEAN, CLIP_STD, ImageTransform
from reactions.modalities.base import Modality
from reactions.modalities.depth import DEPTH
from reactions.modalities.image import IMAGE, MAX_PIXELS
from reactions.modalities.thermal import THERMAL, brightness

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIDDLE = ImageTransform((SIDE, SIDE), "shortest", (SIDE, SIDE))
_MEAN, _STD = np.array(CLIP_MEAN, np.float32), np.array(CLIP_STD, np.float32)


def colour(pixels: Any) -> NDArray[np.float32]:
    """Normalise (h, w, 3) uint8 RGB with CLIP's statistics to (3, 224, 224) float32.

    Raises:
        Unusable: another shape or type, or so narrow that scaling it is absurd.
    """
    _require(pixels, IMAGE)
    scaled = _MIDDLE.resized(pixels).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((scaled - _MEAN) / _STD).transpose(2, 0, 1))


def grey(pixels: Any) -> NDArray[np.float32]:
    """Turn a thermal image into the (1, 224, 224) float32 in [0, 1] of the thermal tower.

    Raises:
        Unusable: another shape or type, or so narrow that scaling it is absurd.
    """
    _require(pixels, THERMAL)
    if pixels.ndim == 3:
        grey = brightness(pixels)
    else:  # eight bits of grey, as the tower was trained on
        grey = np.rint(pixels * np.float32(255)).astype(np.uint8)
    return _MIDDLE.resized(grey).astype(np.float32)[None] / np.float32(255)


def disparity(values: Any) -> NDArray[np.float32]:
    """Crop (h, w) disparities, standardised, to the (1, 224, 224) float32 of the depth tower.

    Raises:
        Unusable: another shape or type, not finite, or so narrow that scaling it is absurd.
    """
    _require(values, DEPTH)
    return _MIDDLE.resized(values.astype(np.float32))[None]


def _require(values: Any, modality: Modality) -> None:
    why = modality.why_unusable(values)
    if not why and values.shape[0] * values.shape[1] > MAX_PIXELS:
        why = f"it has more than {MAX_PIXELS // 1_000_000} million pixels"
    if why:
        raise Unusable(modality.name, why)
