"""Thermal images: brightness from 0 to 1, of grey pictures or of radiometric ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.errors import MediaError, UsageError, suggestion
from reactions.modalities import image, noticed
from reactions.modalities.base import Modality
from reactions.modalities.undecoded import endings
from reactions.modalities.values import other_array

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

MAX_COLOUR = 8.0
"""Mean distance of a pixel's strongest channel to its weakest, of 255, up to which a picture is
grey: cameras' JPEGs have some. Pictures in false colours have far more."""

LEAST_CONTRAST = 0.02
"""Of brightness from 0 to 1, from the darkest to the lightest: less is next to nothing."""

FLAT = noticed.Kind(
    "{n} thermal images of 16 bits are of nearly one brightness, by the rule that scales them "
    "(radiometric=NAME of the space)",
    "1 thermal image of 16 bits is of nearly one brightness, by the rule that scales it "
    "(radiometric=NAME of the space)",
)

COLD_K, HOT_K = 253.15, 333.15
"""What ``centikelvin`` shows black and white: -20 and 60 degrees Celsius."""


def decode(stream: BinaryIO, path: str, *, scaling: str = "range") -> NDArray[np.float32]:
    """Decode an open thermal image, upright.

    8 bits are divided by 255, of three channels their brightness; 16 bits are scaled as said.

    Args:
        stream: of the file.
        path: for messages.
        scaling: of 16 bits, one of ``SCALINGS``.

    Returns:
        (h, w) float32 from 0 to 1.

    Raises:
        MediaError: it is not an image, damaged or too large; or it is in false colours.
    """
    import numpy as np

    from reactions.modalities.encoded import in_memory
    from reactions.modalities.images import files

    stream = in_memory(stream, image.WHOLE_BYTES)
    with files.open_image(stream, path, image.MAX_PIXELS) as picture:
        values = files.to_16_bits(picture)
        if values is not None:
            _check_black_is_zero(picture, path)
            scaled = SCALINGS[scaling](values)
            if float(scaled.max()) - float(scaled.min()) < LEAST_CONTRAST:
                noticed.note(FLAT, path)
            return scaled
    stream.seek(0)
    pixels = image.decode(stream, path)
    colour = float((pixels.max(axis=2) - pixels.min(axis=2)).mean())
    if colour > MAX_COLOUR:
        raise MediaError(
            f"cannot use the thermal image '{path}'",
            why=f"it is in false colours (channels differ by {colour:.0f} of 255 on average), "
            "whose brightness is not a temperature",
            fix="export it in grey (white is hot), or radiometric, with 16 bits",
            path=path,
        )
    return brightness(pixels).astype(np.float32) / np.float32(255)


def _check_black_is_zero(picture: PIL.Image.Image, path: str) -> None:
    from reactions.modalities.images import greys

    if greys.is_inverted(picture):
        raise MediaError(
            f"cannot use the thermal image '{path}'",
            why="it says that 0 is white: whether large values are hot or cold is not known",
            fix="save it with 0 as black, and hot as white",
            path=path,
        )


def brightness(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (h, w) uint8 luma of (h, w, 3) uint8 RGB, as Pillow's mode L."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))


def _range(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    import numpy as np

    low, high = np.percentile(values, (1, 99), method="nearest").astype(np.float64)
    return _between(values.astype(np.float64), float(low), float(high))


def _centikelvin(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    return _between(values / 100, COLD_K, HOT_K)


def _full(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    return _between(values / 1.0, 0.0, 65535.0)


def _between(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float32]:
    import numpy as np

    scaled = (values - low) / max(high - low, 1e-9)
    return np.clip(scaled, 0, 1).astype(np.float32)


SCALINGS: Mapping[str, Callable[[NDArray[np.uint16]], NDArray[np.float32]]] = {
    "range": _range,
    "centikelvin": _centikelvin,
    "full": _full,
}
"""What becomes of 16 bits: each picture's own range, from its 1st percentile to its 99th, as
cameras show it; hundredths of a kelvin from -20 to 60 degrees Celsius, as FLIR's linear mode stores
them, which keeps temperatures comparable between pictures; all that 16 bits hold."""


@lru_cache
def scaled_by(name: str) -> Modality:
    """Return the modality of thermal images whose 16 bits are scaled in a certain way.

    Raises:
        UsageError: there is no such way.
    """
    if name not in SCALINGS:
        fix = suggestion(name, SCALINGS)
        raise UsageError(f"no way '{name}' to scale thermal images", fix=fix, name=name)
    return replace(THERMAL, decode=partial(decode, scaling=name))


def why_unusable(value: Any) -> str:
    """Return why a value is not a thermal image that can be embedded; "" if it is one."""
    import numpy as np

    if not image.why_unusable(value):  # grey pixels in memory, as they were decoded before
        return ""
    if not (
        isinstance(value, np.ndarray)
        and value.dtype == np.float32
        and value.ndim == 2
        and value.size > 0
    ):
        return "it needs (h, w) float32 from 0 to 1, or (h, w, 3) uint8" + other_array(value)
    return "" if (value >= 0).all() and (value <= 1).all() else "not every value is from 0 to 1"


THERMAL = Modality(
    name="thermal",
    aliases=("thermals", "infrared"),
    shared=endings("bmp jpeg jpg pgm png tif tiff webp"),
    form="an (h, w) float32 array from 0 to 1, or (h, w, 3) uint8",
    decode=decode,
    why_unusable=why_unusable,
    check_version=2,
)
