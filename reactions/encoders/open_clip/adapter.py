"""Models of the open_clip package, by URI.

    open_clip:ViT-B-32/laion2b_s34b_b79k     an architecture and a published tag
    open_clip:ViT-B-32/runs/epoch_9.pt       ... and a checkpoint of one's own
    open_clip:hf-hub:ORG/REPO[@REVISION]     a repository with an open_clip_config.json
    open_clip:./FOLDER                       ... or a folder like it

Options: ``?precision=bf16`` or ``fp16``; ``?like=TAG`` gives a checkpoint of one's own the image
preprocessing of a published tag, where open_clip assumes that of CLIP.

Pictures are prepared by our own code, equal to open_clip's evaluation transform; captions by
open_clip's tokenisers, which cut what is too long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.base import Tower, TowerEncoder, element_type, locked, transformer_flops
from reactions.encoders.open_clip.model_names import (
    ADAPTER,
    CONFIG,
    EXTRA,
    OPTIONS,
    WEIGHTS,
    Model,
    parse,
)
from reactions.encoders.packages import import_package, need_package
from reactions.encoders.preprocessing.image_transform import CLIP_MEAN, CLIP_STD, ImageTransform
from reactions.encoders.uri import join_options, split_options
from reactions.weights.hub import (
    TOKENISER_FILES,
    commit_of,
    hub_snapshot,
    licence_of,
    split_repo,
    tokeniser_files,
)
from reactions.weights.locate import (
    Requirement,
    WeightLocator,
    WeightsRepo,
    find_file,
    missing,
)
from reactions.weights.locate import digest_cache as remembered_digests
from reactions.weights.safe_load import package_errors, refuse_code, verify_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CONTEXT = 77
"""Tokens a text tower reads where its configuration does not say."""


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
        name: what the space is called; "" calls it after the model.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: open_clip is not installed, it knows no such model, or the weights or the
            tokeniser are not on this machine.
        DataError: a configuration is damaged.
    """
    where = locator or WeightLocator.of_environment()
    digests = digest_cache or remembered_digests()
    model, options = parse(uri, name, where)
    called = name or model.name
    weights = _weights(model, called, where)
    source = model.uri
    if model.files and called in where.overrides:
        arch, _, tag = model.uri.partition(":")[2].partition("/")
        source, options = f"{ADAPTER}:{arch}/{weights.absolute()}", {**options, "like": tag}
    text = _text_tag(model, _tokeniser_folder(model, weights, called, where), digests)
    transform = _transform(model)
    suffix = f"-{options['precision']}" if options.get("precision", "fp32") != "fp32" else ""
    spec = SpaceSpec(
        name=called,
        dim=model.config["embed_dim"],
        modalities=("image", "text"),
        adapter=ADAPTER,
        source=join_options(source, options),
        revision=commit_of(weights.parent),
        licence=licence_of(weights.parent),
        weights_digest=_digest(model, weights, digests),
        preprocessing=(("image", transform.tag + suffix), ("text", text + suffix)),
        flops_per_item=_flops(
            model.config, transform.size, _text(model).get("context_length", CONTEXT)
        ),
    )
    digests.save()
    return spec


def requirements(uri: str) -> tuple[Requirement, ...]:
    """Return what has to be fetched before a URI can be resolved.

    Raises:
        MissingError: open_clip is not installed or knows no such model.
    """
    rest, _ = split_options(uri, OPTIONS)
    if rest.startswith("hf-hub:"):
        repo, revision = split_repo(rest.removeprefix("hf-hub:"))
        return (WeightsRepo(repo, revision, (CONFIG, *TOKENISER_FILES), WEIGHTS),)
    model, _ = parse(uri, "", WeightLocator.of_environment())
    wanted: list[Requirement] = []
    if model.files:
        names = tuple(file.filename for file in model.files)
        wanted.append(
            WeightsRepo(model.files[0].repo, files=(CONFIG, *TOKENISER_FILES), weights=names)
        )
    text = _text(model)
    for repo in dict.fromkeys(text.get(key, "") for key in ("hf_tokenizer_name", "hf_model_name")):
        if repo and repo not in {w.repo for w in wanted}:
            wanted.append(WeightsRepo(repo, files=("config.json", *TOKENISER_FILES)))
    return tuple(wanted)


def check(spec: SpaceSpec) -> None:
    """Find out, without loading anything heavy, whether ``load`` has what it needs.

    Raises:
        MissingError: open_clip or the weights are missing.
    """
    need_package("open_clip", spec.source, EXTRA)
    where = WeightLocator.of_environment()
    model, _ = parse(spec.source, spec.name, where)
    _tokeniser_folder(model, _weights(model, spec.name, where), spec.name, where)


def load(spec: SpaceSpec, *, device: str = "cpu") -> TowerEncoder:
    """Load a model that ``resolve`` described.

    Args:
        spec: its ``source`` is a URI of this module's.
        device: ``"cpu"``, ``"cuda:0"``, ...

    Raises:
        MissingError: open_clip or the weights are missing.
        DataError: the weights are not those that ``spec`` names, or do not fit the model.
    """
    open_clip = import_package("open_clip", spec.source, EXTRA)
    where = WeightLocator.of_environment()
    model, options = parse(spec.source, spec.name, where)
    weights = _weights(model, spec.name, where)
    digests = remembered_digests()
    verify_digest(spec, _digest(model, weights, digests), weights)
    digests.save()
    tokenise = _tokens(open_clip, model, _tokeniser_folder(model, weights, spec.name, where))
    network = _network(open_clip, model, spec.name, where)
    refuse_code(weights)
    with package_errors(spec.name, weights):
        open_clip.load_checkpoint(network, str(weights), strict=True)
    dtype = element_type(options.get("precision", "fp32"))
    network = network.to(device=device, dtype=dtype).eval()
    transform = _transform(model)

    def project_images(inputs: Sequence[Any]) -> Tensor:
        import torch

        pixels = torch.from_numpy(np.stack(inputs)).to(device)
        out: Tensor = network.encode_image(transform.normalise(pixels).to(dtype))
        return out

    def project_texts(inputs: Sequence[Any]) -> Tensor:
        import torch

        out: Tensor = network.encode_text(torch.from_numpy(np.stack(inputs)).to(device))
        return out

    sides: Mapping[Modality, Tower] = {
        "image": Tower(transform.fit, project_images),
        # As long as the model reads: its position embeddings are added whole.
        "text": Tower(tokenise, project_texts, batch_items=256),
    }
    return TowerEncoder(spec, sides)


def _weights(model: Model, space: str, locator: WeightLocator) -> Path:
    return model.path or find_file(space, model.files, locator, fetch=model.uri)


def _digest(model: Model, weights: Path, digests: DigestCache) -> Digest:
    # Two architectures may read one file: an activation has no weights.
    return digest("open_clip", [digests.of(weights), dict(model.config)])


# --- the model -----------------------------------------------------------------------


def _text(model: Model) -> Mapping[str, Any]:
    found: Mapping[str, Any] = model.config["text_cfg"]
    return found


def _transform(model: Model) -> ImageTransform:
    size = model.config["vision_cfg"].get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    given = model.preprocess
    resize: Any = given.get("resize_mode") or "shortest"
    resample = "bilinear" if given.get("interpolation") == "bilinear" else "bicubic"
    if resize == "shortest" and height != width:
        resize, resample = "cover", "bicubic"  # open_clip's own resize, which keeps its default
    red, green, blue = given.get("mean") or CLIP_MEAN
    std_red, std_green, std_blue = given.get("std") or CLIP_STD
    return ImageTransform(
        (height, width),
        resize,
        (height, width),
        resample=resample,
        fill=given.get("fill_color") or 0,
        mean=(red, green, blue),
        std=(std_red, std_green, std_blue),
    )


def _tokeniser_folder(
    model: Model, weights: Path, space: str, locator: WeightLocator
) -> Path | None:
    """Return the folder of a transformers tokeniser; None where open_clip's own serves."""
    repo = _text(model).get("hf_tokenizer_name", "")
    if not repo:
        return None
    snapshot = hub_snapshot(repo, "", locator.hub)
    candidates = [model.folder, weights.parent, snapshot]
    for folder in candidates:
        if folder is not None and tokeniser_files(folder):
            return folder
    looked_in = [folder for folder in (weights.parent, snapshot or locator.hub) if folder]
    error = missing(space, looked_in, locator, fetch=model.uri)
    error.what = f"no tokeniser for space '{space}'"
    error.fix = error.fix.partition("   or")[0]
    raise error


def _text_tag(model: Model, folder: Path | None, digests: DigestCache) -> str:
    context = _text(model).get("context_length", CONTEXT)
    settings = {key: _text(model).get(key) for key in ("tokenizer_kwargs", "tokenizer_mode")}
    if folder is None and not any(settings.values()):
        return f"clip-bpe-truncate{context}-1"
    files = [digests.of(path) for path in tokeniser_files(folder)] if folder else []
    return f"tokens-{digest('tokeniser', [files, settings])[:8]}-truncate{context}-1"


def _tokens(
    open_clip: Any, model: Model, folder: Path | None
) -> Callable[[str], NDArray[np.int64]]:
    text = _text(model)
    context = text.get("context_length", CONTEXT)
    # Dropping random words is for training: it would give one caption many embeddings.
    settings = {k: v for k, v in text.get("tokenizer_kwargs", {}).items() if k != "reduction_mask"}
    if folder is None:
        tokenise = open_clip.SimpleTokenizer(context_length=context, **settings)
    else:
        mode = {"tokenizer_mode": text["tokenizer_mode"]} if text.get("tokenizer_mode") else {}
        tokenise = open_clip.tokenizer.HFTokenizer(
            str(folder), context_length=context, **mode, **settings
        )
    return locked(lambda caption: tokenise(caption)[0])


def _network(open_clip: Any, model: Model, space: str, locator: WeightLocator) -> Any:
    """Build the model with random weights, asking no hub for those of its towers."""
    config = {key: value for key, value in model.config.items() if key != "custom_text"}
    text = config["text_cfg"] = {**config["text_cfg"], "hf_model_pretrained": False}
    vision = config["vision_cfg"] = {**config["vision_cfg"]}
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if "hf_model_name" in text:
        wanted = WeightsRepo(text["hf_model_name"], files=("config.json",))
        snapshot = hub_snapshot(wanted.repo, "", locator.hub)
        if snapshot is None:
            raise missing(space, [locator.hub / wanted.repo], locator, fetch=model.uri)
        text["hf_model_name"] = str(snapshot)
    else:
        del text["hf_model_pretrained"]
    if "multimodal_cfg" in config:
        kind = open_clip.CoCa
    elif model.config.get("custom_text") or "hf_model_name" in text:
        kind = open_clip.CustomTextCLIP
    else:
        kind = open_clip.CLIP
    return kind(**config)


def _flops(
    config: Mapping[str, Any], size: tuple[int, int], context: int
) -> tuple[tuple[Modality, float], ...]:
    """Estimate a forward pass where both towers are plain transformers; else say nothing."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    patch = vision.get("patch_size")
    plain = (
        patch,
        vision.get("layers"),
        vision.get("width"),
        text.get("layers"),
        text.get("width"),
    )
    if not all(isinstance(value, int) for value in plain):
        return ()
    tokens = (size[0] // patch) * (size[1] // patch) + 1
    image = transformer_flops(
        layers=vision["layers"],
        width=vision["width"],
        tokens=tokens,
        mlp_ratio=vision.get("mlp_ratio", 4.0),
    )
    words = transformer_flops(layers=text["layers"], width=text["width"], tokens=context)
    return (("image", image), ("text", words))
