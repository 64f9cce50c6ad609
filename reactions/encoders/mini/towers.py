"""The networks of the mini lab's spaces, and the file they are kept in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from reactions.core.errors import DataError
from reactions.core.types import Modality
from reactions.encoders.mini.features import GRAM_BUCKETS, MAX_WORDS, WORD_BUCKETS

FORMAT = "molspace-mini-encoder-1"
_METADATA = "molspace"


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
        self.words = nn.EmbeddingBag(WORD_BUCKETS, width, mode="mean", padding_idx=0)
        self.grams = nn.EmbeddingBag(GRAM_BUCKETS, width, mode="mean", padding_idx=0)
        self.hidden = nn.Linear(2 * width, hidden)
        self.head = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (n, tokens) padded ids, words first, to (n, dim), not normalised."""
        words, grams = x[:, :MAX_WORDS], x[:, MAX_WORDS:]
        bag = torch.cat([self.words(words), self.grams(grams)], dim=1)
        out: Tensor = self.head(torch.relu(self.hidden(bag)))
        return out


class _Cloud(nn.Module):
    """PointNet: the same layers for every point, their mean and maximum, then two linear layers.

    Args:
        channels: of each layer.
        dim: width of the output.
    """

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((3, *channels)):
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.hidden = nn.Linear(2 * channels[-1], channels[-1])
        self.head = nn.Linear(channels[-1], dim)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (n, points, 3) to (n, dim), not normalised."""
        n, points, _ = x.shape
        point_features = self.layers(x.reshape(n * points, 3)).reshape(n, points, -1)
        pooled = torch.cat([point_features.mean(dim=1), point_features.amax(dim=1)], dim=1)
        out: Tensor = self.head(torch.relu(self.hidden(pooled)))
        return out


_CHANNELS: Mapping[Modality, int] = {"audio": 1, "depth": 1, "event": 6, "image": 3, "thermal": 1}
"""Of what a modality's convolutions look at."""


class Towers(nn.Module):
    """One small network for each modality of a space.

    Args:
        dim: width of the embeddings.
        shape: (modality, sizes) pairs: vector width and hidden width for text; hidden channels
            for all others.

    Raises:
        ValueError: a modality that no network is for.
    """

    def __init__(self, dim: int, shape: Mapping[Modality, Sequence[int]]) -> None:
        super().__init__()
        self.dim = dim
        self.shape = {modality: tuple(sizes) for modality, sizes in sorted(shape.items())}
        towers: dict[str, nn.Module] = {}
        for modality, sizes in self.shape.items():
            if modality == "text":
                towers[modality] = _Bag(sizes[0], sizes[1], dim)
            elif modality == "point":
                towers[modality] = _Cloud(sizes, dim)
            elif modality in _CHANNELS:
                towers[modality] = _Convolutions((_CHANNELS[modality], *sizes), dim)
            else:
                raise ValueError(f"there is no network for {modality}")
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
            # Counters of training, which save leaves out, and loading asks for.
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
