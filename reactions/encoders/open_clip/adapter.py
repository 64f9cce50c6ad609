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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.base import Adapter, SpaceRequest
from reactions.encoders.flops import transformer_flops
from reactions.encoders.open_clip.model_names import (
    ADAPTER,
    CONFIG,
    EXTRA,
    OPTIONS,
    WEIGHTS,
    OpenClipModel,
    parse,
)
from reactions.encoders.open_clip.network import build_network
from reactions.encoders.packages import import_package
from reactions.encoders.preprocessing.image_transform import CLIP_MEAN, CLIP_STD, ImageTransform
from reactions.encoders.preprocessing.tokens import locked, note_cut
from reactions.encoders.uri import join_options
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
from reactions.weights.safe_load import package_errors, refuse_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.encoders.tower import TowerEncoder, WholeTexts

_CLIPS_ADDS = 3
"""Tokens that open_clip's only tokenizer_mode puts around those of a text."""

CONTEXT = 77
"""Tokens a text tower reads where its configuration does not say."""


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine.

    Attributes:
        request: what was asked for.
        model: what it names.
        space: what the space is called.
        path: the checkpoint.
        tokeniser: the folder of a transformers tokeniser; None where open_clip's own serves.
    """

    request: SpaceRequest
    model: OpenClipModel
    space: str
    path: Path
    tokeniser: Path | None


class OpenClipAdapter(Adapter[ModelFiles]):
    """``open_clip:...``; see the module."""

    scheme = ADAPTER
    trains = True
    options = OPTIONS
    packages = ("open_clip",)
    extra = EXTRA

    def locate(self, request: SpaceRequest) -> ModelFiles:
        """Find the checkpoint and the tokeniser of the model that a URI names."""
        model, locator = parse(request), request.locator
        space = request.name or model.name
        path = model.path or find_file(space, model.files, locator, fetch=model.uri)
        tokeniser = _tokeniser_folder(model, path, space, locator)
        return ModelFiles(request, model, space, path, tokeniser)

    def describe(self, files: ModelFiles, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a model; its weights are hashed, not loaded."""
        model, options = files.model, files.request.options
        source = model.uri
        if model.files and files.space in files.request.locator.overrides:
            arch, _, tag = model.uri.partition(":")[2].partition("/")
            source, options = f"{ADAPTER}:{arch}/{files.path.absolute()}", {**options, "like": tag}
        transform = _transform(model)
        precision = options.get("precision", self.precision)
        suffix = "" if precision == self.precision else f"-{precision}"
        text = _text_tag(model, files.tokeniser, digests)
        return SpaceSpec(
            name=files.space,
            dim=model.config["embed_dim"],
            modalities=("image", "text"),
            adapter=self.scheme,
            source=join_options(source, options),
            revision=commit_of(files.path.parent),
            licence=licence_of(files.path.parent),
            weights_digest=self.digest(files, digests),
            preprocessing=(("image", transform.tag + suffix), ("text", text + suffix)),
            flops_per_item=_flops(
                model.config, transform.size, _text(model).get("context_length", CONTEXT)
            ),
        )

    def digest(self, files: ModelFiles, digests: DigestCache) -> Digest:
        """Return the digest of checkpoint and configuration."""
        # Two architectures may read one file: an activation has no weights.
        return digest("open_clip", [digests.of(files.path), dict(files.model.config)])

    def requirements(self, uri: str) -> tuple[Requirement, ...]:
        """Return the repositories that hold the weights, the tokeniser and the text tower."""
        request = self.request(uri)
        if request.rest.startswith("hf-hub:"):
            repo, revision = split_repo(request.rest.removeprefix("hf-hub:"))
            return (WeightsRepo(repo, revision, (CONFIG, *TOKENISER_FILES), WEIGHTS),)
        model = parse(request)
        needed: list[WeightsRepo] = []
        if model.files:
            names = tuple(file.filename for file in model.files)
            needed.append(
                WeightsRepo(model.files[0].repo, files=(CONFIG, *TOKENISER_FILES), weights=names)
            )
        text = _text(model)
        for key in ("hf_tokenizer_name", "hf_model_name"):
            repo = text.get(key, "")
            if repo and repo not in {other.repo for other in needed}:
                needed.append(WeightsRepo(repo, files=("config.json", *TOKENISER_FILES)))
        return tuple(needed)

    def open(self, spec: SpaceSpec, files: ModelFiles, device: str) -> TowerEncoder:
        """Load a model by open_clip's own classes."""
        from reactions.encoders.tower import (
            TowerEncoder,
            element_type,
            image_tower,
            parts_of,
            text_tower,
        )

        open_clip = import_package("open_clip", spec.source, EXTRA)
        model = files.model
        tokenise = _tokens(open_clip, model, files.tokeniser)
        network = build_network(open_clip, model, spec.name, files.request.locator)
        refuse_code(files.path)
        with package_errors(spec.name, files.path):
            open_clip.load_checkpoint(network, str(files.path), strict=True)
        precision = files.request.options.get("precision", self.precision)
        network = network.to(device=device, dtype=element_type(precision)).eval()
        image = image_tower(
            _transform(model),
            network.encode_image,
            device=device,
            precision=precision,
            parts=parts_of(network, "visual"),
        )
        # In OpenAI's layout the parts of the text tower lie beside the image tower.
        beside = parts_of(network, but=("visual", "logit"))
        whole = {"text": network.text} if hasattr(network, "text") else None
        text = text_tower(
            tokenise,
            network.encode_text,
            device=device,
            batch_items=256,
            most=_text(model).get("context_length", CONTEXT),
            parts=beside if whole is None else lambda: whole,
            whole=None if precision != self.precision else _words(model, files.tokeniser),
        )
        return TowerEncoder(spec, {"image": image, "text": text})


# --- the model -----------------------------------------------------------------------


def _text(model: OpenClipModel) -> Mapping[str, Any]:
    text_config: Mapping[str, Any] = model.config["text_cfg"]
    return text_config


def _transform(model: OpenClipModel) -> ImageTransform:
    size = model.config["vision_cfg"].get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    settings = model.preprocess
    resize: Any = settings.get("resize_mode") or "shortest"
    resample = "bilinear" if settings.get("interpolation") == "bilinear" else "bicubic"
    if resize == "shortest" and height != width:
        resize, resample = "cover", "bicubic"  # open_clip's own resize, which keeps its default
    red, green, blue = settings.get("mean") or CLIP_MEAN
    std_red, std_green, std_blue = settings.get("std") or CLIP_STD
    return ImageTransform(
        (height, width),
        resize,
        (height, width),
        resample=resample,
        fill=settings.get("fill_color") or 0,
        mean=(red, green, blue),
        std=(std_red, std_green, std_blue),
    )


def _tokeniser_folder(
    model: OpenClipModel, weights: Path, space: str, locator: WeightLocator
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


def _text_tag(model: OpenClipModel, folder: Path | None, digests: DigestCache) -> str:
    context = _text(model).get("context_length", CONTEXT)
    settings = {key: _text(model).get(key) for key in ("tokenizer_kwargs", "tokenizer_mode")}
    if folder is None and not any(settings.values()):
        return f"clip-bpe-truncate{context}-1"
    files = [digests.of(path) for path in tokeniser_files(folder)] if folder else []
    return f"tokens-{digest('tokeniser', [files, settings])[:8]}-truncate{context}-1"


def _tokens(
    open_clip: Any, model: OpenClipModel, folder: Path | None
) -> Callable[[str], NDArray[np.int64]]:
    text = _text(model)
    context = text.get("context_length", CONTEXT)
    # Dropping random words is for training: it would give one caption many embeddings.
    settings = {k: v for k, v in text.get("tokenizer_kwargs", {}).items() if k != "reduction_mask"}
    if folder is None:
        tokenise = open_clip.SimpleTokenizer(context_length=context, **settings)
        pad_id = 0

        def n_whole(caption: str) -> int:
            return len(tokenise.encode(caption)) + 2
    else:
        mode = {"tokenizer_mode": text["tokenizer_mode"]} if text.get("tokenizer_mode") else {}
        tokenise = open_clip.tokenizer.HFTokenizer(
            str(folder), context_length=context, **mode, **settings
        )
        pad_id = tokenise.tokenizer.pad_token_id or 0

        def n_whole(caption: str) -> int:
            adds = {"add_special_tokens": False} if mode else {}
            clean = tokenise.clean_fn(caption)
            n = len(tokenise.tokenizer(clean, verbose=False, **adds)["input_ids"])
            return n + _CLIPS_ADDS if mode else n

    def ids_of(caption: str) -> Any:
        ids = tokenise(caption)[0]
        # A text that fills the context may just fit. Others need not be tokenised twice; the last
        # id does not tell them apart, for some tokenisers pad with the token of the end.
        if int(ids[-2]) != pad_id and n_whole(caption) > context:
            note_cut(context)
        return ids

    return locked(ids_of)


def _words(model: OpenClipModel, folder: Path | None) -> WholeTexts:
    """Return how captions become ids elsewhere."""
    from reactions.encoders.tower import WholeTexts

    context = _text(model).get("context_length", CONTEXT)
    if folder is None:
        return WholeTexts(context, "open_clip.SimpleTokenizer")
    by = "open_clip.tokenizer.HFTokenizer"
    return WholeTexts(context, by, tuple(tokeniser_files(folder)))


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
