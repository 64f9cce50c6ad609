"""What the mini lab's encoders are trained on: scenes, rendered and preprocessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reactions.labs.mini import pixels, waveforms
from reactions.labs.mini.sentences import Style, captions
from reactions.labs.mini.views import VIEWS
from reactions.labs.mini.world import Scenes

if TYPE_CHECKING:
    from torch import Tensor

    from reactions.encoders.mini import Towers

_CAPTIONS = 4  # writers a scene
_PART = 1000


def features(modality: str, scenes: Scenes, styles: Sequence[Style]) -> Tensor:
    """Render and preprocess scenes: (views, n, ...) features."""
    import torch

    from reactions.encoders import mini

    if modality == "image":
        return mini.image_features(pixels.images(scenes))[None]
    if modality == "audio":
        sound = torch.from_numpy(waveforms.sounds(scenes))
        parts = [mini.audio_features(part.float() / 32768) for part in torch.split(sound, 256)]
        return torch.cat(parts)[None]
    if modality in VIEWS:
        # A part at a time: decoded values are larger than what is made of them.
        rows = range(0, len(scenes), _PART)
        rendered = [VIEWS[modality](scenes[row : row + _PART], False) for row in rows]
        return torch.cat([mini.as_features(modality, values) for values in rendered])[None]
    texts = [
        captions(scenes, styles[writer % len(styles)], variant=1000 + writer)
        for writer in range(_CAPTIONS)
    ]
    return torch.stack([mini.text_features(text) for text in texts])


def flops_per_item(towers: Towers) -> dict[str, float]:
    """Return floating-point operations to embed one item, by modality, from tensor shapes."""
    from torch import nn

    from reactions.encoders.mini import N_POINTS

    out = {}
    for modality, tower in towers.towers.items():
        # Pixels, or 32 mel bands by 33 frames.
        height, width = (32, 33) if modality == "audio" else (32, 32)
        flops = 0.0
        for name, module in tower.named_modules():
            if isinstance(module, nn.Conv2d):
                height = math.ceil(height / module.stride[0])
                width = math.ceil(width / module.stride[1])
                flops += 2.0 * module.weight.numel() * height * width
            elif isinstance(module, nn.Linear):
                times = N_POINTS if name.startswith("layers.") else 1  # the layers of every point
                flops += 2.0 * module.weight.numel() * times
        out[modality] = flops
    return out
