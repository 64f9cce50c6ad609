"""Towers to be tuned, what tuning changed of them, and giving it back to an encoder."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from reactions.core.errors import BundleError, DataError
from reactions.core.types import Encoder, Modality, TrainableEncoder
from reactions.encoders.packages import need_package

if TYPE_CHECKING:
    from torch import Tensor, nn

_ADAPTER = "default"
"""What peft calls an adapter that was given no name."""


def tower_to_tune(
    encoder: Encoder, modality: Modality, *, rank: int | None, seed: int
) -> nn.Module:
    """Return a modality's tower, ready to be tuned: in eval mode, what is tuned with gradients.

    Dropout and batch statistics stay off: an item's embedding then depends on nothing but the
    item and the weights, so that batches can be taken apart, and a run repeated.

    Args:
        encoder: whose; its own weights change.
        modality: which.
        rank: of LoRA, which leaves all weights and adds factors; None tunes the weights.
        seed: of LoRA's factors.

    Raises:
        DataError: it cannot be tuned.
        MissingError: LoRA without peft.
    """
    tower = _tower(encoder, modality)
    if rank is not None:
        _add_factors(tower, rank, seed, _described(encoder, modality))
    return tower


def _tower(encoder: Encoder, modality: Modality) -> nn.Module:
    """Return a modality's tower in eval mode, its weights as they are.

    Raises:
        DataError: it cannot be tuned.
    """
    spec = encoder.spec
    if not isinstance(encoder, TrainableEncoder):
        raise DataError(
            f"{_described(encoder, modality)} cannot be tuned",
            why=f"the adapter '{spec.adapter}' has no tower to train",
            fix="tune the projectors alone: heads=only",
        )
    tower = encoder.tower(modality).eval()
    kinds = {parameter.dtype for parameter in tower.parameters()}
    if kinds != {torch.float32}:
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise DataError(
            f"{_described(encoder, modality)} cannot be tuned",
            why=f"its weights are {names}: updates would be lost in rounding",
            fix="open it in float32 (precision=fp32 in its URI)   or   heads=only",
        )
    return tower


def _described(encoder: Encoder, modality: Modality) -> str:
    return f"the {modality} encoder of '{encoder.spec.name}'"


def changed_weights(tower: nn.Module, *, rank: int | None) -> dict[str, Tensor]:
    """Return what tuning changed, by name, on the CPU.

    Args:
        tower: from ``tower_to_tune``, after the last backward pass.
        rank: as there.
    """
    return {
        name.replace(f".{_ADAPTER}.", "."): parameter.detach().cpu().clone()
        for name, parameter in tower.named_parameters()
        # A weight without a gradient does not lie between items and embeddings.
        if parameter.requires_grad and parameter.grad is not None
    }


def give_weights(
    encoder: Encoder, modality: Modality, weights: Mapping[str, Tensor], *, rank: int | None
) -> None:
    """Give an encoder the weights that a tuning left.

    Args:
        encoder: with the weights that the tuning began with.
        modality: whose tower.
        weights: from ``changed_weights``; may come from anyone.
        rank: as there.

    Raises:
        BundleError: the tower has no such weights.
        DataError, MissingError: as for ``tower_to_tune``.
    """
    tower = _tower(encoder, modality)
    # Before any factor is allocated: the rank comes from the file, which may come from anyone.
    _check_fit(tower, weights, rank, _described(encoder, modality))
    if rank is not None:
        _add_factors(tower, rank, 0, _described(encoder, modality))
    parameters = {name.replace(f".{_ADAPTER}.", "."): p for name, p in tower.named_parameters()}
    with torch.no_grad():
        for name, tensor in weights.items():
            parameters[name].copy_(tensor)


def _check_fit(
    tower: nn.Module, weights: Mapping[str, Tensor], rank: int | None, what: str
) -> None:
    """Raise BundleError unless a tower has such weights, or would have such factors of LoRA."""
    if rank is None:
        shapes = {name: tuple(parameter.shape) for name, parameter in tower.named_parameters()}
    else:
        shapes = _factor_shapes(tower, rank)
    fix = "get the bundle again, or run the reaction again"
    for name, tensor in weights.items():
        if shapes.get(name) != tuple(tensor.shape):
            shape = list(shapes[name]) if name in shapes else "absent"
            raise BundleError(
                f"tuned weights do not fit {what}",
                why=f"{name!r:.80} is {list(tensor.shape)}; the encoder's is {shape}",
                fix=fix,
            )
    lacking = [name for name in shapes if rank is not None and name not in weights]
    if lacking:
        raise BundleError(
            f"tuned weights do not fit {what}",
            why=f"{lacking[0]!r:.80} is not among them",
            fix=fix,
        )


def _factor_shapes(tower: nn.Module, rank: int) -> dict[str, tuple[int, ...]]:
    """Return name and shape of the factors that ``_add_factors`` would add."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in _linear_layers(tower).items():
        shapes[f"{name}.lora_A.weight"] = (rank, layer.in_features)
        shapes[f"{name}.lora_B.weight"] = (layer.out_features, rank)
    return shapes


def _linear_layers(tower: nn.Module) -> dict[str, nn.Linear]:
    """Return the layers that LoRA adds factors to, by name."""
    return {
        name: module
        for name, module in tower.named_modules()
        # A layer at the top belongs to the model, which would not see it replaced; attention reads
        # the weights of its last layer without calling it.
        if type(module) is torch.nn.Linear and "." in name
    }


def _add_factors(tower: nn.Module, rank: int, seed: int, what: str) -> None:
    """Wrap a tower's linear layers in LoRA, whose product starts at zero."""
    need_package("peft", f"LoRA of {what}", "lora")
    from peft import LoraConfig, inject_adapter_in_model

    names = list(_linear_layers(tower))
    if not names:
        raise DataError(
            f"{what} has no linear layers for LoRA",
            why="it adds factors to linear layers alone",
            fix="leave lora=RANK out, or tune the projectors alone: heads=only",
        )
    config: Any = LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        bias="none",
        target_modules="|".join(map(re.escape, names)),
    )
    inject_adapter_in_model(config, tower)
    tower.eval()
    # peft draws from torch's global generator; the seed alone decides here.
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if ".lora_A." in name:
                bound = 1 / math.sqrt(parameter.shape[1])
                drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                parameter.copy_(drawn)
