"""Pictures of more than 8 bits a channel: which value is white.

A file says how many bits a value has, not how many are used. Values of 8 bits are often kept in
wider types (``convert("I")``, arrays of int32 or floats that are saved as they are), and would be
nearly black. What the values are decides, and what was assumed is noted; where it could be several
things, the picture is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import MediaError
from reactions.modalities import noticed

if TYPE_CHECKING:
    import PIL.Image
    from numpy.typing import NDArray

AS_8_BITS = noticed.Kind(
    "{n} pictures of 16 bits or more hold no value above 255, and were read as of 8 bits",
    "1 picture of 16 bits or more holds no value above 255, and was read as of 8 bits",
)
AS_SHARES = noticed.Kind(
    "{n} pictures hold floats, which were read as brightness from 0 to 1",
    "1 picture holds floats, which were read as brightness from 0 to 1",
)
AS_WHOLE = noticed.Kind(
    "{n} pictures hold whole numbers as floats, which were read as of 8 or 16 bits",
    "1 picture holds whole numbers as floats, which were read as of 8 or 16 bits",
)

_DECLARED = ("JPEG2000", "PPM")
"""Formats that say how many values there are: Pillow has scaled them to 16 bits."""

_BAND_PIXELS = 1 << 20
_BITS_A_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


@dataclass(frozen=True, slots=True)
class Greys:
    """What the values of a grey picture mean.

    Attributes:
        white: the largest of them; 0 is black.
        inverted: whether it is the other way round, as TIFFs may say. Pillow undoes it up to 8
            bits, and not beyond.
    """

    white: float
    inverted: bool = False

    def to_8_bits(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return values as (h, w) uint8, rounded."""
        if self.inverted:
            values = self.white - values
        eight: NDArray[np.uint8] = np.rint(values * (255 / self.white)).astype(np.uint8)
        return eight


def bands(image: PIL.Image.Image) -> Iterator[tuple[slice, PIL.Image.Image]]:
    """Yield a loaded picture in bands of rows, so that copies of it stay small."""
    rows = max(1, _BAND_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        bottom = min(image.height, top + rows)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def is_wide(image: PIL.Image.Image) -> bool:
    """Return whether a picture is grey, of more than 8 bits: Pillow names byte orders apart."""
    return image.mode == "F" or image.mode.startswith("I")


def is_inverted(image: PIL.Image.Image) -> bool:
    """Return whether a grey TIFF of more than 8 bits says that 0 is white."""
    tags = getattr(image, "tag_v2", {})
    return is_wide(image) and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def greys_of(image: PIL.Image.Image, path: str) -> Greys:
    """Decide what the values of a loaded picture mean, by the largest of them.

    Args:
        image: for which ``is_wide`` holds.
        path: for messages.

    Raises:
        MediaError: their range could be several things.
    """
    low, high, whole = np.inf, -np.inf, True
    for _, band in bands(image):
        values = np.asarray(band)
        if not np.isfinite(values).all():
            raise undefined(path, "it holds floats that are not numbers")
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        if image.mode == "F":
            whole = whole and bool((values == np.rint(values)).all())
    white = _white_of_floats(path, low, high, whole) if image.mode == "F" else 0xFFFF
    if image.mode != "F":
        if low < 0 or high > white:
            raise undefined(path, "its values do not fit 16 bits")
        if getattr(image, "tag_v2", {}).get(_BITS_A_SAMPLE) == (12,):
            white = 0xFFF
        elif 0 < high <= 0xFF and image.format not in _DECLARED:
            noticed.note(AS_8_BITS, path)
            white = 0xFF
    return Greys(white, is_inverted(image))


def _white_of_floats(path: str, low: float, high: float, whole: bool) -> float:
    if low < 0 or high > 0xFFFF or not (whole or high <= 1):
        raise undefined(
            path, f"it holds floats from {low:.4g} to {high:.4g}, whose range is not defined"
        )
    if high > 1:
        noticed.note(AS_WHOLE, path)
        return 0xFF if high <= 0xFF else 0xFFFF
    if high > 0:
        noticed.note(AS_SHARES, path)
    return 1.0


def undefined(path: str, why: str) -> MediaError:
    """Return the error for a picture whose values may mean several things."""
    return MediaError(
        f"cannot use the image '{path}'",
        why=why,
        fix="save it with 8 or 16 bits a channel",
        path=path,
    )


# --- how values lie in files ---------------------------------------------------------

_SWAPPED = {
    ";16B": ";16L",
    ";16L": ";16B",
    ";16N": ";16B" if sys.byteorder == "little" else ";16L",  # as libtiff gives them
}
_NATIVE = {
    f"{mode};{bits}{order}{kind}": f"{mode};{bits}N{kind}"
    for mode, bits, kind in (("F", 32, "F"), ("I", 32, "S"), ("I", 16, "S"))
    for order in ("", "B")
}


def in_native_order(image: PIL.Image.Image) -> None:
    """Have the values of a compressed TIFF read as libtiff gives them, before it is decoded.

    Pillow knows that they are in this machine's order, but for floats and signed numbers, whose
    bytes it would swap where a file is in the other.
    """
    if any(tile[0] == "libtiff" for tile in getattr(image, "tile", ())):
        _read_as(image, _NATIVE)


def low_bytes(image: PIL.Image.Image, raw_mode: str, path: str) -> PIL.Image.Image | None:
    """Decode the other byte of a picture of 16 bits a channel whose upper bytes are all 0.

    Pillow keeps the upper bytes, of which there are none where the values are of 8 bits.

    Args:
        image: the same file, opened anew, not decoded yet.
        raw_mode: how its values lie, of ``raw_mode``.
        path: for messages.

    Returns:
        The picture; None where it is black all the same.
    """
    from PIL import Image

    if raw_mode == "LA;16B":  # which Pillow reads in this order alone: its bytes as four channels
        opened: Any = image
        opened._mode = "RGBA"
        _read_as(image, {raw_mode: "RGBA"})
        image.load()
        _, grey, _, opacity = image.split()
        image = Image.merge("LA", (grey, opacity))
    else:
        _read_as(image, {raw_mode: raw_mode[:-4] + _SWAPPED[raw_mode[-4:]]})
        image.load()
    if is_black(image):
        return None
    noticed.note(AS_8_BITS, path)
    return image


def raw_mode(image: PIL.Image.Image) -> str:
    """Return how a picture of several channels of 16 bits lies in its file; "" for any other."""
    for tile in getattr(image, "tile", ()):
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        mode = args[0] if args else ""
        if isinstance(mode, str) and mode[-4:] in _SWAPPED and mode[0] != "I":
            return mode
    return ""


def is_black(image: PIL.Image.Image) -> bool:
    """Return whether all colours of a loaded picture are 0, or all inks, whatever shows through."""
    extrema = image.getextrema()
    channels = extrema if isinstance(extrema[0], tuple) else (extrema,)
    n_colours = 4 if image.mode == "CMYK" else 3 if len(channels) > 2 else 1
    return all(high == 0 for _, high in channels[:n_colours])


def _read_as(image: PIL.Image.Image, raw_modes: Mapping[str, str]) -> None:
    """Have the values of a picture that is not decoded yet read in other ways."""
    opened: Any = image
    opened.tile = [_with_args(tile, raw_modes) for tile in opened.tile]


def _with_args(tile: Any, raw_modes: Mapping[str, str]) -> Any:
    given = tile[3]
    if isinstance(given, tuple):
        args: Any = tuple(raw_modes.get(arg, arg) if isinstance(arg, str) else arg for arg in given)
    else:
        args = raw_modes.get(given, given)
    # Before Pillow 11 it is a plain tuple.
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)
