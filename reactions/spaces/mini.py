"""The mini lab's encoders: small networks that stand in for ImageBind, InternVL and CLAP.

Real ones in all but size: they were trained contrastively on media, and take images of
any shape, sounds of any rate and any string. What they know is the mini lab's world.
"""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reactions.data import media
from reactions.errors import DataError, MediaError, MissingError
from reactions.hashing import file_digest
from reactions.kinds import Item, Modality, SpaceSpec, Waveform

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "molspace-mini-encoder-1"
_METADATA = "molspace"

SIDE = 32
RATE_HZ = 8000
SAMPLES = 4000
PREPROCESSING: Mapping[Modality, str] = {
    "audio": "8khz-centre-half-second-repeat-logmel32-1",
    "image": "square-centre-crop-bicubic-rgb32-1",
    "text": "hashed-words-trigrams-1",
}
"""Tags that change whenever preprocessing can change an embedding."""

SHIPPED = Path(__file__).parents[1] / "labs" / "weights"
"""Where relative sources lie."""

BATCH_ROWS = 256

_FFT, _HOP, _MELS = 256, 125, 32
_MIN_RATE_HZ, _MAX_RATE_HZ = 100, 1_000_000
_LOUDNESS, _QUIET = 0.1, 1e-4  # root mean square after levelling; below which not levelled
_WORD_BUCKETS, _GRAM_BUCKETS = 4096, 2048
_MAX_WORDS, _MAX_GRAMS = 64, 320
_WORD = re.compile(r"\w+|[^\w\s]")


class _Convolutions(nn.Module):
    """Strided 3-layer (or wider) CNN, mean and max over what is left, then linear.

    Args:
        channels: of the input and of each layer.
        dim: width of the output.
    """

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise(channels)):
            kernel, stride = (5, 2) if i == 0 else (3, 2 if i < 3 else 1)
            layers += [
                nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(2 * channels[-1], dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (n, channels, h, w) to (n, dim), not normalised."""
        x = self.layers(x.contiguous(memory_format=torch.channels_last))
        pooled: Tensor = self.head(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))
        return pooled


class _Bag(nn.Module):
    """Means of hashed word and letter-trigram vectors, then two linear layers.

    Args:
        width: of the word and of the trigram vectors.
        hidden: between the linear layers.
        dim: width of the output.
    """

    def __init__(self, width: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(_WORD_BUCKETS, width, mode="mean", padding_idx=0)
        self.grams = nn.EmbeddingBag(_GRAM_BUCKETS, width, mode="mean", padding_idx=0)
        self.hidden = nn.Linear(2 * width, hidden)
        self.head = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (n, tokens) padded ids, words first, to (n, dim), not normalised."""
        words, grams = x[:, :_MAX_WORDS], x[:, _MAX_WORDS:]
        bag = torch.cat([self.words(words), self.grams(grams)], dim=1)
        out: Tensor = self.head(torch.relu(self.hidden(bag)))
        return out


class Towers(nn.Module):
    """One small network for each modality of a space.

    Args:
        dim: width of the embeddings.
        shape: (modality, sizes) pairs: hidden channels for image and audio; vector width
            and hidden width for text.
    """

    def __init__(self, dim: int, shape: Mapping[Modality, Sequence[int]]) -> None:
        super().__init__()
        self.dim = dim
        self.shape = {modality: tuple(sizes) for modality, sizes in sorted(shape.items())}
        towers: dict[str, nn.Module] = {}
        for modality, sizes in self.shape.items():
            if modality == "text":
                towers[modality] = _Bag(sizes[0], sizes[1], dim)
            else:
                towers[modality] = _Convolutions((3 if modality == "image" else 1, *sizes), dim)
        self.towers = nn.ModuleDict(towers)

    def forward(self, modality: Modality, features: Tensor) -> Tensor:
        """Embed one modality's features: (n, dim), unit-norm rows."""
        return nn.functional.normalize(self.towers[modality](features), dim=-1)

    def save(self, path: Path, *, name: str) -> None:
        """Write weights to a safetensors file: matrices in half precision, vectors in single."""
        from safetensors.torch import save

        tensors = {
            key: (value.half() if value.ndim > 1 else value.float()).contiguous()
            for key, value in self.state_dict().items()
            if not key.endswith("num_batches_tracked")
        }
        about = {"format": FORMAT, "name": name, "dim": self.dim, "shape": self.shape}
        # One entry only: safetensors writes several in an order that changes from run to run.
        path.write_bytes(save(tensors, {_METADATA: json.dumps(about, sort_keys=True)}))

    @classmethod
    def open(cls, path: Path) -> Towers:
        """Read what ``save`` wrote, in single precision and eval mode.

        Raises:
            DataError: not a file that ``save`` wrote.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
                tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
            if about.get("format") != FORMAT:
                raise ValueError(f"format is {about.get('format')!r}, not {FORMAT!r}")
            towers = cls(about["dim"], about["shape"])
            for key, value in towers.state_dict().items():
                if key.endswith("num_batches_tracked"):
                    tensors.setdefault(key, torch.zeros_like(value))
            towers.load_state_dict(tensors)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise DataError(
                f"cannot read mini weights '{path}'",
                why=" ".join(str(error).split()),
                fix="reinstall molspace, or train them again: molspace lab train --out DIR",
                path=str(path),
            ) from error
        return towers.eval()


class MiniEncoder:
    """A loaded mini space.

    Args:
        spec: what is known of it.
        towers: its networks, in eval mode.
        device: where to compute.
    """

    def __init__(self, spec: SpaceSpec, towers: Towers, *, device: str) -> None:
        self.spec = spec
        self._towers = towers.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items of one modality.

        Args:
            modality: one of the space's.
            items: values in memory (arrays, waveforms, strings) or paths of files.

        Returns:
            (len(items), dim) float32, unit-norm rows, in order.

        Raises:
            MediaError: an item cannot be decoded; ``fields["id"]`` names it.
            DataError: the space does not embed this modality.
        """
        if modality not in self._towers.shape:
            raise DataError(
                f"'{self.spec.name}' does not embed {modality}",
                why="it embeds " + ", ".join(self._towers.shape),
                space=self.spec.name,
                modality=modality,
            )
        out = np.empty((len(items), self.spec.dim), np.float32)
        for start in range(0, len(items), BATCH_ROWS):
            batch = [media.load(item) for item in items[start : start + BATCH_ROWS]]
            features = _FEATURES[modality](batch).to(self._device)
            out[start : start + len(batch)] = self._towers(modality, features).cpu().numpy()
        return out


def load(spec: SpaceSpec, *, device: str) -> MiniEncoder:
    """Open a mini space.

    Args:
        spec: its ``source`` is a safetensors file, absolute or one of those shipped.
        device: ``"cpu"`` or ``"cuda:N"``.

    Raises:
        MissingError: there is no such file.
        DataError: the file is not the one ``spec.weights_digest`` names, or is damaged.
    """
    path = SHIPPED / spec.source  # an absolute source stays what it is
    if not path.is_file():
        raise MissingError(
            f"no weights for space '{spec.name}'",
            why=f"there is no file '{path}'",
            fix="reinstall molspace, or train them again: molspace lab train --out DIR",
            space=spec.name,
            path=str(path),
        )
    found = file_digest(path)
    if spec.weights_digest and found != spec.weights_digest:
        raise DataError(
            f"the weights of space '{spec.name}' are not the ones this lab names",
            why=f"'{path}' has SHA-256 {found[:12]}..., not {spec.weights_digest[:12]}...",
            fix="restore the file, or put its digest into the lab file",
            space=spec.name,
            path=str(path),
            expected=spec.weights_digest,
            found=found,
        )
    towers = Towers.open(path)
    if towers.dim != spec.dim or tuple(towers.shape) != spec.modalities:
        raise DataError(
            f"the weights of space '{spec.name}' do not fit its description",
            why=f"they embed {', '.join(towers.shape)} in {towers.dim} dimensions, "
            f"not {', '.join(spec.modalities)} in {spec.dim}",
            space=spec.name,
            path=str(path),
        )
    return MiniEncoder(spec, towers, device=device)


# --- preprocessing -------------------------------------------------------------------


def image_features(pixels: NDArray[np.uint8]) -> Tensor:
    """Scale (n, 32, 32, 3) uint8 to (n, 3, 32, 32) float32 in about [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def audio_features(samples: Tensor) -> Tensor:
    """Log-mel spectrograms of levelled sound.

    Args:
        samples: (n, 4000) float32 at 8 kHz.

    Returns:
        (n, 1, 32, 33) float32, about zero mean and unit scale.
    """
    level = samples.square().mean(dim=1, keepdim=True).sqrt()
    levelled = samples * (_LOUDNESS / level.clamp_min(_QUIET))
    window = torch.hann_window(_FFT)
    spectrum = torch.stft(
        levelled, _FFT, _HOP, window=window, center=True, pad_mode="constant", return_complex=True
    )
    mel = _mel_filters() @ (spectrum.real.square() + spectrum.imag.square())
    return ((mel + 1e-3).log10()[:, None] + 0.5) * 0.8


def text_features(texts: Sequence[str]) -> Tensor:
    """Hash words and letter trigrams: (n, 64 + 320) int64 bucket numbers, 0 for none."""
    out = np.zeros((len(texts), _MAX_WORDS + _MAX_GRAMS), np.int64)
    for row, text in zip(out, texts, strict=True):
        hashed = [_hash_word(word) for word in _WORD.findall(text.casefold())[:_MAX_WORDS]]
        row[: len(hashed)] = [word for word, _ in hashed]
        grams = [gram for _, found in hashed for gram in found][:_MAX_GRAMS]
        row[_MAX_WORDS : _MAX_WORDS + len(grams)] = grams
    return torch.from_numpy(out)


@lru_cache(maxsize=1024)
def _hash_word(word: str) -> tuple[int, tuple[int, ...]]:
    """Return the word's bucket and those of its letter trigrams, all >= 1."""
    edged = f"<{word}>"
    grams = (edged[i : i + 3] for i in range(len(edged) - 2))
    return (
        1 + zlib.crc32(word.encode("utf-8", "surrogatepass")) % (_WORD_BUCKETS - 1),
        tuple(
            1 + zlib.crc32(gram.encode("utf-8", "surrogatepass")) % (_GRAM_BUCKETS - 1)
            for gram in grams
        ),
    )


@lru_cache(maxsize=1)
def _mel_filters() -> Tensor:
    """Return (32, 129) triangular filters, evenly spaced in mel from 60 Hz to 4 kHz."""

    def mel(hertz: float) -> float:
        return 2595.0 * float(np.log10(1.0 + hertz / 700.0))

    edges = 700.0 * (10.0 ** (np.linspace(mel(60.0), mel(4000.0), _MELS + 2) / 2595.0) - 1.0)
    bins = np.arange(_FFT // 2 + 1) * (RATE_HZ / _FFT)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    # The lowest triangles are narrower than a bin and may miss them all.
    nearest = np.abs(bins - centre).argmin(axis=1)
    filters[np.arange(_MELS), nearest] = np.maximum(filters[np.arange(_MELS), nearest], 0.5)
    return torch.from_numpy(filters.astype(np.float32))


def _images(items: Sequence[Item]) -> Tensor:
    return image_features(np.stack([_square(item) for item in items]))


def _sounds(items: Sequence[Item]) -> Tensor:
    return audio_features(torch.from_numpy(np.stack([_half_second(item) for item in items])))


def _texts(items: Sequence[Item]) -> Tensor:
    for item in items:
        if not isinstance(item.value, str):
            raise _unusable(item, "a string")
    return text_features([item.value for item in items])


_FEATURES = {"image": _images, "audio": _sounds, "text": _texts}


def _square(item: Item) -> NDArray[np.uint8]:
    """Return the centre square of an image at 32 x 32, (32, 32, 3) uint8."""
    pixels = item.value
    if not (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.ndim == 3
        and pixels.shape[2] == 3
        and min(pixels.shape) > 0
    ):
        raise _unusable(item, "(h, w, 3) uint8 pixels")
    if pixels.shape == (SIDE, SIDE, 3):
        return pixels
    from PIL import Image

    height, width, _ = pixels.shape
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def _half_second(item: Item) -> NDArray[np.float32]:
    """Return the middle half second at 8 kHz, (4000,) float32; short sounds are repeated."""
    sound = item.value
    if not isinstance(sound, Waveform) or sound.samples.ndim != 1 or len(sound.samples) == 0:
        raise _unusable(item, "a waveform of at least one sample")
    if not _MIN_RATE_HZ <= sound.rate_hz <= _MAX_RATE_HZ:
        raise _unusable(item, f"a rate of {_MIN_RATE_HZ} to {_MAX_RATE_HZ} Hz")
    if not np.isfinite(sound.samples).all():
        raise _unusable(item, "finite samples")
    # Cut or repeat first: an hour-long file costs no more than a short one.
    wanted = round(SAMPLES * sound.rate_hz / RATE_HZ)
    samples = sound.samples.astype(np.float32, copy=False)
    if len(samples) < wanted:
        samples = np.resize(samples, wanted)
    start = (len(samples) - wanted) // 2
    part = Waveform(samples[start : start + wanted], sound.rate_hz)
    return np.resize(media.resample(part, RATE_HZ).samples, SAMPLES)


def _unusable(item: Item, wanted: str) -> MediaError:
    value: Any = item.value
    kind = f"{value.dtype} array of shape {value.shape}" if isinstance(value, np.ndarray) else ""
    return MediaError(
        f"cannot embed {item.modality} '{item.id}'",
        why=f"it needs {wanted}" + (f", not {kind}" if kind else ""),
        id=item.id,
    )
