"""The PyPI package imagebind-unofficial as a reference, as ``spaces doctor --against`` opens it.

Tests that ask for it are skipped where it, or something that it needs, is missing: see
``ImageBindPackage.install``.
"""

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

import imagebind_toy as toy
import pytest
import torch

from reactions.core.errors import MissingError
from reactions.encoders.official.base import alone
from reactions.encoders.official.imagebind_package import ImageBindPackage, built, pinned_sampler


def _or_skip(module: str) -> ModuleType:
    try:
        with alone():
            return getattr(ImageBindPackage(), module)()
    except MissingError as error:
        pytest.skip(error.why)


def torchaudio() -> ModuleType:
    """Return torchaudio, with or without its compiled part."""
    return _or_skip("torchaudio")


def models() -> ModuleType:
    """Return ``imagebind.models.imagebind_model``."""
    return _or_skip("models")


@functools.cache
def data() -> ModuleType:
    """Return ``imagebind.data``, with the clips of the commit of pytorchvideo that it pins."""
    module = _or_skip("data")
    module.ConstantClipsPerVideoSampler = pinned_sampler(module.ConstantClipsPerVideoSampler)
    return module


def model(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Return the published class at the toy's size, with its weights."""
    network = built(models(), toy.SIZES)
    network.load_state_dict(weights)
    return network


def video_transforms() -> ModuleType:
    """Return ``pytorchvideo.transforms.functional``."""
    films = importlib.util.find_spec("pytorchvideo")
    if films is None or not films.submodule_search_locations:
        pytest.skip("could not import 'pytorchvideo'")
    path = Path(films.submodule_search_locations[0]) / "transforms" / "functional.py"
    spec = importlib.util.spec_from_file_location("pytorchvideo_functional", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
