"""imagebind (PyPI: imagebind-unofficial) with the checkpoint of an ``imagebind:`` space.

Its ``__init__`` pulls in decoders of films and retired packages; the modules of its networks and of
its preprocessing run without them. The weights come from molspace's safe loader.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from reactions.core.types import Item, Modality, SpaceSpec
from reactions.encoders.imagebind import adapter as adapters
from reactions.encoders.imagebind import video
from reactions.encoders.imagebind.checkpoint import OPTIONAL, ImageBindCheckpoint, read, sizes_of
from reactions.encoders.imagebind.sizes import (
    CHANNELS,
    PARTS,
    PUBLISHED,
    SAMPLES,
    SIDE,
    TOWERS,
    VIEW_FRAMES,
    VIEWS,
    ImageBindSizes,
    TowerSize,
)
from reactions.encoders.official.base import OfficialModel, OfficialPackage
from reactions.encoders.official.pictures import opened
from reactions.weights.safe_load import package_errors, unfit

_ADAPTERS: Mapping[str, type[adapters.ImageBindAdapter]] = {
    adapter.scheme: adapter
    for adapter in (
        adapters.ImageBindAdapter,
        adapters.ImageBindBfloat16Adapter,
        adapters.ImageBindFloat16Adapter,
    )
}

_NETWORKS: Mapping[Modality, tuple[tuple[int, ...], ...]] = {
    "depth": ((1, SIDE, SIDE),) * 2,
    "imu": ((CHANNELS, SAMPLES),) * 2,
    "thermal": ((1, SIDE, SIDE),) * 2,
    "video": tuple(
        (VIEWS // video.CROPS * VIEW_FRAMES, 3, *size) for size in ((SIDE, 298), (260, SIDE))
    ),
}
"""Modalities without published preprocessing, or with a retired decoder, to the shapes of what
their networks take."""

_STAND_IN = "a stand-in for what is needed at import only"
_SMALL = TowerSize(16, 1, 2)
"""Of towers that nobody asked for: the package builds them all."""


class ImageBindPackage(OfficialPackage):
    """``imagebind``, by its ``ImageBindModel`` and the functions of ``imagebind.data``."""

    name = "imagebind"
    adapters = tuple(_ADAPTERS)
    modalities: ClassVar = ("audio", "depth", "image", "imu", "text", "thermal", "video")
    pins: ClassVar[Mapping[Modality, str]] = {
        "audio": "sounds are decoded by libsndfile, because torchaudio needs more to read files; "
        "the first channel alone is given, which is all that it hears, because it levels clips "
        "that overlap by the mean of both; clips are those of the commit of pytorchvideo that "
        "ImageBind names, where the last release leaves out a sound's end",
        "image": "pictures are turned as their EXIF says and laid on white where they are "
        "transparent",
    }

    def install(self) -> str:
        """Return the commands: what it pins does not fit together any more."""
        return (
            "pip install --no-deps imagebind-unofficial pytorchvideo   and   "
            "pip install torchaudio torchvision einops timm ftfy regex"
        )

    def network_inputs(self, modality: Modality) -> Sequence[Item]:
        """Return noise of the shapes that a tower takes."""
        rng = np.random.default_rng(0)
        return [
            Item(f"noise {i}", modality, rng.normal(0, 1, shape).astype(np.float32))
            for i, shape in enumerate(_NETWORKS.get(modality, ()), 1)
        ]

    def open(self, spec: SpaceSpec, device: str) -> OfficialModel:
        """Build the package's model of a checkpoint's sizes, and load the checkpoint."""
        adapter = _ADAPTERS[spec.adapter]()
        files = adapter.locate_again(spec)
        checkpoint = read(files.path, space=spec.name)
        modalities = [modality for modality in spec.modalities if modality in TOWERS]
        sizes = sizes_of(checkpoint, modalities, space=spec.name)
        loaders = self.data()
        with package_errors(spec.name, files.path):
            network = built(self.models(), sizes)
            load(network, checkpoint, space=spec.name)
        dtype = getattr(torch, adapter.dtype)
        return _embedding(loaders, network.to(device=device, dtype=dtype).eval())

    def models(self) -> ModuleType:
        """Return ``imagebind.models.imagebind_model``.

        Raises:
            MissingError: it, or something that it needs, is not installed.
        """
        folder = self._folder("imagebind")
        for needed in ("einops", "ftfy", "regex", "timm"):
            self.imported(needed)
        with _stand_ins({"imagebind": folder}, _files()):
            module: ModuleType = self.imported("imagebind.models.imagebind_model")
        return module

    def data(self) -> ModuleType:
        """Return ``imagebind.data``; its sounds are decoded by libsndfile.

        Raises:
            MissingError: it, or something that it needs, is not installed.
        """
        folder, films = self._folder("imagebind"), self._folder("pytorchvideo")
        self.imported("torchvision")
        audio = self.torchaudio()
        self.models()
        names: dict[str, dict[str, object]] = {
            **_files(),
            "pkg_resources": {"resource_filename": lambda _, name: str(folder / name)},
            "pytorchvideo.transforms": {},
            "pytorchvideo.data.encoded_video": {"EncodedVideo": None},
        }
        folders = {"imagebind": folder, "pytorchvideo": films, "pytorchvideo.data": films / "data"}
        with _stand_ins(folders, names):
            vars(sys.modules["pytorchvideo"])["transforms"] = None
            module: ModuleType = self.imported("imagebind.data")
        vars(module)["torchaudio"] = SimpleNamespace(
            load=_decoded, compliance=audio.compliance, functional=audio.functional
        )
        return module

    def torchaudio(self) -> ModuleType:
        """Import torchaudio; its compiled part, which must fit torch to the letter, is not needed.

        Raises:
            MissingError: it is not installed.
        """
        self._folder("torchaudio")
        try:
            return importlib.import_module("torchaudio")
        except (ImportError, OSError, RuntimeError):
            for name in [name for name in sys.modules if name.startswith("torchaudio")]:
                del sys.modules[name]
        extension = ModuleType("torchaudio._extension", _STAND_IN)
        vars(extension).update(
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            fail_if_no_align=lambda function: function,
        )
        sys.modules[extension.__name__] = extension
        module: ModuleType = self.imported("torchaudio")
        return module

    def _folder(self, package: str) -> Path:
        """Return where a package lies, without importing it."""
        with self._install_hint():
            module_spec = importlib.util.find_spec(package)
        if module_spec is None or not module_spec.submodule_search_locations:
            self.imported(package)  # which says that it is missing
        assert module_spec is not None
        assert module_spec.submodule_search_locations
        return Path(module_spec.submodule_search_locations[0])


def built(package: ModuleType, sizes: ImageBindSizes) -> torch.nn.Module:
    """Return the package's model with random weights, of the towers that are asked for.

    Args:
        package: ``imagebind.models.imagebind_model``.
        sizes: of these towers.
    """
    arguments: dict[str, int] = {}
    for modality, name in PUBLISHED.items():
        size = sizes.towers.get(modality, _SMALL)
        arguments |= {
            f"{name}_embed_dim": size.width,
            f"{name}_num_blocks": size.depth,
            f"{name}_num_heads": size.heads,
        }
    network: torch.nn.Module = package.ImageBindModel(out_embed_dim=sizes.dim, **arguments)
    for modality, name in PUBLISHED.items():
        if modality not in sizes.towers:
            for part in PARTS:
                del getattr(network, f"modality_{part}")[name]
    return network.eval()


@torch.no_grad()
def load(network: torch.nn.Module, checkpoint: ImageBindCheckpoint, *, space: str) -> None:
    """Bring weights into the package's model, one at a time: they are gigabytes.

    Args:
        network: from ``built``.
        checkpoint: whose shapes are those of the model, as ``sizes_of`` checked.
        space: whose it is, for messages.

    Raises:
        DataError: weights are missing.
    """
    state = network.state_dict()
    if missing := [key for key in state if key not in checkpoint.kinds and key not in OPTIONAL]:
        raise unfit(space, checkpoint.path, missing=missing)
    for key in state.keys() & checkpoint.kinds.keys():
        state[key].copy_(checkpoint.tensor(key))


def _embedding(loaders: ModuleType, network: torch.nn.Module) -> OfficialModel:
    """Return the package's own ways to embed files and texts."""
    first = next(network.parameters())

    def forward(name: str, inputs: Tensor) -> Tensor:
        numbers = first.dtype if inputs.is_floating_point() else None
        out: Tensor = network({name: inputs.to(first.device, numbers)})[name][0]
        return out

    def picture(item: Item) -> Tensor:
        with patch.object(loaders, "Image", SimpleNamespace(open=opened)):
            inputs = loaders.load_and_transform_vision_data([item.value], "cpu")
        return forward("vision", inputs)

    def words(item: Item) -> Tensor:
        return forward("text", loaders.load_and_transform_text([item.value], "cpu"))

    def usual(item: Item) -> Tensor:
        return forward("audio", loaders.load_and_transform_audio_data([item.value], "cpu"))

    def pinned(item: Item) -> Tensor:
        sampler = pinned_sampler(loaders.ConstantClipsPerVideoSampler)
        with (
            patch.object(loaders, "ConstantClipsPerVideoSampler", sampler),
            patch.object(loaders.torchaudio, "load", _first_channel),
        ):
            return usual(item)

    def film(item: Item) -> Tensor:
        frames = torch.from_numpy(item.value)
        clips = list(frames.view(-1, VIEW_FRAMES, *frames.shape[1:]).transpose(1, 2))
        return forward("vision", torch.stack(loaders.SpatialCrop(SIDE, num_crops=3)(clips))[None])

    def values(item: Item) -> Tensor:
        return forward(PUBLISHED[item.modality], torch.from_numpy(item.value)[None])

    networks = {**dict.fromkeys(_NETWORKS, values), "video": film}
    return OfficialModel(
        {"audio": pinned, "image": picture, "text": words}, {"audio": usual}, networks
    )


def pinned_sampler(released: type) -> type:
    """Return the sampler as it is in the commit of pytorchvideo that ImageBind pins, 6cdc929.

    The last release, 0.1.5, is older than the correction of its clips' distance.
    """

    class Sampler(released):  # type: ignore[misc]
        def __call__(self, last_clip_end_time: Any, video_duration: Any, annotation: Any) -> Any:
            gaps, index = max(self._clips_per_video - 1, 1), self._current_clip_index
            clip = super().__call__(last_clip_end_time, video_duration, annotation)
            start = Fraction(max(video_duration - self._clip_duration, 0)) / gaps * index
            end = start + self._clip_duration
            return clip._replace(clip_start_sec=start, clip_end_sec=end)

    return Sampler


def _decoded(path: Path) -> tuple[Tensor, int]:
    import soundfile

    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy()), rate_hz


def _first_channel(path: Path) -> tuple[Tensor, int]:
    samples, rate_hz = _decoded(path)
    return samples[:1], rate_hz


@contextmanager
def _stand_ins(
    folders: Mapping[str, Path], contents: Mapping[str, Mapping[str, object]]
) -> Iterator[None]:
    """Have modules without their code: ones whose submodules are found, ones with names."""
    names = [*folders, *contents]
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        module = ModuleType(name, _STAND_IN)
        vars(module).update(contents.get(name, {}))
        if name in folders:
            module.__path__ = [str(folders[name])]
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, earlier in before.items():
            if earlier is None:
                del sys.modules[name]
            else:
                sys.modules[name] = earlier


def _files() -> dict[str, dict[str, object]]:
    opener = SimpleNamespace(open=open)
    return {"iopath": {}, "iopath.common": {}, "iopath.common.file_io": {"g_pathmgr": opener}}
