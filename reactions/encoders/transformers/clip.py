"""Image-text models of the transformers package, by URI.

    hf:ORG/REPO[@REVISION]      a repository in the hub's cache of this machine
    hf:./FOLDER                 a folder like it

The families CLIP and SigLIP (1, and 2 with fixed and with native shapes) are run here; CLAP and
InternVL-C by modules of their own. Option: ``?precision=bf16`` or ``fp16``.

Code that a repository brings is never run here. Pictures are prepared by our own code, equal to
the repository's image processor; captions by its tokeniser, which cuts what is too long.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.file_digests import DigestCache
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.base import (
    Tower,
    TowerEncoder,
    element_type,
    locked,
    pad_tokens,
    transformer_flops,
)
from reactions.encoders.packages import import_package, need_package
from reactions.encoders.preprocessing.image_transform import ImageTransform
from reactions.encoders.transformers.image_processor import Patches, patches_of, transform_of
from reactions.encoders.transformers.repository import (
    EXTRA,
    FILES,
    OPTIONS,
    WEIGHTS,
    Repository,
    find,
    quiet,
    refuse_unfit,
    tokeniser,
    tokeniser_tag,
    weights_digest,
    weights_files,
)
from reactions.encoders.uri import join_options, split_options
from reactions.weights.hub import commit_of, licence_of, split_repo
from reactions.weights.locate import Requirement, WeightLocator, WeightsRepo
from reactions.weights.locate import digest_cache as remembered_digests
from reactions.weights.safe_load import package_errors, refuse_code, verify_digest

if TYPE_CHECKING:
    from torch import Tensor

ADAPTER = "hf"
_CLASSES: Mapping[str, str] = {
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "siglip2": "Siglip2Model",
}
_ELSEWHERE: Mapping[str, str] = {
    "clap": "reactions.encoders.clap.transformers",
    "internvl": "reactions.encoders.transformers.internvl",
}
"""Families with a module of their own, which has ``resolve`` as here."""

_NATIVE = "siglip2"


def resolve(
    uri: str,
    *,
    name: str = "",
    digest_cache: DigestCache | None = None,
    locator: WeightLocator | None = None,
) -> SpaceSpec:
    """Describe the space that a URI names; its weights are hashed, not loaded.

    Args:
        uri: see the module.
        name: what the space is called; "" calls it after the repository.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: the repository, or a part of it, is not on this machine.
        DataError: it is damaged, or of a family that cannot be run.
        UsageError: the URI names no repository.
    """
    where = locator or WeightLocator.of_environment()
    found, options = find(uri, name, where)
    if found.family in _ELSEWHERE:
        module = importlib.import_module(_ELSEWHERE[found.family])
        spec: SpaceSpec = module.resolve(uri, name=name, digest_cache=digest_cache, locator=where)
        return spec
    if found.family not in _CLASSES:
        raise DataError(
            f'cannot run the model "{uri}"',
            why=f"its model_type is '{found.family}'",
            fix="run here: " + ", ".join(sorted({*_CLASSES, *_ELSEWHERE})),
            uri=uri,
        )
    digests = digest_cache or remembered_digests()
    files = weights_files(found, uri)
    dim, context = _dim(found), _context(found)
    picture = _pictures(found)
    text = f"{tokeniser_tag(found, digests)}-truncate{context}-1"
    suffix = f"-{options['precision']}" if options.get("precision", "fp32") != "fp32" else ""
    spec = SpaceSpec(
        name=found.name,
        dim=dim,
        modalities=("image", "text"),
        adapter=ADAPTER,
        source=join_options(found.uri, options),
        revision=commit_of(found.folder),
        licence=licence_of(found.folder),
        weights_digest=weights_digest(found, files, digests),
        preprocessing=(("image", picture.tag + suffix), ("text", text + suffix)),
        flops_per_item=_flops(found, picture, context),
    )
    digests.save()
    return spec


def requirements(uri: str) -> tuple[Requirement, ...]:
    """Return what has to be fetched before a URI can be resolved; () for a folder.

    Raises:
        UsageError: it names no repository.
    """
    rest, _ = split_options(uri, OPTIONS)
    if rest.startswith(("/", ".", "~")):
        return ()
    repo, revision = split_repo(rest)
    return (WeightsRepo(repo, revision, FILES, WEIGHTS),)


def check(spec: SpaceSpec) -> None:
    """Find out, without loading anything heavy, whether ``load`` has what it needs.

    Raises:
        MissingError: transformers or a part of the repository is missing.
    """
    need_package("transformers", spec.source, EXTRA)
    found, _ = find(spec.source, spec.name, WeightLocator.of_environment())
    weights_files(found, spec.source)


def load(spec: SpaceSpec, *, device: str = "cpu") -> TowerEncoder:
    """Load a model that ``resolve`` described.

    Args:
        spec: its ``source`` is a URI of this module's.
        device: ``"cpu"``, ``"cuda:0"``, ...

    Raises:
        MissingError: transformers or a part of the repository is missing.
        DataError: the weights are not those that ``spec`` names, or do not fit the model.
    """
    found, options = find(spec.source, spec.name, WeightLocator.of_environment())
    files = weights_files(found, spec.source)
    digests = remembered_digests()
    verify_digest(spec, weights_digest(found, files, digests), found.folder)
    digests.save()
    module = import_package(
        f"transformers.models.{found.family}.modeling_{found.family}", spec.source, EXTRA
    )
    dtype = element_type(options.get("precision", "fp32"))
    model = _loaded(getattr(module, _CLASSES[found.family]), found, files)
    model = model.to(device=device, dtype=dtype).eval()
    picture = _pictures(found)

    def project_images(inputs: Sequence[Any]) -> Tensor:
        import torch

        if isinstance(picture, ImageTransform):
            pixels = torch.from_numpy(np.stack(inputs)).to(device)
            given = {"pixel_values": picture.normalise(pixels).to(dtype)}
        else:
            given = _native(picture, inputs, device, dtype)
        return _pooled(model.get_image_features(**given))

    words = tokeniser(found)
    context = _context(found)
    # SigLIP was trained on captions padded to full length, and attends to the padding; CLIP's
    # causal attention ends before it, so there the longest of a batch is enough.
    full: dict[str, Any] = {} if found.family == "clip" else {"padding": "max_length"}
    pad_id = words.pad_token_id or 0

    def tokenise(text: str) -> Any:
        return words(text, truncation=True, max_length=context, **full)["input_ids"]

    def project_texts(inputs: Sequence[Any]) -> Tensor:
        import torch

        ids = torch.from_numpy(pad_tokens(inputs, pad_id)).to(device)
        return _pooled(model.get_text_features(input_ids=ids))

    sides: Mapping[Modality, Tower] = {
        "image": Tower(
            picture.fit if isinstance(picture, ImageTransform) else picture.cut, project_images
        ),
        "text": Tower(locked(tokenise), project_texts, batch_items=256),
    }
    return TowerEncoder(spec, sides)


def _dim(found: Repository) -> int:
    if found.family == "clip":
        return found.number("", "projection_dim", 512)
    image = found.number("vision_config", "hidden_size", 768)
    hidden = found.number("text_config", "hidden_size", 768)
    text = found.number("text_config", "projection_size", hidden)
    if image != text:
        raise DimensionMismatch(
            f"the towers of '{found.name}' differ in width",
            why=f"image has {image} dimensions, text has {text}",
            space=found.name,
        )
    return image


def _context(found: Repository) -> int:
    default = 77 if found.family == "clip" else 64
    return found.number("text_config", "max_position_embeddings", default)


def _pictures(found: Repository) -> ImageTransform | Patches:
    if found.family == _NATIVE:
        return patches_of(found, found.number("vision_config", "patch_size", 16))
    side = found.number("vision_config", "image_size", 224)
    return transform_of(found, found.family, side)


def _flops(
    found: Repository, picture: ImageTransform | Patches, context: int
) -> tuple[tuple[Modality, float], ...]:
    def tower(part: str, width: int, tokens: int) -> float:
        width = found.number(part, "hidden_size", width)
        inner = found.number(part, "intermediate_size", 4 * width)
        layers = found.number(part, "num_hidden_layers", 12)
        return transformer_flops(layers=layers, width=width, tokens=tokens, mlp_ratio=inner / width)

    if isinstance(picture, Patches):
        patches = picture.most
    else:
        patch = found.number("vision_config", "patch_size", 32 if found.family == "clip" else 16)
        patches = (picture.size[0] // patch) ** 2 + (found.family == "clip")
    return (
        ("image", tower("vision_config", 768, patches)),
        ("text", tower("text_config", 512 if found.family == "clip" else 768, context)),
    )


def _native(picture: Patches, inputs: Sequence[Any], device: str, dtype: Any) -> dict[str, Tensor]:
    """Pad patches to the longest picture's, and say which are real."""
    import torch

    most = max(len(patches) for patches, _ in inputs)
    patches = np.zeros((len(inputs), most, inputs[0][0].shape[1]), np.uint8)
    mask = np.zeros((len(inputs), most), np.int64)
    for i, (cut, _) in enumerate(inputs):
        patches[i, : len(cut)] = cut
        mask[i, : len(cut)] = 1
    real = torch.from_numpy(mask).to(device)
    values = picture.normalise(torch.from_numpy(patches).to(device))
    return {
        "pixel_values": values.to(dtype),
        "pixel_attention_mask": real,
        "spatial_shapes": torch.from_numpy(np.stack([shape for _, shape in inputs])),
    }


def _pooled(features: Any) -> Tensor:
    """Return the embeddings: version 5 of transformers wraps them, version 4 does not."""
    pooled: Tensor = getattr(features, "pooler_output", features)
    return pooled


def _loaded(kind: Any, found: Repository, files: Sequence[Any]) -> Any:
    safe = files[0].suffix == ".safetensors"
    for path in files:
        refuse_code(path)
    with package_errors(found.name, found.folder), quiet():
        model, info = kind.from_pretrained(
            str(found.folder),
            local_files_only=True,
            use_safetensors=safe,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, with the keys' names
        )
    refuse_unfit(found, info)
    return model
