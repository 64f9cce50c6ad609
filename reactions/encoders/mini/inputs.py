"""What the mini lab's networks take, by modality: one item at a time, then a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reactions.core.left_out import MOSTLY_CROPPED
from reactions.core.types import Modality, Prepared
from reactions.encoders.base import Unusable
from reactions.encoders.mini import features, sensors
from reactions.modalities.events.values import Events


@dataclass(frozen=True, slots=True)
class Input:
    """How the items of a modality become what a network takes.

    Attributes:
        tag: changes whenever preprocessing can change an embedding.
        prepare: a decoded value to what one item is on the CPU.
        batch: n prepared items to what the network takes, on a device.
        full: the same, of a shape that does not depend on the items; None where that is ``batch``.
        limits: what ``prepare`` notes of items (``core.left_out``).
    """

    tag: str
    prepare: Callable[[Any], Prepared]
    batch: Callable[[Sequence[Any], str], Tensor]
    full: Callable[[Sequence[Any], str], Tensor] | None = None
    limits: tuple[str, ...] = ()


def _stacked(inputs: Sequence[Any], device: str) -> Tensor:
    return torch.from_numpy(np.stack(inputs)).to(device)


def _events(value: Any) -> Prepared:
    if not isinstance(value, Events):
        raise Unusable(
            "event",
            "this tower counts events, and a picture of them tells neither how many nor when",
            fix="give the recording itself, or use a space that looks at pictures (ImageBind)",
        )
    return sensors.event_planes(value.x, value.y, value.t_us, value.p, value.size)


INPUTS: Mapping[Modality, Input] = {
    "audio": Input(
        "8khz-centre-half-second-repeat-logmel32-1",
        features.half_second,
        # Spectrograms are made here, for a batch at once.
        lambda inputs, device: features.audio_features(_stacked(inputs, device)),
        limits=features.SOUND_LIMITS,
    ),
    "depth": Input(
        "square-centre-nearest-inverse32-1",
        sensors.depth_square,
        lambda inputs, device: sensors.depth_features(_stacked(inputs, device)),
        limits=(MOSTLY_CROPPED,),
    ),
    "event": Input(
        "square-centre-counts32-by-third-and-polarity-1",
        _events,
        lambda inputs, device: sensors.event_features(_stacked(inputs, device)),
    ),
    "image": Input(
        "square-centre-crop-bicubic-rgb32-1",
        features.square,
        lambda inputs, device: features.image_features(_stacked(inputs, device)),
        limits=(MOSTLY_CROPPED,),
    ),
    "point": Input(
        "xyz128-evenly-unit-sphere-1",
        sensors.cloud,
        lambda inputs, device: sensors.point_features(_stacked(inputs, device)),
    ),
    "text": Input(
        "hashed-words-trigrams-1",
        features.buckets,
        lambda inputs, device: features.padded(inputs).to(device),
        lambda inputs, device: features.padded(inputs, features.MAX_GRAMS).to(device),
        limits=features.TEXT_LIMITS,
    ),
    "thermal": Input(
        "square-centre-crop-bicubic-heat32-1",
        sensors.heat_square,
        lambda inputs, device: sensors.thermal_features(_stacked(inputs, device)),
        limits=(MOSTLY_CROPPED,),
    ),
}

PREPROCESSING: Mapping[Modality, str] = {modality: kind.tag for modality, kind in INPUTS.items()}
"""Tags as ``SpaceSpec.preprocessing`` has them."""


def as_features(modality: Modality, values: Sequence[Any]) -> Tensor:
    """Return what a network takes of decoded values, on the CPU."""
    takes = INPUTS[modality]
    return takes.batch([takes.prepare(value) for value in values], "cpu")
