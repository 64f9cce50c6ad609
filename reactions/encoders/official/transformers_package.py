"""transformers with the repository of an ``hf:`` space, by its own models and processors."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from reactions.core.extras import install_extra
from reactions.core.types import Item, Modality, SpaceSpec
from reactions.encoders.clap.text import MAX_TOKENS as CLAP_TOKENS
from reactions.encoders.clap.transformers import HfClapAdapter
from reactions.encoders.official.base import EmbedOne, OfficialModel, OfficialPackage, seeded
from reactions.encoders.official.dice import fixed_crops
from reactions.encoders.official.pictures import opened
from reactions.encoders.tower import element_type
from reactions.encoders.transformers import internvl
from reactions.encoders.transformers.clip import HfAdapter
from reactions.encoders.transformers.internvl import InternVLAdapter
from reactions.encoders.transformers.repository import (
    EXTRA,
    Repository,
    RepositoryAdapter,
    quiet,
    tokeniser,
)
from reactions.modalities import registry
from reactions.modalities.audio import resample
from reactions.weights.safe_load import package_errors, refuse_code

_ADAPTERS: Mapping[str, type[RepositoryAdapter]] = {
    adapter.scheme: adapter for adapter in (HfAdapter, HfClapAdapter, InternVLAdapter)
}


class Transformers(OfficialPackage):
    """``transformers``, by ``AutoModel`` and the processors that a repository names."""

    name = "transformers"
    adapters = tuple(_ADAPTERS)
    modalities: ClassVar = ("audio", "image", "text")
    pins: ClassVar[Mapping[Modality, str]] = {
        "audio": "sounds are decoded and resampled by molspace, because it reads no files; crops "
        "of sounds over the model's length, which it draws at random: the middle, or the middles "
        "of three thirds; a short sound never counts as longer, which it lets one by chance",
        "image": "pictures are turned as their EXIF says and laid on white where they are "
        "transparent; its image processor resizes by Pillow, as the models were trained, where "
        "newer versions by default resize tensors",
    }

    def install(self) -> str:
        """Return what brings it: an extra of ours."""
        return install_extra(EXTRA)

    def open(self, spec: SpaceSpec, device: str) -> OfficialModel:
        """Have transformers read the repository that the space is configured with."""
        transformers = self.imported("transformers")
        adapter = _ADAPTERS[spec.adapter]()
        repo = adapter.locate_again(spec)
        adapter.require(spec, repo)
        for path in repo.weights:
            refuse_code(path)
        dtype = element_type(adapter.precision_of(repo))
        if spec.adapter == InternVLAdapter.scheme:
            model = internvl.remote_model(repo, dtype)
        else:
            with package_errors(spec.name, repo.folder), quiet():
                model = transformers.AutoModel.from_pretrained(
                    str(repo.folder),
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=repo.weights[0].suffix == ".safetensors",
                )
        model = model.to(device=device, dtype=dtype).eval()
        with package_errors(spec.name, repo.folder), quiet():
            if spec.adapter == InternVLAdapter.scheme:
                return _of_internvl(transformers, repo, model)
            if spec.adapter == HfClapAdapter.scheme:
                return _of_clap(transformers, repo, model)
            return _of_clip(transformers, repo, model)


def _of_clip(transformers: Any, repo: Repository, model: Any) -> OfficialModel:
    words = tokeniser(repo)
    context = int(model.config.text_config.max_position_embeddings)
    # As the documentation of each family has it: SigLIP was trained on captions padded whole.
    padding = True if repo.family == "clip" else "max_length"

    def text(item: Item) -> Tensor:
        ids = words(
            [item.value],
            padding=padding,
            truncation=True,
            max_length=context,
            return_tensors="pt",
        )["input_ids"]
        return _pooled(model.get_text_features(input_ids=ids.to(model.device)))

    def picture(processor: Any) -> EmbedOne:
        def embed(item: Item) -> Tensor:
            inputs = processor(images=opened(item.value), return_tensors="pt")
            return _pooled(model.get_image_features(**_moved(inputs, model)))

        return embed

    by_pillow, usual = _image_processors(transformers, repo)
    return OfficialModel({"image": picture(by_pillow), "text": text}, {"image": picture(usual)})


def _of_clap(transformers: Any, repo: Repository, model: Any) -> OfficialModel:
    words = tokeniser(repo)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(
        str(repo.folder), local_files_only=True
    )
    rate_hz = int(extractor.sampling_rate)
    frames = int(extractor.nb_max_samples) // int(extractor.hop_length) + 1

    def heard(item: Item) -> tuple[Any, bool]:
        samples = resample(registry.load(item).value, rate_hz).samples
        inputs = extractor(samples, sampling_rate=rate_hz, return_tensors="pt")
        return inputs, len(samples) // int(extractor.hop_length) + 1 > frames

    def usual(item: Item) -> Tensor:
        seeded()
        inputs, _ = heard(item)
        return _pooled(model.get_audio_features(**_moved(inputs, model)))

    def pinned(item: Item) -> Tensor:
        with fixed_crops(sys.modules[type(extractor).__module__]):
            inputs, is_longer = heard(item)
        longer = torch.tensor([[is_longer]], device=model.device)
        return _pooled(model.get_audio_features(**{**_moved(inputs, model), "is_longer": longer}))

    def text(item: Item) -> Tensor:
        ids = words(
            [item.value],
            padding=True,
            truncation=True,
            max_length=CLAP_TOKENS,
            return_tensors="pt",
        )
        return _pooled(model.get_text_features(**_moved(ids, model)))

    return OfficialModel({"audio": pinned, "text": text}, {"audio": usual})


def _of_internvl(transformers: Any, repo: Repository, model: Any) -> OfficialModel:
    words = tokeniser(repo)

    def text(item: Item) -> Tensor:
        # As the model card's tokeniser did: whether others add the ends depends on the version.
        ids = words(internvl.PREFIX + item.value, add_special_tokens=False)["input_ids"]
        tokens = [words.bos_token_id, *ids[: internvl.MAX_TOKENS - 2], words.eos_token_id]
        padded = tokens + [internvl.PAD_ID] * (internvl.MAX_TOKENS - len(tokens))
        out: Tensor = model.encode_text(torch.tensor([padded], device=model.device))[0]
        return out

    def picture(processor: Any) -> EmbedOne:
        def embed(item: Item) -> Tensor:
            inputs = _moved(processor(images=opened(item.value), return_tensors="pt"), model)
            out: Tensor = model.encode_image(inputs["pixel_values"], mode=internvl.MODE)[0]
            return out

        return embed

    by_pillow, usual = _image_processors(transformers, repo)
    return OfficialModel({"image": picture(by_pillow), "text": text}, {"image": picture(usual)})


def _image_processors(transformers: Any, repo: Repository) -> tuple[Any, Any]:
    """Return a repository's image processor that resizes by Pillow, and that of the default."""
    major = int(transformers.__version__.partition(".")[0])
    by_pillow: dict[str, Any] = {"backend": "pil"} if major >= 5 else {"use_fast": False}
    load = transformers.AutoImageProcessor.from_pretrained
    folder = str(repo.folder)
    return (
        load(folder, local_files_only=True, **by_pillow),
        load(folder, local_files_only=True),
    )


def _moved(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Bring inputs to a model's device, and numbers with a point to its precision."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }


def _pooled(features: Any) -> Tensor:
    """Return the one embedding: version 5 of transformers wraps them, version 4 does not."""
    rows: Tensor = getattr(features, "pooler_output", features)
    return rows[0]
