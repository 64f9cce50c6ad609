"""The ImageBind space as a lab, a URI or a plan sees it; nothing here loads a network.

The published model is under CC-BY-NC-SA 4.0: not for commercial use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reactions.core.errors import DataError, MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists, expand_user, is_dir, is_file
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.base import SpaceRequest, misfit
from reactions.encoders.imagebind.sizes import HUGE, PUBLISHED, ImageBindSizes, flops
from reactions.encoders.preprocessing.clip_bpe import require_ftfy
from reactions.encoders.published import Checkpoint, CheckpointAdapter
from reactions.weights.locate import (
    WeightLocator,
    WeightsFile,
    find_file,
    missing,
)

if TYPE_CHECKING:
    from reactions.encoders.tower import TowerEncoder

LICENCE = "CC-BY-NC-SA-4.0"
HUB = "image"
MODALITIES: tuple[Modality, ...] = ("audio", "image", "text")
"""Those with published preprocessing; depth and thermal can be asked for as well."""

PREPROCESSING: Mapping[Modality, str] = {
    "audio": "first-channel-16khz-3x2s-fbank128x204-2",
    "depth": "disparity-bicubic224-centre-1",
    "image": "bicubic224-centre-clip-statistics-1",
    "text": "clip-bpe77-keeps-end-token-1",
    "thermal": "grey-bicubic224-centre-1",
}
"""Tags that change whenever preprocessing can change an embedding."""

WEIGHTS = WeightsFile(
    "imagebind_huge.pth",
    url="https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth",
    licence=LICENCE,
)
"""The published checkpoint."""

FORMS: tuple[WeightsFile, ...] = (
    WEIGHTS,
    WeightsFile("imagebind_huge.safetensors", licence=LICENCE),
    WeightsFile("model.safetensors", licence=LICENCE),
)
"""Forms of it that serve equally, the best first."""


class ImageBindAdapter(CheckpointAdapter):
    """``imagebind:FILE``: a path, or the bare name of the published file.

    The file is the published ``imagebind_huge.pth``, the same weights as safetensors, or a
    folder with either. Only the towers of ``SpaceSpec.modalities`` are looked for when it is
    opened, and each is brought to the device when it is first used.

    Args:
        heads: modality to attention heads, for sizes other than the published one.
    """

    scheme = "imagebind"
    trains = True
    published: ClassVar[Mapping[str, WeightsFile]] = {WEIGHTS.filename: WEIGHTS}
    dtype: ClassVar[str] = "float32"
    """Of weights and activations."""

    def __init__(self, heads: Mapping[Modality, int] | None = None) -> None:
        self._heads = heads

    def locate(self, request: SpaceRequest) -> Checkpoint:
        """Find the file that a URI names."""
        space = request.name or "ImageBind"
        path = expand_user(request.rest).absolute()
        by_name = request.rest == WEIGHTS.filename and not exists(path)
        if by_name or space in request.locator.overrides:
            path = find_file(space, FORMS, request.locator, fetch=request.uri)
        return Checkpoint(space, locate(path, space))

    def locate_again(self, spec: SpaceSpec) -> Checkpoint:
        """Find the file that a description names."""
        return Checkpoint(spec.name, locate(Path(spec.source), spec.name))

    def describe(self, files: Checkpoint, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a checkpoint; the published one is known without opening it."""
        digest = files.digest(digests)
        if files.path.name == WEIGHTS.filename:
            spec = _spec(files.path, files.space, MODALITIES, HUGE, digest)
        else:
            spec = describe(files.path, name=files.space, heads=self._heads, digest=digest)
        return replace(spec, adapter=self.scheme)

    def require(self, spec: SpaceSpec, files: Checkpoint) -> None:
        """Check that ImageBind has the modalities, and that texts can be cleaned."""
        _require_known(spec.modalities)
        if "text" in spec.modalities:
            require_ftfy()

    def open(self, spec: SpaceSpec, files: Checkpoint, device: str) -> TowerEncoder:
        """Map the file, and compare what it holds with what the towers need."""
        import torch

        from reactions.encoders.imagebind.checkpoint import LazyTowers, read, sizes_of
        from reactions.encoders.imagebind.encoder import encoder

        checkpoint = read(files.path, space=spec.name)
        sizes = sizes_of(checkpoint, spec.modalities, self._heads, space=spec.name)
        if sizes.dim != spec.dim:
            why = f"they embed in {sizes.dim} dimensions, not {spec.dim}"
            raise misfit(spec, files.path, why)
        dtype = getattr(torch, self.dtype)
        return encoder(spec, LazyTowers(checkpoint, sizes, device=device, dtype=dtype))


class ImageBindFloat16Adapter(ImageBindAdapter):
    """``imagebind_float16:FILE``: half precision changes results in the third digit.

    It so has to change the keys of steps, and is an adapter of its own.
    """

    scheme = "imagebind_float16"
    trains = False  # updates would be lost in rounding
    dtype = "float16"


class ImageBindBfloat16Adapter(ImageBindAdapter):
    """``imagebind_bfloat16:FILE``: as in float16, with the range of float32."""

    scheme = "imagebind_bfloat16"
    trains = False  # updates would be lost in rounding
    dtype = "bfloat16"


def describe(
    source: Path,
    *,
    name: str = "ImageBind",
    modalities: Sequence[Modality] = MODALITIES,
    heads: Mapping[Modality, int] | None = None,
    digest: str = "",
) -> SpaceSpec:
    """Describe the space of a checkpoint of any size, reading no more than keys and shapes.

    Args:
        source: as for ``ImageBindAdapter``.
        name: as written in reactions.
        modalities: the towers to use.
        heads: modality to attention heads, for sizes other than the published one.
        digest: SHA-256 of the file, where it is known.

    Raises:
        MissingError: there is no such file.
        DataError: the file is damaged or does not fit.
    """
    from reactions.encoders.imagebind.checkpoint import read, sizes_of

    path = locate(source, name)
    towers = tuple(sorted(set(modalities)))
    _require_known(towers)
    sizes = sizes_of(read(path, space=name), towers, heads, space=name)
    return _spec(path, name, towers, sizes, digest)


def _spec(
    path: Path,
    name: str,
    modalities: tuple[Modality, ...],
    sizes: ImageBindSizes,
    digest: str,
) -> SpaceSpec:
    return SpaceSpec(
        name=name,
        dim=sizes.dim,
        modalities=modalities,
        adapter=ImageBindAdapter.scheme,
        source=str(path.absolute()),
        licence=LICENCE,
        weights_digest=digest,
        preprocessing=tuple((m, PREPROCESSING[m]) for m in modalities),
        hub=HUB if HUB in modalities else None,
        flops_per_item=tuple((m, flops(m, sizes)) for m in modalities),
    )


def locate(source: Path, space: str) -> Path:
    """Return the file that a source means: itself, or the one in a folder.

    Raises:
        MissingError: there is none.
    """
    if is_file(source):
        return source
    candidates = [source / file.name for file in FORMS] if is_dir(source) else [source]
    for path in candidates:
        if is_file(path):
            return path
    if source.is_absolute() and source.name != WEIGHTS.filename and not is_dir(source):
        raise MissingError(
            f"no weights for space '{space}'",
            why=f"there is no file '{source}'",
            fix=f"check the path   or   --weights {space}=PATH",
            space=space,
            path=str(source),
        )
    raise missing(space, candidates, WeightLocator.of_environment())


def _require_known(modalities: Sequence[Modality]) -> None:
    strangers = [modality for modality in modalities if modality not in PUBLISHED]
    if strangers:
        raise DataError(
            f"ImageBind does not embed {', '.join(strangers)}",
            why="it embeds " + ", ".join(sorted(PUBLISHED)),
            modalities=list(modalities),
        )
