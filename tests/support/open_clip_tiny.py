"""A tiny architecture for open_clip with two published tags, and its random weights."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reactions.weights.locate import WeightLocator

DIM = 16
CONFIG = {
    "embed_dim": DIM,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {
        "context_length": 12,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 2,
    },
}
SQUASHED = {
    "mean": (0.5, 0.5, 0.5),
    "std": (0.25, 0.5, 0.5),
    "interpolation": "bilinear",
    "resize_mode": "squash",
    "hf_hub": "maker/tiny-two/",
    "url": "",
}
QUICK = {**SQUASHED, "hf_hub": "maker/tiny-quick/weights.bin", "quick_gelu": True}


@contextmanager
def known(folder: Path) -> Iterator[None]:
    """Teach open_clip an architecture and two tags, and make it forget them."""
    import open_clip

    patch = pytest.MonkeyPatch()
    patch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    patch.setattr(
        open_clip.factory, "_MODEL_CONFIG_PATHS", list(open_clip.factory._MODEL_CONFIG_PATHS)
    )
    path = folder / "Tiny-16.json"
    path.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(path)
    tags = {"two_b": SQUASHED, "quick": QUICK}
    patch.setitem(sys.modules["open_clip.pretrained"]._PRETRAINED, "Tiny-16", tags)
    try:
        yield
    finally:
        patch.undo()


def state(**text) -> dict[str, torch.Tensor]:
    """Return random weights of the architecture, with other settings of the text tower."""
    import open_clip

    torch.manual_seed(0)
    model = open_clip.CLIP(**{**CONFIG, "text_cfg": {**CONFIG["text_cfg"], **text}})
    # Trained projections differ from their initial ones; random biases tell transposed use.
    return {k: v + 0.02 * torch.randn_like(v) for k, v in model.state_dict().items()}


def save(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """Save a checkpoint as data-parallel training leaves it."""
    torch.save({"epoch": 9, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, path)
    return path


def snapshot(repo, files):
    """Put a repository into the hub's cache of this test."""
    folder = WeightLocator.of_environment().hub / ("models--" + repo.replace("/", "--"))
    commit = "c" * 40
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    for name, data in files.items():
        path = folder / "snapshots" / commit / name
        if isinstance(data, dict):
            save_file(data, path) if path.suffix == ".safetensors" else torch.save(data, path)
        else:
            path.write_text(data)
    return folder / "snapshots" / commit
