"""A miniature ImageBind with random weights in every parameter."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from reactions.core.types import SpaceSpec
from reactions.encoders.imagebind.sizes import ImageBindSizes, TowerSize
from reactions.encoders.imagebind.towers import ImageBind

SIZES = ImageBindSizes(
    dim=24,
    towers={
        "audio": TowerSize(24, 2, 3),
        "depth": TowerSize(16, 2, 2),
        "image": TowerSize(32, 3, 4),
        "imu": TowerSize(16, 2, 2),
        "text": TowerSize(16, 3, 2),
        "thermal": TowerSize(24, 2, 2),
    },
)
HEADS = {modality: size.heads for modality, size in SIZES.towers.items()}


def state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return a checkpoint's contents."""
    drawn = torch.Generator().manual_seed(seed)
    arrays = {}
    for key, value in ImageBind(SIZES).state_dict().items():
        noise = 0.3 * torch.randn(value.shape, generator=drawn)
        arrays[key] = noise + 1 if key.endswith("weight") and value.ndim == 1 else noise
    arrays["modality_preprocessors.text.mask"] = torch.full((77, 77), -torch.inf).triu(1)
    return arrays


def write(path: Path, contents: dict[str, torch.Tensor] | None = None) -> Path:
    """Save a checkpoint, as safetensors or with torch."""
    contents = state() if contents is None else contents
    if path.suffix == ".safetensors":
        heads = "{" + ", ".join(f'"{m}": {n}' for m, n in HEADS.items()) + "}"
        save_file(contents, path, {"molspace": '{"heads": ' + heads + "}"})
    else:
        torch.save(contents, path)
    return path


def spec(path: Path, *modalities: str, **fields) -> SpaceSpec:
    """Describe it."""
    return SpaceSpec(
        name="ImageBind",
        dim=SIZES.dim,
        modalities=tuple(sorted(modalities or ("audio", "image"))),
        source=str(path),
        **{"adapter": "imagebind", **fields},
    )
