"""Image-text models of the transformers package, by URI.

    hf:ORG/REPO[@REVISION]      a repository in the hub's cache of this machine
    hf:./FOLDER                 a folder like it

The families CLIP and SigLIP (1, and 2 with fixed and with native shapes) are run here; CLAP and
InternVL-C by modules of their own. Option: ``?precision=bf16`` or ``fp16``.

Code that a repository brings is never run here. Pictures are prepared by our own code, equal to
the repository's image processor; captions by its tokeniser, which cuts what is too long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.file_digests import DigestCache
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.packages import import_package
from reactions.encoders.preprocessing.image_transform import ImageTransform
from reactions.encoders.preprocessing.tokens import locked, note_cut
from reactions.encoders.transformers.image_processor import Patches, patches_of, transform_of
from reactions.encoders.transformers.repository import (
    EXTRA,
    FILES,
    WEIGHTS,
    Repository,
    RepositoryAdapter,
    quiet,
    refuse_unfit,
    tokeniser,
    tokeniser_tag,
)
from reactions.weights.hub import split_repo, tokeniser_files
from reactions.weights.locate import Requirement, WeightsRepo
from reactions.weights.safe_load import package_errors, refuse_code

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.encoders.tower import TowerEncoder

_CLASSES: Mapping[str, str] = {
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "siglip2": "Siglip2Model",
}
_ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "clap": ("reactions.encoders.clap.transformers", "HfClapAdapter"),
    "internvl": ("reactions.encoders.transformers.internvl", "InternVLAdapter"),
}
"""Families with an adapter of their own: its module and class."""

_NATIVE = "siglip2"


class HfAdapter(RepositoryAdapter):
    """``hf:ORG/REPO[@REVISION]`` and ``hf:./FOLDER``; see the module."""

    scheme = "hf"
    trains = True

    def accept(self, repo: Repository) -> Repository:
        """Return a repository of a family that can be run, by this adapter or by its own."""
        if repo.family not in {*_CLASSES, *_ELSEWHERE}:
            raise DataError(
                f'cannot run the model "{repo.request.uri}"',
                why=f"its model_type is '{repo.family}'",
                fix="run here: " + ", ".join(sorted({*_CLASSES, *_ELSEWHERE})),
                uri=repo.request.uri,
            )
        return repo

    def describe(self, files: Repository, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a repository; its weights are hashed, not loaded."""
        repo = files
        if repo.family in _ELSEWHERE:
            module, name = _ELSEWHERE[repo.family]
            adapter: RepositoryAdapter = getattr(import_module(module), name)()
            return adapter.describe(adapter.accept(repo), digests)
        dim, context = _dim(repo), context_length(repo)
        images = _images(repo)
        precision = self.precision_of(repo)
        suffix = "" if precision == self.precision else f"-{precision}"
        text = f"{tokeniser_tag(repo, digests)}-truncate{context}-1"
        return self.description(
            repo,
            digests,
            dim=dim,
            preprocessing=(("image", images.tag + suffix), ("text", text + suffix)),
            flops_per_item=_flops(repo, images, context),
        )

    def requirements(self, uri: str) -> tuple[Requirement, ...]:
        """Return the repository; () for a folder."""
        rest = self.request(uri).rest
        if rest.startswith(("/", ".", "~")):
            return ()
        repo, revision = split_repo(rest)
        return (WeightsRepo(repo, revision, FILES, WEIGHTS),)

    def open(self, spec: SpaceSpec, files: Repository, device: str) -> TowerEncoder:
        """Load a model by the class that transformers has for it."""
        from reactions.encoders.tower import (
            Tower,
            TowerEncoder,
            WholeTexts,
            element_type,
            image_tower,
            parts_of,
            text_tower,
        )

        repo = files
        family = repo.family
        module = import_package(
            f"transformers.models.{family}.modeling_{family}", spec.source, EXTRA
        )
        precision = self.precision_of(repo)
        dtype = element_type(precision)
        model = _loaded(getattr(module, _CLASSES[family]), repo)
        model = model.to(device=device, dtype=dtype).eval()
        images = _images(repo)
        image_parts = parts_of(model, "vision", "visual")
        if isinstance(images, ImageTransform):

            def encode_images(pixels: Tensor) -> Tensor:
                return _pooled(model.get_image_features(pixel_values=pixels))

            image = image_tower(
                images, encode_images, device=device, precision=precision, parts=image_parts
            )
        else:

            def project_patches(inputs: Sequence[Any]) -> Tensor:
                return _pooled(model.get_image_features(**_native(images, inputs, device, dtype)))

            image = Tower(images.cut, project_patches, parts=image_parts, limits=())
        words = tokeniser(repo)
        context = context_length(repo)
        # SigLIP was trained on captions padded to full length, and attends to the padding; CLIP's
        # causal attention ends before it, so there the longest of a batch is enough.
        full: dict[str, Any] = {} if family == "clip" else {"padding": "max_length"}

        def tokenise(text: str) -> Any:
            ids = words(text, truncation=True, max_length=context, **full)["input_ids"]
            # A text that fills the context may just fit. Others need not be tokenised twice.
            is_full = len(ids) == context and not (full and ids[-2] == words.pad_token_id)
            if is_full and len(words(text, verbose=False)["input_ids"]) > context:
                note_cut(context)
            return ids

        def encode_texts(ids: Tensor) -> Tensor:
            return _pooled(model.get_text_features(input_ids=ids))

        text = text_tower(
            locked(tokenise),
            encode_texts,
            device=device,
            pad_id=words.pad_token_id or 0,
            batch_items=256,
            most=context,
            parts=parts_of(model, "text"),
            whole=None if precision != self.precision else WholeTexts(context, *_words(repo)),
        )
        return TowerEncoder(spec, {"image": image, "text": text})


def _words(repo: Repository) -> tuple[str, tuple[Path, ...]]:
    """Return how the repository's tokeniser is loaded, and its files."""
    return "transformers.AutoTokenizer", tuple(tokeniser_files(repo.folder))


def _dim(repo: Repository) -> int:
    if repo.family == "clip":
        return repo.number("", "projection_dim", 512)
    image = repo.number("vision_config", "hidden_size", 768)
    hidden = repo.number("text_config", "hidden_size", 768)
    text = repo.number("text_config", "projection_size", hidden)
    if image != text:
        raise DimensionMismatch(
            f"the towers of '{repo.name}' differ in width",
            why=f"image has {image} dimensions, text has {text}",
            space=repo.name,
        )
    return image


def context_length(repo: Repository) -> int:
    """Return how many tokens of a text the model takes."""
    default = 77 if repo.family == "clip" else 64
    return repo.number("text_config", "max_position_embeddings", default)


def _images(repo: Repository) -> ImageTransform | Patches:
    if repo.family == _NATIVE:
        return patches_of(repo, repo.number("vision_config", "patch_size", 16))
    side = repo.number("vision_config", "image_size", 224)
    return transform_of(repo, repo.family, side)


def _flops(
    repo: Repository, images: ImageTransform | Patches, context: int
) -> tuple[tuple[Modality, float], ...]:
    is_clip = repo.family == "clip"
    if isinstance(images, Patches):
        patches = images.most
    else:
        patch = repo.number("vision_config", "patch_size", 32 if is_clip else 16)
        patches = (images.size[0] // patch) ** 2 + is_clip  # and CLIP's class token
    text_width = 512 if is_clip else 768
    return (
        ("image", repo.tower_flops("vision_config", tokens=patches, width=768)),
        ("text", repo.tower_flops("text_config", tokens=context, width=text_width)),
    )


def _native(images: Patches, inputs: Sequence[Any], device: str, dtype: Any) -> dict[str, Tensor]:
    """Pad patches to the longest picture's, and say which are real."""
    import torch

    most = max(len(patches) for patches, _ in inputs)
    patches = np.zeros((len(inputs), most, inputs[0][0].shape[1]), np.uint8)
    mask = np.zeros((len(inputs), most), np.int64)
    for i, (cut, _) in enumerate(inputs):
        patches[i, : len(cut)] = cut
        mask[i, : len(cut)] = 1
    real = torch.from_numpy(mask).to(device)
    values = images.normalise(torch.from_numpy(patches).to(device))
    return {
        "pixel_values": values.to(dtype),
        "pixel_attention_mask": real,
        "spatial_shapes": torch.from_numpy(np.stack([shape for _, shape in inputs])),
    }


def _pooled(features: Any) -> Tensor:
    """Return the embeddings: version 5 of transformers wraps them, version 4 does not."""
    pooled: Tensor = getattr(features, "pooler_output", features)
    return pooled


def _loaded(kind: Any, repo: Repository) -> Any:
    # So that transformers reads the very form that was hashed and checked.
    safe = repo.weights[0].suffix == ".safetensors"
    for path in repo.weights:
        refuse_code(path)
    with package_errors(repo.name, repo.folder), quiet():
        model, info = kind.from_pretrained(
            str(repo.folder),
            local_files_only=True,
            use_safetensors=safe,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, with the keys' names
        )
    refuse_unfit(repo, info)
    return model
