"""The ImageBind space as a lab, a URI or a plan sees it; nothing here loads a network.

The published model is under CC-BY-NC-SA 4.0: not for commercial use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists, expand_user, is_dir, is_file
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.base import SpaceRequest, misfit
from reactions.encoders.imagebind.sizes import HUGE, PUBLISHED, TOWERS, ImageBindSizes, flops
from reactions.encoders.imagebind.variants import OPTIONS, USUAL, Variants, variants_of
from reactions.encoders.preprocessing.clip_bpe import require_ftfy
from reactions.encoders.published import Checkpoint, CheckpointAdapter
from reactions.encoders.uri import join_options
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
"""What a URI that names no modalities is about: as in versions that knew no others, so that what
they made is found again. ``modalities=all`` are all but imu, whose channels' order was never
published."""

ALL: tuple[Modality, ...] = tuple(sorted({*TOWERS} - {"imu"}))

PREPROCESSING: Mapping[Modality, str] = {
    "audio": "first-channel-16khz-3x2s-fbank128x204-2",
    "image": "bicubic224-centre-clip-statistics-1",
    "imu": "unproven-6x2000-as-given-1",
    "text": "clip-bpe77-keeps-end-token-1",
    "video": "5x2s-2frames-bilinear224-3crops-clip-statistics-1",
}
"""Tags that change whenever preprocessing can change an embedding; of thermal and depth pictures,
``variants`` has them."""

WEIGHTS = WeightsFile(
    "imagebind_huge.pth",
    url="https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth",
    licence=LICENCE,
)
"""The published checkpoint."""

SAFE = WeightsFile(
    "model.safetensors",
    repo="nielsr/imagebind-huge",
    revision="51fc1ff707903501e60bdb2f73dd4e8818eef099",
    licence=LICENCE,
)
"""The same weights without a pickle: a copy on the hub."""

FORMS: tuple[WeightsFile, ...] = (
    WEIGHTS,
    WeightsFile("imagebind_huge.safetensors", licence=LICENCE),
    SAFE,
)
"""Forms of it that serve equally, the best first."""


class ImageBindAdapter(CheckpointAdapter):
    """``imagebind:FILE``: a path, or the bare name of the published file.

    The file is the published ``imagebind_huge.pth``, the same weights as safetensors, or a
    folder with either. Only the towers of ``SpaceSpec.modalities`` are looked for when it is
    opened, and each is brought to the device when it is first used.

    Options: ``?modalities=image,text,video`` or ``all``, those of ``variants``, and
    ``point=FILE``, a checkpoint of PointBind's that adds points (``pointbind:`` is short for it).

    Args:
        heads: modality to attention heads, for sizes other than the published one.
    """

    scheme = "imagebind"
    trains = True
    gives_norms = True
    options = ("modalities", "point", "sampling", *OPTIONS)
    published: ClassVar[Mapping[str, WeightsFile]] = {
        WEIGHTS.filename: WEIGHTS,
        SAFE.filename: SAFE,
    }
    dtype: ClassVar[str] = "float32"
    """Of weights and activations."""

    def __init__(self, heads: Mapping[Modality, int] | None = None) -> None:
        self._heads = heads

    def locate(self, request: SpaceRequest) -> Checkpoint:
        """Find the file that a URI names."""
        _asked(request.options)  # before weights are looked for
        space = request.name or "ImageBind"
        path = expand_user(request.rest).absolute()
        by_name = request.rest in self.published and not exists(path)
        if by_name or space in request.locator.overrides:
            forms = SAFE if request.rest == SAFE.filename else FORMS
            path = find_file(space, forms, request.locator, fetch=request.uri)
        return Checkpoint(space, locate(path, space), options=request.options)

    def locate_again(self, spec: SpaceSpec) -> Checkpoint:
        """Find the file that a description names: a path, or a URI where it has options."""
        if spec.source.startswith(f"{self.scheme}:"):
            request = self.request(spec.source, spec.name)
            return Checkpoint(spec.name, locate(request.path, spec.name), options=request.options)
        return Checkpoint(spec.name, locate(Path(spec.source), spec.name))

    def describe(self, files: Checkpoint, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a checkpoint; the published one is known without opening it."""
        digest = files.digest(digests)
        modalities, variants = _asked(files.options)
        if files.path.name == WEIGHTS.filename:
            spec = _spec(files.path, files.space, modalities, HUGE, digest, variants)
        else:
            spec = describe(
                files.path,
                name=files.space,
                modalities=modalities,
                heads=self._heads,
                digest=digest,
                variants=variants,
            )
        # Loading needs to know the variants; which modalities there are, the description says.
        options = {key: value for key, value in files.options.items() if key != "modalities"}
        if "point" in options:
            path = self.tower_path(files, "point")
            spec = _with_points(spec, digests.of(path), options.get("sampling", "random"))
            options["point"] = str(path)
        source = join_options(f"{self.scheme}:{spec.source}", options) if options else spec.source
        return replace(spec, adapter=self.scheme, source=source)

    def tower_path(self, files: Checkpoint, modality: Modality) -> Path:
        """Return PointBind's checkpoint.

        Raises:
            MissingError: none was named.
        """
        if modality != "point" or modality not in files.options:
            raise MissingError(
                f"space '{files.space}' names no file for its {modality} tower",
                why="of ImageBind's modalities, points alone have a file of their own",
                fix='name it by a URI: "pointbind:FILE"',
                space=files.space,
            )
        return expand_user(files.options[modality]).absolute()

    def require(self, spec: SpaceSpec, files: Checkpoint) -> None:
        """Check that ImageBind has the modalities, and that texts can be cleaned."""
        _require_known(_of_imagebind(spec.modalities))
        if "point" in spec.modalities and not is_file(self.tower_path(files, "point")):
            raise MissingError(
                f"no weights for the points of space '{spec.name}'",
                why=f"there is no file '{self.tower_path(files, 'point')}'",
                fix="restore it, or pointbind:FILE with another path",
                space=spec.name,
            )
        if "text" in spec.modalities:
            require_ftfy()

    def open(self, spec: SpaceSpec, files: Checkpoint, device: str) -> TowerEncoder:
        """Map the file, and compare what it holds with what the towers need."""
        import torch

        from reactions.encoders.imagebind.checkpoint import LazyTowers, read, sizes_of
        from reactions.encoders.imagebind.encoder import imagebind_towers
        from reactions.encoders.tower import TowerEncoder

        checkpoint = read(files.path, space=spec.name)
        modalities = _of_imagebind(spec.modalities)
        sizes = sizes_of(checkpoint, modalities, self._heads, space=spec.name)
        if sizes.dim != spec.dim:
            why = f"they embed in {sizes.dim} dimensions, not {spec.dim}"
            raise misfit(spec, files.path, why)
        dtype = getattr(torch, self.dtype)
        lazy = LazyTowers(checkpoint, sizes, device=device, dtype=dtype)
        towers = imagebind_towers(modalities, lazy, variants_of(files.options))
        if "point" in spec.modalities:
            from reactions.encoders.pointbind.tower import point_tower, refuse_other_imagebind

            points = read(self.tower_path(files, "point"), space=spec.name)
            refuse_other_imagebind(points, checkpoint, {PUBLISHED[TOWERS[m]] for m in modalities})
            towers["point"] = point_tower(
                points,
                sizes.dim,
                space=spec.name,
                device=device,
                sampling=files.options.get("sampling", "random"),
            )
        return TowerEncoder(spec, towers)


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
    variants: Variants = USUAL,
) -> SpaceSpec:
    """Describe the space of a checkpoint of any size, reading no more than keys and shapes.

    Args:
        source: as for ``ImageBindAdapter``.
        name: as written in reactions.
        modalities: the towers to use.
        heads: modality to attention heads, for sizes other than the published one.
        digest: SHA-256 of the file, where it is known.
        variants: how thermal and depth pictures are prepared.

    Raises:
        MissingError: there is no such file.
        DataError: the file is damaged or does not fit.
    """
    from reactions.encoders.imagebind.checkpoint import read, sizes_of

    path = locate(source, name)
    towers = tuple(sorted(set(modalities)))
    _require_known(towers)
    sizes = sizes_of(read(path, space=name), towers, heads, space=name)
    return _spec(path, name, towers, sizes, digest, variants)


def _spec(
    path: Path,
    name: str,
    modalities: tuple[Modality, ...],
    sizes: ImageBindSizes,
    digest: str,
    variants: Variants,
) -> SpaceSpec:
    tags = {
        **PREPROCESSING,
        "depth": variants.depth_tag,
        "thermal": variants.thermal_tag,
    }
    return SpaceSpec(
        name=name,
        dim=sizes.dim,
        modalities=modalities,
        adapter=ImageBindAdapter.scheme,
        source=str(path.absolute()),
        licence=LICENCE,
        weights_digest=digest,
        preprocessing=tuple((m, tags[m]) for m in modalities),
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
    strangers = [modality for modality in modalities if modality not in TOWERS]
    if strangers:
        raise DataError(
            f"ImageBind does not embed {', '.join(strangers)}",
            why="it embeds " + ", ".join(sorted(TOWERS)),
            fix=suggestion(strangers[0], TOWERS),
            modalities=list(modalities),
        )


def _of_imagebind(modalities: Iterable[Modality]) -> tuple[Modality, ...]:
    """Return the modalities that are ImageBind's own."""
    return tuple(modality for modality in modalities if modality != "point")


def _with_points(spec: SpaceSpec, digest: Digest, sampling: str) -> SpaceSpec:
    from reactions.encoders.pointbind.tower import (
        FLOPS_PER_ITEM,
        check_sampling,
        preprocessing_tag,
    )

    tag = preprocessing_tag(check_sampling(sampling))
    return replace(
        spec,
        modalities=tuple(sorted((*spec.modalities, "point"))),
        tower_digests=(("point", digest),),
        preprocessing=tuple(sorted((*spec.preprocessing, ("point", tag)))),
        flops_per_item=tuple(sorted((*spec.flops_per_item, ("point", FLOPS_PER_ITEM)))),
    )


def _asked(options: Mapping[str, str]) -> tuple[tuple[Modality, ...], Variants]:
    """Return the modalities and variants that a URI asks for.

    Raises:
        DataError: ImageBind does not embed one.
        UsageError: there is no such variant, or it is of a modality that is not asked for.
    """
    names = options.get("modalities", "")
    modalities = (
        ALL if names == "all" else tuple(sorted({*names.split(",")})) if names else MODALITIES
    )
    modalities = _of_imagebind(modalities) if "point" in options else modalities
    _require_known(modalities)
    variants = variants_of(options)
    if "sampling" in options and "point" not in options:
        raise UsageError("sampling= says how points are chosen, and none are embedded")
    for option, modality in OPTIONS.items():
        if option in options and modality not in modalities:
            raise UsageError(
                f"{option}= says how {modality} pictures are prepared, and none are embedded",
                fix=f"modalities={','.join(sorted({*modalities, modality}))} as well",
            )
    return modalities, variants
