"""WAV2CLIP: a ResNet-18 that embeds sounds in the space of CLIP ViT-B/32.

    wav2clip:Wav2CLIP.pt            the published checkpoint, wherever weights lie
    wav2clip:./FILE?clip=URI        another file, or the image-text model from elsewhere

Images and texts are CLIP's own, which the checkpoint does not hold: by default
``hf:openai/clip-vit-base-patch32``.

Source: Wu et al., Wav2CLIP (ICASSP 2022), and the package ``wav2clip``. It scales the spectrograms
of a batch by their common mean and deviation, so that an embedding depends on its company; here
each clip is scaled alone, as there in a batch of one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reactions.core.errors import DimensionMismatch, MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.base import Adapter, SpaceRequest
from reactions.encoders.by_shape import by_shape
from reactions.encoders.open_clip.adapter import OpenClipAdapter
from reactions.encoders.plugins import adapter_for_spaces, adapter_for_uris
from reactions.encoders.preprocessing.waveforms import centre, clipped, unheard
from reactions.encoders.published import Checkpoint, find_checkpoint
from reactions.encoders.tower import Tower, TowerEncoder, parts_of
from reactions.encoders.transformers.clip import HfAdapter
from reactions.encoders.uri import join_options
from reactions.modalities.audio import resample
from reactions.weights.locate import Requirement, WeightLocator, WeightsFile
from reactions.weights.locate import digest_cache as remembered_digests
from reactions.weights.safe_load import check_shapes, in_single_precision, read_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIM = 512

CLIP = "hf:openai/clip-vit-base-patch32"
"""The image-text model that it was trained beside."""

PUBLISHED: Mapping[str, WeightsFile] = {
    "Wav2CLIP.pt": WeightsFile(
        "Wav2CLIP.pt",
        url="https://github.com/descriptinc/lyrebird-wav2clip/releases/download/"
        "v0.1.0-alpha/Wav2CLIP.pt",
        licence="MIT",
    )
}

_DEFAULT = "Wav2CLIP.pt"

RATE_HZ = 16_000
_FFT, _HOP = 512, 353
_MOST_S = 60
PREPROCESSING = "16khz-whole-or-centre-minute-logpower257-standardised-1"
"""Tag that changes whenever preprocessing can change an embedding."""

FLOPS_PER_ITEM = 8.7e9
"""Counted for ten seconds; it grows with the length."""

_ENCODER, _TRANSFORM = "audio_encoder.", "audio_transform."
# The checkpoint's Hann window, which is computed here.
_WINDOW = "audio_encoder.spectrogram.window"


class Wav2ClipNetwork(nn.Module):
    """ResNet-18 over a spectrogram, then the two linear layers that lead into CLIP's space.

    Args:
        blocks: of each stage.
    """

    def __init__(self, blocks: Sequence[int] = (2, 2, 2, 2)) -> None:
        super().__init__()
        self.audio_encoder = nn.ModuleDict(
            {"conv1": nn.Conv2d(1, 64, 7, 2, 3, bias=False), "bn1": nn.BatchNorm2d(64)}
        )
        widths = (64, 64, 128, 256, 512)
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            stride = 1 if i == 0 else 2
            first = _Block(before, after, stride)
            rest = (_Block(after, after, 1) for _ in range(blocks[i] - 1))
            self.audio_encoder[f"layer{i + 1}"] = nn.Sequential(first, *rest)
        self.audio_transform = nn.ModuleDict(
            {
                "sequential": nn.Sequential(
                    nn.Linear(512, DIM), nn.ReLU(), nn.Identity(), nn.Linear(DIM, DIM)
                )
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embed (n, 1, 257, frames) spectrograms to (n, 512), not normalised."""
        parts = self.audio_encoder
        x = torch.relu(parts["bn1"](parts["conv1"](x)))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        for i in range(1, 5):
            x = parts[f"layer{i}"](x)
        out: Tensor = self.audio_transform["sequential"](x.mean(dim=(2, 3)))
        return out


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        past = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + past)


# --- describing and loading ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JoinedFiles:
    """What a space is made of.

    Attributes:
        checkpoint: of the audio encoder.
        clip_uri: the image-text model.
        locator: where its weights may lie.
    """

    checkpoint: Checkpoint
    clip_uri: str
    locator: WeightLocator

    @property
    def path(self) -> Path:
        """The checkpoint of the audio encoder."""
        return self.checkpoint.path

    def clip(self, digests: DigestCache) -> SpaceSpec:
        """Describe the image-text model.

        Raises:
            MissingError: it is not on this machine.
            DimensionMismatch: it is of another width.
        """
        clip = _describer(self.clip_uri).resolve(
            self.clip_uri, digest_cache=digests, locator=self.locator
        )
        if clip.dim != DIM or not {"image", "text"} <= set(clip.modalities):
            raise DimensionMismatch(
                f'"{self.clip_uri}" is not the model that WAV2CLIP was trained beside',
                why=f"it embeds {', '.join(clip.modalities)} in {clip.dim} dimensions, "
                f"not image and text in {DIM}",
                fix=f"leave clip=... out, for {CLIP}",
            )
        return clip

    def digest(self, clip: SpaceSpec, digests: DigestCache) -> Digest:
        """Return the digest of what decides the outputs of all three towers."""
        return digest("wav2clip", [self.checkpoint.digest(digests), clip.weights_digest])


class Wav2ClipAdapter(Adapter[JoinedFiles]):
    """``wav2clip:FILE``; see the module."""

    scheme = "wav2clip"
    trains = True
    options = ("clip",)

    def locate(self, request: SpaceRequest) -> JoinedFiles:
        """Find the checkpoint; the image-text model is looked for when it is described."""
        checkpoint = find_checkpoint(request, self.scheme, PUBLISHED, _DEFAULT)
        return JoinedFiles(checkpoint, request.options.get("clip", CLIP), request.locator)

    def describe(self, files: JoinedFiles, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a checkpoint and of the CLIP that it belongs to."""
        clip = files.clip(digests)
        # Its source, where that is a URI too, is the URI made absolute and pinned.
        is_uri = clip.source.startswith(files.clip_uri.partition(":")[0] + ":")
        clip_uri = clip.source if is_uri else files.clip_uri
        return SpaceSpec(
            name=files.checkpoint.space,
            dim=DIM,
            modalities=("audio", "image", "text"),
            adapter=self.scheme,
            source=join_options(f"{self.scheme}:{files.path}", {"clip": clip_uri}),
            licence=files.checkpoint.licence,
            weights_digest=files.digest(clip, digests),
            preprocessing=(("audio", PREPROCESSING), *_of_clip(clip.preprocessing)),
            hub="image",
            flops_per_item=(("audio", FLOPS_PER_ITEM), *_of_clip(clip.flops_per_item)),
        )

    def digest(self, files: JoinedFiles, digests: DigestCache) -> Digest:
        """Return the digest of what decides the outputs of all three towers."""
        return files.digest(files.clip(digests), digests)

    def require(self, spec: SpaceSpec, files: JoinedFiles) -> None:
        """Check that the image-text model is here."""
        adapter = _describer(files.clip_uri)
        adapter.locate(adapter.request(files.clip_uri, locator=files.locator))

    def requirements(self, uri: str) -> tuple[Requirement, ...]:
        """Return the checkpoint, where it is a published one, and what CLIP needs."""
        request = self.request(uri)
        clip_uri = request.options.get("clip", CLIP)
        file = PUBLISHED.get(request.rest or _DEFAULT)
        checkpoints = () if file is None else (file,)
        return (*checkpoints, *_describer(clip_uri).requirements(clip_uri))

    def open(self, spec: SpaceSpec, files: JoinedFiles, device: str) -> TowerEncoder:
        """Load the audio encoder, and take CLIP's towers for images and texts."""
        clip_towers = _opened(files.clip(remembered_digests()), device)
        audio_encoder = build(spec.name, files.path, read_tensors(files.path)).to(device)
        audio = Tower(
            features,
            lambda inputs: by_shape(audio_encoder, inputs, device),
            batch_items=8,
            parts=parts_of(audio_encoder),
            limits=(unheard(_MOST_S),),
        )
        return TowerEncoder(spec, {"audio": audio, **clip_towers})


_CLIPS: Mapping[str, type[Adapter[Any]]] = {
    adapter.scheme: adapter for adapter in (HfAdapter, OpenClipAdapter)
}


def _describer(clip_uri: str) -> Adapter[Any]:
    """Return the adapter that describes an image-text model."""
    scheme = clip_uri.partition(":")[0]
    adapter = _CLIPS[scheme]() if scheme in _CLIPS else adapter_for_uris(scheme)
    if adapter is None:
        raise MissingError(
            f'"{clip_uri}" is not the model that WAV2CLIP was trained beside',
            why=f"it begins with none of {', '.join(f'{name}:' for name in _CLIPS)}",
            fix=f"leave clip=... out, for {CLIP}",
            uri=clip_uri,
        )
    return adapter


def _opened(clip: SpaceSpec, device: str) -> Mapping[Modality, Tower]:
    """Return the towers of an image-text model."""
    adapter = _CLIPS[clip.adapter]() if clip.adapter in _CLIPS else adapter_for_spaces(clip.adapter)
    encoder = adapter.load(clip, device=device) if adapter else None
    if not isinstance(encoder, TowerEncoder):
        raise MissingError(
            f"'{clip.name}' has no towers that WAV2CLIP could share",
            why=f"its adapter is '{clip.adapter}'",
            fix=f"leave clip=... out, for {CLIP}",
            space=clip.name,
        )
    return {modality: encoder.towers[modality] for modality in ("image", "text")}


def build(space: str, path: Path, tensors: Mapping[str, Tensor]) -> Wav2ClipNetwork:
    """Return the audio encoder of a checkpoint, in single precision and eval mode.

    Args:
        space: whose checkpoint it is, for messages.
        path: of the checkpoint, for messages.
        tensors: what it holds; the image side of the training is left alone.

    Raises:
        DataError: missing, extra or mis-shaped tensors.
    """
    audio_encoder = Wav2ClipNetwork()
    used = (_ENCODER, _TRANSFORM)
    state = in_single_precision(
        {k: tensor for k, tensor in tensors.items() if k.startswith(used) and k != _WINDOW}
    )
    needed = {name: tuple(tensor.shape) for name, tensor in audio_encoder.state_dict().items()}
    check_shapes(space, path, state, needed)
    audio_encoder.load_state_dict(state)
    return audio_encoder.eval()


def _of_clip(pairs: Sequence[tuple[Modality, Any]]) -> tuple[tuple[Modality, Any], ...]:
    return tuple((modality, value) for modality, value in pairs if modality != "audio")


# --- preprocessing -------------------------------------------------------------------


def features(sound: Any) -> NDArray[np.float32]:
    """Return the standardised log-power spectrogram of a decoded sound.

    Sounds of more than a minute are cut to their middle; those too short for one window are
    repeated. Silence, which has no deviation to divide by, is all zeros.

    Args:
        sound: a ``Waveform``.

    Returns:
        (1, 257, n // 353 + 1) float32, mean 0, deviation 1.

    Raises:
        MediaError: it is not a usable sound.
    """
    samples = centre(resample(clipped(sound), RATE_HZ), _MOST_S)
    if len(samples) < _FFT:
        samples = np.resize(samples, _FFT)
    spectrum = torch.stft(
        torch.from_numpy(samples),
        _FFT,
        _HOP,
        window=torch.hann_window(_FFT),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    # The small numbers here and below are those of the package.
    loudness = (spectrum.real.square() + spectrum.imag.square() + 1e-7).log()
    spread, mean = torch.std_mean(loudness)
    if float(spread) < 1e-5:
        return np.zeros((1, *loudness.shape), np.float32)
    scaled: NDArray[np.float32] = ((loudness - mean) / (spread + 1e-9))[None].numpy()
    return scaled
