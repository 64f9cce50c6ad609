"""open_clip with the weights of an ``open_clip:`` space, by its own factory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from reactions.core.extras import install_extra
from reactions.core.types import Item, Modality, SpaceSpec
from reactions.encoders.official.base import OfficialModel, OfficialPackage
from reactions.encoders.official.pictures import opened
from reactions.encoders.open_clip.adapter import ModelFiles, OpenClipAdapter
from reactions.encoders.open_clip.model_names import EXTRA
from reactions.encoders.tower import element_type
from reactions.weights.safe_load import package_errors, refuse_code


class OpenClip(OfficialPackage):
    """``open_clip``, by ``create_model_and_transforms`` and ``get_tokenizer``."""

    name = "open_clip"
    adapters = ("open_clip",)
    modalities: ClassVar = ("image", "text")
    pins: ClassVar[Mapping[Modality, str]] = {
        "image": "pictures are turned as their EXIF says, laid on white where they are "
        "transparent, and in RGB before they are resized; a published tag has the transform and "
        "the activation that open_clip's own table gives it"
    }

    def install(self) -> str:
        """Return what brings it: an extra of ours."""
        return install_extra(EXTRA)

    def open(self, spec: SpaceSpec, device: str) -> OfficialModel:
        """Have open_clip read the checkpoint that the space is configured with."""
        open_clip = self.imported("open_clip")
        adapter = OpenClipAdapter()
        files = adapter.locate_again(spec)
        precision = files.request.options.get("precision", adapter.precision)
        refuse_code(files.path)
        with package_errors(spec.name, files.path):
            name, settings = _call(files)
            network, _, transform = open_clip.create_model_and_transforms(name, **settings)
            network = network.to(device=device, dtype=element_type(precision)).eval()
            tokenise = _tokeniser(open_clip, name, files)

        def picture(item: Item) -> Tensor:
            pixels = transform(opened(item.value))[None].to(device, element_type(precision))
            encoded: Tensor = network.encode_image(pixels)[0]
            return encoded

        def words(item: Item) -> Tensor:
            encoded: Tensor = network.encode_text(tokenise([item.value]).to(device))[0]
            return encoded

        return OfficialModel({"image": picture, "text": words})


def _call(files: ModelFiles) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments by which a person would open a checkpoint."""
    model = files.model
    if model.folder is not None:
        return f"local-dir:{model.folder}", {}
    name = model.uri.partition(":")[2].partition("/")[0]
    like = model.preprocess
    settings: dict[str, Any] = {
        "pretrained": str(files.path),
        # It looks for a text tower's own weights, which the checkpoint replaces, on a hub.
        "pretrained_text": False,
        "force_quick_gelu": bool(like.get("quick_gelu")),
        "image_mean": like.get("mean"),
        "image_std": like.get("std"),
        "image_interpolation": like.get("interpolation"),
        "image_resize_mode": like.get("resize_mode"),
    }
    return name, settings


def _tokeniser(open_clip: Any, name: str, files: ModelFiles) -> Any:
    if files.tokeniser is None or files.model.folder is not None:
        return open_clip.get_tokenizer(name)
    text = files.model.config["text_cfg"]
    settings = dict(text.get("tokenizer_kwargs", {}))
    if text.get("tokenizer_mode"):
        settings["tokenizer_mode"] = text["tokenizer_mode"]
    context = text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
    # Where it would ask a hub for files that lie here.
    return open_clip.tokenizer.HFTokenizer(str(files.tokeniser), context_length=context, **settings)
