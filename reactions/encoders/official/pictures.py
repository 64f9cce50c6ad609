"""Pictures as the published packages are given them: Pillow's, upright, in RGB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from reactions.modalities.images.files import formats

if TYPE_CHECKING:
    import PIL.Image


def opened(file: Path | BinaryIO) -> PIL.Image.Image:
    """Open a picture by Pillow alone, upright as its EXIF says, on white where transparent."""
    from PIL import Image, ImageOps

    with Image.open(file, formats=formats()) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            colours = upright.convert("RGBA")
            white = Image.new("RGBA", colours.size, "white")
            return Image.alpha_composite(white, colours).convert("RGB")
        return upright.convert("RGB")
