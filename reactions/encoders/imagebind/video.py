"""Videos as ImageBind sees them: five clips of two seconds, two frames of each, three crops.

An embedding is the mean over these fifteen views, each at unit norm.

Source: the published ``load_and_transform_video_data``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reactions.encoders.base import Unusable
from reactions.encoders.imagebind.sizes import SIDE, VIEW_FRAMES, VIEWS
from reactions.encoders.preprocessing.image_transform import CLIP_MEAN, CLIP_STD
from reactions.modalities.image import MAX_PIXELS
from reactions.modalities.video import VIDEO, sampled
from reactions.modalities.videos.frames import Clips, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

CROPS = 3
SAMPLING = Clips(clips=VIEWS // CROPS, seconds=2.0, frames=VIEW_FRAMES)
RECORD = sampled(SAMPLING)
"""Of videos of which these frames alone are decoded."""


def scaled_frames(value: Any) -> NDArray[np.float32]:
    """Take the frames of all clips, and scale their shorter side to 224.

    Args:
        value: ``Frames``.

    Returns:
        (10, 3, h, w) float32, normalised with CLIP's statistics, clip by clip.

    Raises:
        Unusable: it is not a usable video, or so narrow that scaling it is absurd.
    """
    if why := VIDEO.why_unusable(value):
        raise Unusable("video", why)
    frames = sample(value, SAMPLING)
    height, width = frames.shape[1:3]
    short = min(height, width)
    # Cut, not rounded, as published.
    size = (math.floor(height / short * SIDE), math.floor(width / short * SIDE))
    if size[0] * size[1] > MAX_PIXELS:
        raise Unusable(
            "video",
            f"frames as narrow as {width} x {height} pixels would become {size[1]} x {size[0]}",
            fix="cut it up, or leave it out",
        )
    mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    scaled = functional.interpolate(pixels, size, mode="bilinear", align_corners=False)
    normalised: NDArray[np.float32] = ((scaled - mean) / std).numpy()
    return normalised


def views(frames: Tensor) -> Tensor:
    """Crop every clip three times along its longer side: at its start, middle and end.

    Args:
        frames: from ``scaled_frames``.

    Returns:
        (15, 3, 2, 224, 224).
    """
    height, width = frames.shape[2:]
    clips = frames.view(-1, VIEW_FRAMES, 3, height, width).transpose(1, 2)  # (5, 3, 2, h, w)
    middle_y, middle_x = math.ceil((height - SIDE) / 2), math.ceil((width - SIDE) / 2)
    if height > width:
        corners = [(0, middle_x), (middle_y, middle_x), (height - SIDE, middle_x)]
    else:
        corners = [(middle_y, 0), (middle_y, middle_x), (middle_y, width - SIDE)]
    crops = [clips[..., y : y + SIDE, x : x + SIDE] for y, x in corners]
    return torch.stack(crops, dim=1).flatten(0, 1)
