"""Spaces of ``hf:`` as modules of sentence-transformers, which load without any code of ours."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reactions.core.errors import StepError, guarded
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.packages import import_package
from reactions.encoders.transformers.clip import HfAdapter, context_length
from reactions.encoders.transformers.repository import quiet
from reactions.weights.safe_load import refuse_code

if TYPE_CHECKING:
    from reactions.encoders.transformers.repository import Repository

EXTRA = "sentence-transformers"

_FAMILIES: Final = {"clip": ("text", "image"), "siglip": ("text", "image"), "siglip2": ("text",)}
"""The modalities of each family that its module embeds as we do. SigLIP 2 cuts pictures of native
shape into patches at its own precision, which its module does with settings of its own."""

_PIL: Final = {"backend": "pil"}
"""Pictures are resized by Pillow, as here: torchvision's pixels differ in the last bits."""


def check_packages() -> None:
    """Check that sentence-transformers is installed (MissingError)."""
    import_package("sentence_transformers", "--to sentence-transformers", EXTRA)


def why_not(spec: SpaceSpec, modality: Modality) -> str:
    """Return why sentence-transformers cannot embed as a space does; "" if it can."""
    families = ", ".join(_FAMILIES)
    if spec.adapter != HfAdapter.scheme:
        kind = "folder" if spec.adapter == "precomputed" else "model"
        return (
            f"{spec.name} is a {kind} of {spec.adapter}, which sentence-transformers does not load "
            f"(hf: models of {families} are)"
        )
    if modality in dict(spec.derived):
        return f"{spec.name} embeds {modality} by its image tower, with a drawing of our own"
    adapter = HfAdapter()
    repo = adapter.locate_again(spec)
    if modality not in _FAMILIES.get(repo.family, ()):
        return f"{modality} of {repo.family} ({spec.name}) is prepared by code of our own"
    if adapter.precision_of(repo) != adapter.precision:
        return f"{spec.name} computes in {adapter.precision_of(repo)}"
    return ""


def module_of(spec: SpaceSpec, modalities: Collection[Modality]) -> Any:
    """Return a space's model as a ``Transformer`` module, for some of its modalities alone.

    Args:
        spec: of the space; ``why_not`` has nothing against it.
        modalities: that it embeds; others are refused by sentence-transformers.

    Raises:
        MissingError: the repository is not on this machine.
        DataError: its weights could run code.
        StepError: sentence-transformers cannot load it.
    """
    modules = import_package("sentence_transformers.base.modules", spec.source, EXTRA)
    repo = HfAdapter().locate_again(spec)
    for path in repo.weights:
        refuse_code(path)
    with guarded(lambda error: _cannot_load(repo, error)), quiet():
        context = context_length(repo)
        words: dict[str, Any] = {"truncation": True, "max_length": context}
        if repo.family != "clip":  # SigLIP attends to the padding, which it was trained with
            words["padding"] = "max_length"
        safe = repo.weights[0].suffix == ".safetensors"
        module = modules.Transformer(
            str(repo.folder),
            model_kwargs={"local_files_only": True, "use_safetensors": safe},
            processor_kwargs={"local_files_only": True, **_PIL},
            config_kwargs={"local_files_only": True},
            processing_kwargs={"text": words},
            max_seq_length=context,
        )
        module.model.float().eval()
        module.modality_config = {name: module.modality_config[name] for name in modalities}
    return module


def pin_processor(folder: Path) -> None:
    """Let a saved module prepare pictures as here: the setting is read, but not saved by itself.

    Args:
        folder: that ``SentenceTransformer.save`` has written.
    """
    for path in folder.rglob("sentence_bert_config.json"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings["processor_kwargs"] = {**settings.get("processor_kwargs", {}), **_PIL}
        path.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _cannot_load(repo: Repository, error: Exception) -> StepError:
    return StepError(
        f"sentence-transformers cannot load '{repo.name}'",
        why=f"{type(error).__name__}: {' '.join(str(error).split())}"[:400],
        space=repo.name,
    )
