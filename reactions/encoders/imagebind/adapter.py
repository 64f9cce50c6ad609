"""The ImageBind space as a lab, a URI or a plan sees it; nothing here loads a network.

The published model is under CC-BY-NC-SA 4.0: not for commercial use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reactions.core.errors import DataError, MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists, expand_user, is_dir, is_file
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.imagebind.sizes import HUGE, PUBLISHED, Sizes, flops
from reactions.encoders.preprocessing.clip_bpe import require_ftfy
from reactions.weights.locate import (
    Requirement,
    WeightLocator,
    WeightsFile,
    find_file,
    missing,
    verify,
)
from reactions.weights.locate import digest_cache as remembered_digests
from reactions.weights.safe_load import verify_digest

if TYPE_CHECKING:
    from reactions.encoders.imagebind.encoder import ImageBindEncoder

ADAPTER = "imagebind"
DTYPES: Mapping[str, str] = {
    ADAPTER: "float32",
    "imagebind_float16": "float16",
    "imagebind_bfloat16": "bfloat16",
}
"""Adapter, which is also the scheme of a URI, to the type of weights and activations.

Half precision changes results in the third digit, and so has to change the keys of steps.
"""

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


def resolve(
    uri: str,
    *,
    name: str = "",
    digest_cache: DigestCache | None = None,
    locator: WeightLocator | None = None,
) -> SpaceSpec:
    """Describe the space of an ImageBind checkpoint.

    Args:
        uri: ``imagebind:FILE`` (in half precision ``imagebind_float16:FILE`` or
            ``imagebind_bfloat16:FILE``): a path, or the bare name of the published file.
        name: what the space is called; "" for ``ImageBind``.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: there is no such file.
        DataError: a file other than the published one is damaged or does not fit.
    """
    adapter, _, wanted = uri.partition(":")
    called = name or "ImageBind"
    where = locator or WeightLocator.of_environment()
    path = expand_user(wanted).absolute()
    if called in where.overrides or (wanted == WEIGHTS.filename and not exists(path)):
        path = find_file(called, FORMS, where, fetch=uri)
    path = locate(path, called)
    digests = digest_cache or remembered_digests()
    digest = verify(called, WeightsFile(path.name), path, digests)
    digests.save()
    if path.name == WEIGHTS.filename:  # known without opening it
        return _spec(path, called, MODALITIES, HUGE, digest, adapter)
    return replace(describe(path, name=called, digest=digest), adapter=adapter)


def requirements(uri: str) -> tuple[Requirement, ...]:
    """Return what has to be fetched before a URI can be loaded."""
    return (WEIGHTS,) if uri.partition(":")[2] == WEIGHTS.filename else ()


def check(spec: SpaceSpec) -> None:
    """Find out, without loading anything heavy, whether ``load`` has what it needs.

    Raises:
        MissingError: the file or a package is missing.
        DataError: ImageBind has no such modalities.
    """
    locate(Path(spec.source), spec.name)
    _require_known(spec.modalities)
    if "text" in spec.modalities:
        require_ftfy()


def load(
    spec: SpaceSpec, *, device: str = "cpu", heads: Mapping[Modality, int] | None = None
) -> ImageBindEncoder:
    """Open an ImageBind space.

    Only the towers of ``spec.modalities`` are looked for, and each is brought to the
    device when it is first used.

    Args:
        spec: its ``source`` is the published ``imagebind_huge.pth``, the same weights as
            safetensors, or a folder with either.
        device: ``"cpu"`` or ``"cuda:N"``.
        heads: modality to attention heads, for sizes other than the published one.

    Raises:
        MissingError: there is no such file, or a package is missing.
        DataError: the file is not the one ``spec.weights_digest`` names, is damaged, or
            does not fit.
    """
    import torch

    from reactions.encoders.imagebind.checkpoint import Towers, read, sizes_of
    from reactions.encoders.imagebind.encoder import ImageBindEncoder

    check(spec)
    path = locate(Path(spec.source), spec.name)
    if spec.weights_digest:
        digests = remembered_digests()
        verify_digest(spec, digests.of(path), path)
        digests.save()
    checkpoint = read(path, space=spec.name)
    sizes = sizes_of(checkpoint, spec.modalities, heads, space=spec.name)
    if sizes.dim != spec.dim:
        raise DataError(
            f"the weights of space '{spec.name}' do not fit its description",
            why=f"they embed in {sizes.dim} dimensions, not {spec.dim}",
            space=spec.name,
            path=str(path),
        )
    dtype = getattr(torch, DTYPES.get(spec.adapter, "float32"))
    return ImageBindEncoder(spec, Towers(checkpoint, sizes, device=device, dtype=dtype))


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
        source: as for ``load``.
        name: as written in reactions.
        modalities: the towers to use.
        heads: as for ``load``.
        digest: SHA-256 of the file, where it is known.

    Raises:
        MissingError: there is no such file.
        DataError: the file is damaged or does not fit.
    """
    from reactions.encoders.imagebind.checkpoint import read, sizes_of

    path = locate(source, name)
    wanted = tuple(sorted(set(modalities)))
    _require_known(wanted)
    sizes = sizes_of(read(path, space=name), wanted, heads, space=name)
    return _spec(path, name, wanted, sizes, digest, ADAPTER)


def _spec(
    path: Path,
    name: str,
    modalities: tuple[Modality, ...],
    sizes: Sizes,
    digest: str,
    adapter: str,
) -> SpaceSpec:
    return SpaceSpec(
        name=name,
        dim=sizes.dim,
        modalities=modalities,
        adapter=adapter,
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
