"""What a repository's image processor does to pictures, as our own transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reactions.core.errors import DataError, MissingError
from reactions.core.hashing import digest
from reactions.encoders.preprocessing.image_transform import (
    CLIP_MEAN,
    CLIP_STD,
    FILTERS,
    ImageTransform,
)
from reactions.encoders.transformers.repository import Repository
from reactions.weights.hub_layout import read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_HALF = (0.5, 0.5, 0.5)
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "clip": {
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "resample": 3,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    },
    "siglip": {
        "size": {"height": 224, "width": 224},
        "resample": 3,
        "image_mean": _HALF,
        "image_std": _HALF,
    },
    "siglip2": {
        "resample": 2,
        "image_mean": _HALF,
        "image_std": _HALF,
        "patch_size": 16,
        "max_num_patches": 256,
    },
}
"""What transformers' processors of a family do where their file does not say."""


def transform_of(repo: Repository, family: str, side: int) -> ImageTransform:
    """Read the processor of a model that takes squares.

    Args:
        repo: the repository.
        family: ``"clip"`` or ``"siglip"``: whose defaults hold.
        side: what the model takes, in pixels.

    Raises:
        MissingError: it has no processor.
        DataError: the processor does what we cannot do, or gives another size.
    """
    settings = _settings(repo, family)
    try:
        transform = _transform(settings)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _unusable(repo, f"{type(error).__name__}: {error}") from error
    if transform is None:
        raise _unusable(repo, f"it resizes to {settings['size']}, which leaves no one size")
    if transform.size != (side, side):
        height, width = transform.size
        raise _unusable(
            repo, f"it gives {height} x {width} pixels, but the model takes {side} x {side}"
        )
    return transform


@dataclass(frozen=True, slots=True)
class Patches:
    """Pictures of native shape, cut into patches (SigLIP 2, NaFlex).

    Attributes:
        transform: how pixels are resized and normalised; its sizes vary by picture.
        patch: side of a patch, in pixels.
        most: at most this many patches a picture.
    """

    transform: ImageTransform
    patch: int
    most: int

    @property
    def tag(self) -> str:
        """Names everything that can change a pixel, for step keys."""
        return f"patches-{self.patch}x{self.most}-{digest('patches', self.transform.tag)[:8]}-1"

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of patches for a picture: as many as are allowed.

        The scale is found by halving an interval, as the model's own code does, for its
        last bit decides between two grids.
        """

        def at(scale: float) -> tuple[int, int]:
            # -(-x // 1) rounds up.
            rows, columns = (
                max(1, -int(-(side * scale / self.patch) // 1)) for side in (height, width)
            )
            return rows, columns

        low, high = 1e-6, 100.0
        while high - low >= 1e-5:
            middle = (low + high) / 2
            rows, columns = at(middle)
            if rows * columns <= self.most:
                low = middle
            else:
                high = middle
        return at(low)

    def cut(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return (n, patch * patch * 3) uint8, row by row, and (2,) rows and columns."""
        rows, columns = self.grid(*pixels.shape[:2])
        size = (rows * self.patch, columns * self.patch)
        fitted = replace(self.transform, size=size, to=size).fit(pixels)
        shaped = fitted.reshape(3, rows, self.patch, columns, self.patch)
        # (3, rows, patch, columns, patch) -> (rows * columns, patch * patch * 3)
        patches = shaped.transpose(1, 3, 2, 4, 0).reshape(rows * columns, -1)
        return np.ascontiguousarray(patches), np.array([rows, columns], np.int64)

    def normalise(self, patches: Tensor) -> Tensor:
        """Turn (n, m, patch * patch * 3) uint8 into float32 of the same shape."""
        n, m, width = patches.shape
        # (n, m, patch * patch * 3) -> (n * m, 3, patch * patch, 1), and back
        pixels = patches.reshape(n * m, -1, 1, 3).permute(0, 3, 1, 2)
        return self.transform.normalise(pixels).permute(0, 2, 3, 1).reshape(n, m, width)


def patches_of(repo: Repository, patch: int) -> Patches:
    """Read the processor of a model that takes pictures of native shape.

    Args:
        repo: the repository.
        patch: side of the model's patches, in pixels.

    Raises:
        MissingError: it has no processor.
        DataError: the processor does what we cannot do, or cuts other patches.
    """
    settings = _settings(repo, "siglip2")
    try:
        transform = ImageTransform((1, 1), "squash", (1, 1), **_colours(settings))
        cut, most = int(settings["patch_size"]), int(settings["max_num_patches"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _unusable(repo, f"{type(error).__name__}: {error}") from error
    if cut != patch or most < 1:
        raise _unusable(repo, f"it cuts {most} patches of {cut} pixels, the model takes {patch}")
    return Patches(transform, cut, most)


def _settings(repo: Repository, family: str) -> dict[str, Any]:
    """Return a processor's settings; version 5 of transformers nests them in another file."""
    path = repo.folder / "preprocessor_config.json"
    try:
        settings = read_json(path)
    except MissingError:
        nested = read_json(path.with_name("processor_config.json")).get("image_processor")
        if not isinstance(nested, Mapping):
            raise
        settings = nested
    return {**_DEFAULTS[family], **{k: v for k, v in settings.items() if v is not None}}


def _transform(settings: Mapping[str, Any]) -> ImageTransform | None:
    resize: Literal["shortest", "squash", "none"] = "none"
    size, to = settings["size"], (0, 0)
    if settings.get("do_resize", True):
        if isinstance(size, int):
            resize, to = "shortest", (size, size)
        elif set(size) == {"shortest_edge"}:
            resize, to = "shortest", (int(size["shortest_edge"]),) * 2
        elif set(size) == {"height", "width"}:
            resize, to = "squash", (int(size["height"]), int(size["width"]))
        else:
            return None
    crop = to
    if settings.get("do_center_crop"):
        crop = settings["crop_size"]
        crop = (crop,) * 2 if isinstance(crop, int) else (crop["height"], crop["width"])
    elif resize != "squash":
        return None
    return ImageTransform(
        (int(crop[0]), int(crop[1])), resize, to, crop="floor", **_colours(settings)
    )


def _colours(settings: Mapping[str, Any]) -> dict[str, Any]:
    scaled, normal = settings.get("do_rescale", True), settings.get("do_normalize", True)
    mean, std = settings["image_mean"], settings["image_std"]
    if len(mean) != 3 or len(std) != 3:
        raise ValueError("image_mean and image_std need three numbers")
    return {
        "resample": FILTERS[int(settings["resample"])],
        "scale": 1.0 / float(settings.get("rescale_factor", 1 / 255)) if scaled else 1.0,
        "mean": tuple(float(v) for v in mean) if normal else (0.0, 0.0, 0.0),
        "std": tuple(float(v) for v in std) if normal else (1.0, 1.0, 1.0),
    }


def _unusable(repo: Repository, why: str) -> DataError:
    return DataError(
        f"cannot prepare pictures for space '{repo.name}'",
        why=f"its image processor: {why}",
        space=repo.name,
        path=str(repo.folder),
    )
