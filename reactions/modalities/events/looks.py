"""What pictures of events look like: speckled, mostly of one colour; photographs are neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from reactions.modalities import noticed

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHOTOGRAPHS = noticed.Kind(
    "{n} pictures of events look like photographs, of a camera's frames",
    "1 picture of events looks like a photograph, of a camera's frames",
)
BLANK = noticed.Kind(
    "{n} pictures of events are blank: they show none",
    "1 picture of events is blank: it shows none",
)

LEAST_ROUGHNESS: Final = 0.35
"""Mean step from a pixel to its neighbour, as a share of the mean distance from the mean. Of drawn
recordings it is 0.25 to 1.2, also as JPEGs; of photographs 0.1 to 0.3."""

LEAST_BACKGROUND: Final = 0.35
"""Share of the most frequent colour, in steps of 16. Drawn recordings that are not rough have more
than 0.6; photographs about 0.1."""

_FAINT: Final = 8
_SIDE: Final = 1024
"""Of the part in the middle that is looked at. Thinning pixels out would make them rough."""


def note_looks(pixels: NDArray[np.uint8], path: str) -> None:
    """Note a picture that is not likely one of events.

    Args:
        pixels: (h, w, 3) uint8.
        path: for the note.
    """
    top, left = (max(0, side - _SIDE) // 2 for side in pixels.shape[:2])
    part = pixels[top : top + _SIDE, left : left + _SIDE]
    if int(np.ptp(part, axis=(0, 1)).max()) <= _FAINT:
        if int(np.ptp(pixels, axis=(0, 1)).max()) <= _FAINT:
            noticed.note(BLANK, path)
    elif min(part.shape[:2]) > 1 and _looks_like_a_photograph(part):
        noticed.note(PHOTOGRAPHS, path)


def _looks_like_a_photograph(pixels: NDArray[np.uint8]) -> bool:
    coarse = (pixels >> 4).astype(np.int32)
    colours = coarse[..., 0] << 8 | coarse[..., 1] << 4 | coarse[..., 2]
    background = int(np.bincount(colours.ravel()).max()) / colours.size
    grey = pixels.mean(axis=2, dtype=np.float32)
    steps = sum(float(np.abs(np.diff(grey, axis=axis)).mean()) for axis in (0, 1)) / 2
    spread = float(np.abs(grey - grey.mean()).mean())
    return background < LEAST_BACKGROUND and steps < LEAST_ROUGHNESS * spread
