"""From decoded pixels to what an image tower takes, the same on every machine.

Resized by Pillow, as the models' own evaluation code does, not by a tensor library whose
bicubic filter differs from version to version; kept as bytes until the device normalises them.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reactions.core.hashing import digest
from reactions.core.left_out import MOSTLY_CROPPED, note
from reactions.encoders.base import Unusable
from reactions.modalities.image import MAX_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Names of Pillow's resampling filters; the index is its number."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class ImageTransform:
    """Resize, centre crop or pad, scale and normalise.

    Attributes:
        size: (h, w) that the model takes, in pixels.
        resize: ``"shortest"`` side to ``to[0]`` keeping the ratio; ``"cover"`` or
            ``"longest"``: so that the picture covers, or fits into, ``to``; ``"squash"``:
            to exactly ``to``; ``"none"``.
        to: (h, w) to resize to.
        resample: one of ``FILTERS``.
        crop: how an odd margin is halved: ``"round"`` to even, as torchvision, or
            ``"floor"``, as transformers.
        fill: 0 to 255, where the picture is smaller than ``size``.
        scale: divides the bytes first.
        mean: of each channel, subtracted.
        std: of each channel, divides.
    """

    size: tuple[int, int]
    resize: Literal["shortest", "cover", "longest", "squash", "none"]
    to: tuple[int, int]
    resample: str = "bicubic"
    crop: Literal["round", "floor"] = "round"
    fill: int = 0
    scale: float = 255.0
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    @property
    def limits(self) -> tuple[str, ...]:
        """What is noted of pictures (``core.left_out``)."""
        return () if self.resize in ("longest", "squash") else (MOSTLY_CROPPED,)

    @property
    def tag(self) -> str:
        """Names everything that can change a pixel, for step keys."""
        height, width = self.size
        settings = digest("image-transform", list(astuple(self)))[:8]
        return f"{self.resize}-{self.resample}-{height}x{width}-{settings}-{_VERSION}"

    def fit(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop one picture.

        Args:
            pixels: (h, w, 3) uint8, RGB, both sides >= 1.

        Returns:
            (3, *size) uint8.

        Raises:
            Unusable: so narrow that resizing it would fill the memory.
        """
        return np.ascontiguousarray(self.resized(pixels).transpose(2, 0, 1))

    def resized(self, values: NDArray[Any]) -> NDArray[Any]:
        """Resize and crop pixels or other values of a grid.

        Args:
            values: (h, w, 3) uint8, (h, w) uint8, or (h, w) float32; both sides >= 1.

        Returns:
            (*size, 3) or size, of the same type.

        Raises:
            Unusable: so narrow that resizing it would fill the memory.
        """
        from PIL import Image

        height, width = self._resized(*values.shape[:2])
        if height * width > MAX_PIXELS:
            raise Unusable(
                "image",
                f"an image as narrow as {values.shape[1]} x {values.shape[0]} pixels would become "
                f"{width} x {height}",
                fix="cut it up, or leave it out",
            )
        if (height, width) != values.shape[:2]:
            image = Image.fromarray(np.ascontiguousarray(values))
            resample = Image.Resampling(FILTERS.index(self.resample))
            values = np.asarray(image.resize((width, height), resample))
        pixels_left = min(height, self.size[0]) * min(width, self.size[1])
        note_cropped(pixels_left, height * width)
        return self._cropped(values)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn (n, 3, h, w) uint8 into float32 of the same shape, on its device."""
        import torch

        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=pixels.device)[:, None, None]
            for values in (self.mean, self.std)
        )
        return pixels.float().div_(self.scale).sub_(mean).div_(std)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.resize == "none":
            return height, width
        if self.resize == "squash":
            return self.to
        if self.resize == "shortest":
            short, long = sorted((height, width))
            # Cut, not rounded, as torchvision does.
            other = int(self.to[0] * long / short)
            return (other, self.to[0]) if width <= height else (self.to[0], other)
        pick = min if self.resize == "cover" else max
        ratio = pick(height / self.to[0], width / self.to[1])
        return max(1, round(height / ratio)), max(1, round(width / ratio))

    def _cropped(self, pixels: NDArray[Any]) -> NDArray[Any]:
        # Not strict: colours, where there are any, are left out.
        lacking = [max(0, n - side) for n, side in zip(self.size, pixels.shape, strict=False)]
        if any(lacking):
            # The larger half of an odd margin goes below or to the right, as in torchvision.
            margins = [(n // 2, n - n // 2) for n in lacking]
            margins += [(0, 0)] * (pixels.ndim - 2)
            pixels = np.pad(pixels, margins, constant_values=self.fill)
        (height, width), spare = self.size, np.subtract(pixels.shape[:2], self.size) / 2
        top, left = (int(round(s) if self.crop == "round" else s) for s in spare.tolist())
        return pixels[top : top + height, left : left + width]


def note_cropped(seen: int, whole: int) -> None:
    """Note a picture of whose pixels less than half are left.

    Args:
        seen: pixels that are left.
        whole: pixels of the picture, at the same scale.
    """
    if 2 * seen < whole:
        note(MOSTLY_CROPPED)
