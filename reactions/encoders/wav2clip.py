"""WAV2CLIP: a ResNet-18 that hears sounds into the space of CLIP ViT-B/32.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reactions.core.errors import DimensionMismatch
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.types import Item, Modality, Prepared, SpaceSpec, StagedEncoder, Waveform
from reactions.encoders.base import Tower, TowerEncoder
from reactions.encoders.clap.audio_features import usable
from reactions.encoders.uri import join_options, split_options
from reactions.modalities.audio import resample
from reactions.weights.locate import Requirement, WeightLocator, WeightsFile, verify
from reactions.weights.locate import digest_cache as remembered_digests
from reactions.weights.safe_load import check_shapes, find, read_tensors, verify_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

ADAPTER = "wav2clip"
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

RATE_HZ = 16_000
_FFT, _HOP = 512, 353
_MOST_S = 60
PREPROCESSING = "16khz-whole-or-centre-minute-logpower257-standardised-1"
"""Tag that changes whenever preprocessing can change an embedding."""

FLOPS_PER_ITEM = 8.7e9
"""Counted for ten seconds; it grows with the length."""

_ENCODER, _TRANSFORM = "audio_encoder.", "audio_transform."
_WINDOW = "audio_encoder.spectrogram.window"


class AudioEncoder(nn.Module):
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


class JoinedEncoder:
    """Encoders of different modalities as one space.

    Args:
        spec: of the space they make up.
        parts: modality to the encoder that embeds it.
    """

    def __init__(self, spec: SpaceSpec, parts: Mapping[Modality, StagedEncoder]) -> None:
        self.spec = spec
        self._parts = dict(parts)
        self._any = next(iter(self._parts.values()))

    def preprocess(self, modality: Modality, item: Item) -> Prepared:
        """Prepare one item by the encoder of its modality."""
        return self._parts.get(modality, self._any).preprocess(modality, item)

    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch by the encoder of its modality."""
        return self._parts.get(modality, self._any).forward(modality, inputs)

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items by the encoder of their modality."""
        return self._parts.get(modality, self._any).embed(modality, items)


# --- describing and loading ----------------------------------------------------------


def resolve(
    uri: str,
    *,
    name: str = "",
    digest_cache: DigestCache | None = None,
    locator: WeightLocator | None = None,
) -> SpaceSpec:
    """Describe the space of a WAV2CLIP checkpoint and the CLIP it belongs to.

    Args:
        uri: see the module.
        name: what the space is called; "" calls it after the file.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: the checkpoint or CLIP is not on this machine.
        DimensionMismatch: the image-text model is of another width.
    """
    wanted, clip_uri = _parse(uri)
    called = name or Path(wanted).stem
    where = locator or WeightLocator.of_environment()
    path, published = find(ADAPTER, wanted, called, PUBLISHED, where)
    digests = digest_cache or remembered_digests()
    clip = _adapters().resolve_uri(clip_uri, digest_cache=digests, locator=where)
    if clip.dim != DIM or not {"image", "text"} <= set(clip.modalities):
        raise DimensionMismatch(
            f'"{clip_uri}" is not the model that WAV2CLIP hears into',
            why=f"it embeds {', '.join(clip.modalities)} in {clip.dim} dimensions, "
            f"not image and text in {DIM}",
            fix=f"leave clip=... out, for {CLIP}",
        )
    weights = verify(called, published or WeightsFile(path.name), path, digests)
    digests.save()
    return SpaceSpec(
        name=called,
        dim=DIM,
        modalities=("audio", "image", "text"),
        adapter=ADAPTER,
        source=_source(path, clip, clip_uri),
        licence=published.licence if published else "",
        weights_digest=digest(ADAPTER, [weights, clip.weights_digest]),
        preprocessing=(("audio", PREPROCESSING), *_of_clip(clip.preprocessing)),
        hub="image",
        flops_per_item=(("audio", FLOPS_PER_ITEM), *_of_clip(clip.flops_per_item)),
    )


def requirements(uri: str) -> tuple[Requirement, ...]:
    """Return what has to be fetched before a URI can be resolved."""
    wanted, clip_uri = _parse(uri)
    own: tuple[Requirement, ...] = (PUBLISHED[wanted],) if wanted in PUBLISHED else ()
    needs: tuple[Requirement, ...] = _adapters().requirements(clip_uri)
    return own + needs


def load(spec: SpaceSpec, *, device: str = "cpu") -> JoinedEncoder:
    """Open what ``resolve`` described; nothing is downloaded.

    Args:
        spec: its ``source`` is a URI of this module's, with an absolute path.
        device: ``"cpu"`` or ``"cuda:N"``.

    Raises:
        MissingError: the checkpoint, CLIP or a package is missing.
        DataError: not the files that ``spec`` names, or weights that do not fit.
    """
    wanted, clip_uri = _parse(spec.source)
    locator = WeightLocator.of_environment()
    path, _ = find(ADAPTER, wanted, spec.name, PUBLISHED, locator)
    digests = remembered_digests()
    clip = _adapters().resolve_uri(clip_uri, digest_cache=digests, locator=locator)
    verify_digest(spec, digest(ADAPTER, [digests.of(path), clip.weights_digest]), path)
    digests.save()
    eyes = _adapters().load(clip, device)
    hearer = build(spec.name, path, read_tensors(path)).to(device)

    def project(spectrograms: Sequence[NDArray[np.float32]]) -> Tensor:
        return in_groups(hearer, spectrograms, device)

    ears = TowerEncoder(spec, {"audio": Tower(features, project, batch_items=8)})
    return JoinedEncoder(spec, {"audio": ears, "image": eyes, "text": eyes})


def build(space: str, path: Path, tensors: Mapping[str, Tensor]) -> AudioEncoder:
    """Return the audio encoder of a checkpoint, in single precision and eval mode.

    Args:
        space: whose checkpoint it is, for messages.
        path: of the checkpoint, for messages.
        tensors: what it holds; the image side of the training is left alone.

    Raises:
        DataError: missing, extra or mis-shaped tensors.
    """
    hearer = AudioEncoder()
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name.startswith((_ENCODER, _TRANSFORM)) and name != _WINDOW
    }
    needed = {name: tuple(tensor.shape) for name, tensor in hearer.state_dict().items()}
    check_shapes(space, path, state, needed)
    hearer.load_state_dict(state)
    return hearer.eval()


def in_groups(model: nn.Module, inputs: Sequence[NDArray[np.float32]], device: str) -> Tensor:
    """Return a model's outputs for inputs of different lengths, those of one length at once.

    Args:
        model: (n, ...) to (n, dim).
        inputs: of equal shapes but for the last axis.
        device: where the model is.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, array in enumerate(inputs):
        groups.setdefault(array.shape, []).append(i)
    parts = [
        model(torch.from_numpy(np.stack([inputs[i] for i in rows])).to(device))
        for rows in groups.values()
    ]
    order = torch.tensor([i for rows in groups.values() for i in rows])
    return torch.cat(parts)[torch.argsort(order).to(device)]


def _parse(uri: str) -> tuple[str, str]:
    rest, options = split_options(uri, ("clip",))
    return rest or next(iter(PUBLISHED)), options.get("clip", CLIP)


def _source(path: Path, clip: SpaceSpec, clip_uri: str) -> str:
    # Its source, where that is a URI too, is the URI made absolute and pinned.
    scheme = clip_uri.partition(":")[0] + ":"
    return join_options(
        f"{ADAPTER}:{path}", {"clip": clip.source if clip.source.startswith(scheme) else clip_uri}
    )


def _of_clip(pairs: Sequence[tuple[Modality, Any]]) -> tuple[tuple[Modality, Any], ...]:
    return tuple((modality, value) for modality, value in pairs if modality != "audio")


def _adapters() -> Any:
    from reactions.encoders import registry  # it imports adapters by name, this one among them

    return registry


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
    samples = centre(resample(usable(sound), RATE_HZ), _MOST_S)
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
    loudness = (spectrum.real.square() + spectrum.imag.square() + 1e-7).log()
    spread, mean = torch.std_mean(loudness)
    if float(spread) < 1e-5:
        return np.zeros((1, *loudness.shape), np.float32)
    scaled: NDArray[np.float32] = ((loudness - mean) / (spread + 1e-9))[None].numpy()
    return scaled


def centre(sound: Waveform, most_s: float) -> NDArray[np.float32]:
    """Return the samples of a sound, or of its middle ``most_s`` seconds."""
    most = round(most_s * sound.rate_hz)
    start = max(0, (len(sound.samples) - most) // 2)
    return sound.samples[start : start + most]
