"""The PyPI package imagebind-unofficial as a reference, without what it needs only to import.

Its ``__init__`` pulls in decoders of films and retired packages; the modules of its
networks and of its preprocessing run without them. Needs imagebind-unofficial and
pytorchvideo (both without their dependencies), einops, ftfy, regex, timm, torchaudio and
torchvision; tests that ask for it are skipped where one is missing.
"""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace

import imagebind_toy as toy
import pytest
import soundfile
import torch

from reactions.encoders.imagebind.sizes import PUBLISHED

STAND_IN = "a stand-in of the tests"


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"could not import {package!r}")
    return Path(found.submodule_search_locations[0])


@contextmanager
def _stand_ins(folders: dict[str, Path], contents: dict[str, dict[str, object]]) -> Iterator[None]:
    """Have modules without their code: ones whose submodules are found, ones with names."""
    names = [*folders, *contents]
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        module = ModuleType(name, STAND_IN)
        vars(module).update(contents.get(name, {}))
        if name in folders:
            module.__path__ = [str(folders[name])]
        sys.modules[name] = module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def torchaudio() -> ModuleType:
    """Import torchaudio; its compiled part, which must fit torch to the letter, is not needed."""
    _folder("torchaudio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("torchaudio")
        except (ImportError, OSError, RuntimeError):
            for name in [name for name in sys.modules if name.startswith("torchaudio")]:
                del sys.modules[name]
        extension = ModuleType("torchaudio._extension", STAND_IN)
        extension._IS_TORCHAUDIO_EXT_AVAILABLE = extension._IS_ALIGN_AVAILABLE = False
        extension.fail_if_no_align = lambda function: function
        sys.modules[extension.__name__] = extension
        return importlib.import_module("torchaudio")


def models() -> ModuleType:
    """Return ``imagebind.models.imagebind_model``."""
    folder = _folder("imagebind")
    for needed in ("einops", "ftfy", "regex", "timm"):
        pytest.importorskip(needed)
    with _stand_ins({"imagebind": folder}, _files()):
        return importlib.import_module("imagebind.models.imagebind_model")


def model(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Return the published class at the toy's size, with its weights."""
    sizes = {
        f"{name}_{what}": value
        for modality, size in toy.SIZES.towers.items()
        for name in [PUBLISHED[modality]]
        for what, value in (
            ("embed_dim", size.width),
            ("num_blocks", size.depth),
            ("num_heads", size.heads),
        )
    }
    built = models().ImageBindModel(out_embed_dim=toy.SIZES.dim, **sizes).eval()
    built.load_state_dict(weights)
    return built


def data() -> ModuleType:
    """Return ``imagebind.data``; its sounds are decoded by libsndfile."""
    folder, films = _folder("imagebind"), _folder("pytorchvideo")
    pytest.importorskip("torchvision")
    audio = torchaudio()
    models()

    def decode(path):
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate_hz

    names = {
        **_files(),
        "pkg_resources": {"resource_filename": lambda _, name: str(folder / name)},
        "pytorchvideo.transforms": {},
        "pytorchvideo.data.encoded_video": {"EncodedVideo": None},
    }
    folders = {"imagebind": folder, "pytorchvideo": films, "pytorchvideo.data": films / "data"}
    with _stand_ins(folders, names):
        sys.modules["pytorchvideo"].transforms = None
        module = importlib.import_module("imagebind.data")
    module.ConstantClipsPerVideoSampler = pinned_sampler(module.ConstantClipsPerVideoSampler)
    module.torchaudio = SimpleNamespace(
        load=decode, compliance=audio.compliance, functional=audio.functional
    )
    return module


def video_transforms() -> ModuleType:
    """Return ``pytorchvideo.transforms.functional``."""
    films = _folder("pytorchvideo")
    spec = importlib.util.spec_from_file_location(
        "pytorchvideo_functional", films / "transforms" / "functional.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pinned_sampler(released: type) -> type:
    """Return the sampler as it is in the commit of pytorchvideo that ImageBind pins, 6cdc929.

    The last release, 0.1.5, is older than the mending of its clips' distance.
    """

    class Sampler(released):
        def __call__(self, last_clip_end_time, video_duration, annotation):
            gaps, index = max(self._clips_per_video - 1, 1), self._current_clip_index
            found = super().__call__(last_clip_end_time, video_duration, annotation)
            start = Fraction(max(video_duration - self._clip_duration, 0)) / gaps * index
            end = start + self._clip_duration
            return found._replace(clip_start_sec=start, clip_end_sec=end)

    return Sampler


def _files() -> dict[str, dict[str, object]]:
    opener = SimpleNamespace(open=open)
    return {"iopath": {}, "iopath.common": {}, "iopath.common.file_io": {"g_pathmgr": opener}}
