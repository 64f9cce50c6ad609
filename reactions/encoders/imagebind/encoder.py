"""ImageBind at work: items to network inputs, and those to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reactions.core.types import Modality, Prepared, Waveform
from reactions.encoders.imagebind import images, imu, sound, video
from reactions.encoders.imagebind.checkpoint import LazyTowers
from reactions.encoders.imagebind.sizes import TOWERS, VIEWS
from reactions.encoders.imagebind.variants import USUAL, Variants
from reactions.encoders.preprocessing import clip_bpe
from reactions.encoders.preprocessing.tokens import pad_tokens
from reactions.encoders.tower import Tower, parts_of
from reactions.modalities.audio import of_channel
from reactions.modalities.base import Modality as ModalityRecord
from reactions.modalities.thermal import scaled_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST_CHANNEL = of_channel(0)
_ROWS: Mapping[Modality, int] = {"audio": 32, "text": 256, "video": 4}
_LIMITS: Mapping[Modality, tuple[str, ...]] = {
    "audio": sound.LIMITS,
    "depth": images.LIMITS,
    "image": images.LIMITS,
    "text": clip_bpe.LIMITS,
    "thermal": images.LIMITS,
}
_OTHER_ROWS = 64
"""Items that are embedded at once, so that activations stay near a gigabyte."""


def imagebind_towers(
    modalities: Iterable[Modality], towers: LazyTowers, variants: Variants = USUAL
) -> dict[Modality, Tower]:
    """Return the towers of an ImageBind space.

    Items are paths, or values in memory: strings, waveforms, (h, w, 3) uint8 pixels, (h, w)
    float32 for thermal and depth pictures (what they hold, ``variants`` says), ``Frames`` for
    videos, (6, 2000) float32 for imu. The first channel of sound files is used, as published.
    Prepared, they are

    - audio: (3, 1, 128, 204) float32, clips of two seconds;
    - image: (3, 224, 224) float32;
    - text: (n,) int64, n <= 77;
    - depth and thermal: (1, 224, 224) float32;
    - video: (10, 3, h, w) float32, two frames of each of five clips;
    - imu: (6, 2000) float32.

    An embedding of sound is the mean over its clips, one of a video over its views, each
    normalised and scaled as the checkpoint says.

    Args:
        modalities: to be embedded.
        towers: the networks.
        variants: how thermal and depth pictures are prepared.
    """
    prepare: Mapping[Modality, Callable[[Any], Prepared]] = {
        "audio": _clips,
        "depth": partial(images.disparity, variants=variants),
        "image": images.colour,
        "imu": imu.readings,
        "text": clip_bpe.tokenize,
        "thermal": partial(images.grey, variants=variants),
        "video": video.scaled_frames,
    }
    # Of modalities whose items are decoded in a way of this family.
    records: Mapping[Modality, ModalityRecord] = {
        "audio": _FIRST_CHANNEL,
        "depth": images.depth_record(variants),
        "imu": imu.IMU,
        "thermal": scaled_by(variants.radiometric),
        "video": video.RECORD,
    }
    return {m: _tower(m, towers, prepare[m], records.get(m)) for m in modalities}


def _tower(
    modality: Modality,
    towers: LazyTowers,
    prepare: Callable[[Any], Prepared],
    record: ModalityRecord | None,
) -> Tower:
    return Tower(
        prepare,
        partial(_project, towers, modality),
        batch_items=_ROWS.get(modality, _OTHER_ROWS),
        record=record,
        # Called late: asking for the network brings its weights to the device.
        parts=lambda: parts_of(towers.model(TOWERS[modality]))(),
        limits=_LIMITS.get(modality, ()),
    )


def _project(towers: LazyTowers, modality: Modality, inputs: Sequence[Any]) -> Tensor:
    if modality == "video":
        return torch.cat([_of_views(towers, frames) for frames in inputs])
    # What follows a text's end token is not looked at.
    stacked = pad_tokens(inputs, 0) if modality == "text" else np.stack(inputs)
    features = torch.from_numpy(stacked)
    if modality != "audio":
        return towers(modality, features)
    # (n, clips, 1, mels, frames) -> (n * clips, dim) -> (n, dim)
    rows = towers(modality, features.flatten(0, 1))
    return rows.view(len(inputs), -1, rows.shape[1]).mean(dim=1)


def _of_views(towers: LazyTowers, frames: NDArray[np.float32]) -> Tensor:
    """Return the (1, dim) mean of the embeddings of a video's views."""
    views = video.views(torch.from_numpy(frames))
    assert len(views) == VIEWS
    return towers(TOWERS["video"], views).mean(dim=0, keepdim=True)


def _clips(waveform: Waveform) -> NDArray[np.float32]:
    return sound.clips(waveform.samples, waveform.rate_hz)
