"""What ImageBind consists of, in numbers; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactions.core.types import Modality
from reactions.encoders.flops import transformer_flops

SIDE = 224
"""Of pictures, in pixels."""

CLIPS, MELS, FRAMES = 3, 128, 204
"""Of a sound: clips, mel bands, frames a clip."""

CHANNELS, SAMPLES = 6, 2000
"""Of the readings of an inertial measurement unit: five seconds."""

IMU_KERNEL = 8
"""Samples that make one token."""

VIEWS, VIEW_FRAMES = 15, 2
"""Of a video: five clips, each cropped three times; frames of each."""

PUBLISHED: Mapping[Modality, str] = {
    "audio": "audio",
    "depth": "depth",
    "image": "vision",
    "imu": "imu",
    "text": "text",
    "thermal": "thermal",
}
"""Towers, by the modality they were trained for, and their names in the checkpoint."""

TOWERS: Mapping[Modality, Modality] = {**{m: m for m in PUBLISHED}, "video": "image"}
"""Modality to the tower that embeds it: videos go through that of images."""

PARTS = ("preprocessors", "trunks", "heads", "postprocessors")
"""Of a tower, as the checkpoint names them after ``modality_``."""

_TEXT_TOKENS = 20  # of an ordinary caption: batches are padded to their longest only


@dataclass(frozen=True, slots=True)
class TowerSize:
    """The size of one transformer.

    Attributes:
        width: of its tokens.
        depth: blocks.
        heads: of each attention.
    """

    width: int
    depth: int
    heads: int


@dataclass(frozen=True, slots=True)
class ImageBindSizes:
    """The sizes of a model.

    Attributes:
        dim: width of the embeddings.
        towers: modality to size.
    """

    dim: int
    towers: Mapping[Modality, TowerSize]


HUGE = ImageBindSizes(
    dim=1024,
    towers={
        "audio": TowerSize(768, 12, 12),
        "depth": TowerSize(384, 12, 8),
        "image": TowerSize(1280, 32, 16),
        "imu": TowerSize(512, 6, 8),
        "text": TowerSize(1024, 24, 16),
        "thermal": TowerSize(768, 12, 12),
    },
)
"""The one published model."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a modality other than text becomes tokens.

    Attributes:
        channels: of its input.
        extent: of its input, height and width.
        kernel: side of a patch.
        stride: from patch to patch.
        frames: that a patch spans; a still picture is repeated for it.
    """

    channels: int
    extent: tuple[int, int]
    kernel: int = 16
    stride: int = 16
    frames: int = 0

    @property
    def patches(self) -> int:
        """Patches of one input."""
        down, across = ((side - self.kernel) // self.stride + 1 for side in self.extent)
        return down * across


FORMS: Mapping[Modality, Form] = {
    "audio": Form(1, (MELS, FRAMES), stride=10),
    "depth": Form(1, (SIDE, SIDE)),
    "image": Form(3, (SIDE, SIDE), kernel=14, stride=14, frames=2),
    "thermal": Form(1, (SIDE, SIDE)),
}


def flops(modality: Modality, sizes: ImageBindSizes = HUGE) -> float:
    """Return about how many floating-point operations one item takes, for estimates."""
    tower = TOWERS[modality]
    size = sizes.towers[tower]
    # The class token, and the patches.
    tokens = 1 + SAMPLES // IMU_KERNEL if tower == "imu" else 1
    tokens = _TEXT_TOKENS if tower == "text" else tokens
    if tower in FORMS:
        tokens += FORMS[tower].patches
    once = transformer_flops(layers=size.depth, width=size.width, tokens=tokens)
    return once * {"audio": CLIPS, "video": VIEWS}.get(modality, 1)
