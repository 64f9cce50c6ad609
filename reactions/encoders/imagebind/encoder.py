"""ImageBind at work: items to network inputs, and those to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reactions.core.types import Modality, Prepared, SpaceSpec, Waveform
from reactions.encoders.imagebind import images, sound
from reactions.encoders.imagebind.checkpoint import LazyTowers
from reactions.encoders.preprocessing import clip_bpe
from reactions.encoders.preprocessing.tokens import pad_tokens
from reactions.encoders.tower import Tower, TowerEncoder, parts_of
from reactions.modalities.audio import of_channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST_CHANNEL = of_channel(0)
_ROWS: Mapping[Modality, int] = {"audio": 32, "text": 256}
_OTHER_ROWS = 64
"""Items that are embedded at once, so that activations stay near a gigabyte."""


def encoder(spec: SpaceSpec, towers: LazyTowers) -> TowerEncoder:
    """Return an ImageBind space ready to embed.

    Items are paths, or values in memory: strings, waveforms, (h, w, 3) uint8 pixels (also of
    thermal images), (h, w) float32 standardised disparities for depth. The first channel of
    sound files is used, as published. Prepared, they are

    - audio: (3, 1, 128, 204) float32, clips of two seconds;
    - image: (3, 224, 224) float32;
    - text: (n,) int64, n <= 77;
    - depth and thermal: (1, 224, 224) float32.

    An embedding of sound is the mean over its clips, each normalised and scaled as the
    checkpoint says.

    Args:
        spec: what is known of it.
        towers: its networks.
    """
    return TowerEncoder(spec, {modality: _tower(modality, towers) for modality in spec.modalities})


def _tower(modality: Modality, towers: LazyTowers) -> Tower:
    return Tower(
        _PREPARE[modality],
        partial(_project, towers, modality),
        batch_items=_ROWS.get(modality, _OTHER_ROWS),
        record=_FIRST_CHANNEL if modality == "audio" else None,
        # Called late: asking for the network brings its weights to the device.
        parts=lambda: parts_of(towers.model(modality))(),
    )


def _project(towers: LazyTowers, modality: Modality, inputs: Sequence[Any]) -> Tensor:
    # What follows a text's end token is not looked at.
    stacked = pad_tokens(inputs, 0) if modality == "text" else np.stack(inputs)
    features = torch.from_numpy(stacked)
    if modality != "audio":
        return towers(modality, features)
    # (n, clips, 1, mels, frames) -> (n * clips, dim) -> (n, dim)
    rows = towers(modality, features.flatten(0, 1))
    return rows.view(len(inputs), -1, rows.shape[1]).mean(dim=1)


def _clips(waveform: Waveform) -> NDArray[np.float32]:
    return sound.clips(waveform.samples, waveform.rate_hz)


_PREPARE: Mapping[Modality, Callable[[Any], Prepared]] = {
    "audio": _clips,
    "depth": images.disparity,
    "image": images.colour,
    "text": clip_bpe.tokenize,
    "thermal": images.grey,
}
