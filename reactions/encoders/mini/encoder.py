"""Mini spaces, loaded: prepare one item at a time, embed a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import DataError, MissingError
from reactions.core.hashing import file_digest
from reactions.core.types import Item, Modality, Prepared, SpaceSpec
from reactions.encoders.mini.features import (
    audio_features,
    half_second,
    image_features,
    padded,
    square,
    words,
)
from reactions.encoders.mini.towers import Towers
from reactions.modalities.registry import load as decoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHIPPED = Path(__file__).parents[2] / "labs" / "weights"
"""Where relative sources lie."""

BATCH_ROWS = 256

_PREPARE: Mapping[Modality, Callable[[Item], Prepared]] = {
    "audio": half_second,
    "image": square,
    "text": words,
}


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

    def preprocess(self, modality: Modality, item: Item) -> Prepared:
        """Decode, crop, resample or hash one item; safe to call from several threads.

        Args:
            modality: one of the space's.
            item: its value in memory (array, waveform, string) or in a file.

        Returns:
            (32, 32, 3) uint8, (4000,) float32, or two (tokens,) int64 arrays.

        Raises:
            MediaError: the item cannot be decoded; ``fields["id"]`` names it.
            DataError: the space does not embed this modality.
        """
        self._check(modality)
        return _PREPARE[modality](decoded(item))

    @torch.inference_mode()
    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch of prepared items; spectrograms are made here, for all at once.

        Returns:
            (len(inputs), dim) float32, unit-norm rows, in order.

        Raises:
            DataError: the space does not embed this modality.
        """
        self._check(modality)
        if not inputs:
            return np.empty((0, self.spec.dim), np.float32)
        features = _features(modality, inputs, self._device)
        rows: NDArray[np.float32] = self._towers(modality, features).cpu().numpy()
        return rows

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items of one modality, ``BATCH_ROWS`` at a time.

        Returns:
            (len(items), dim) float32, unit-norm rows, in order.

        Raises:
            MediaError: an item cannot be decoded; ``fields["id"]`` names it.
            DataError: the space does not embed this modality.
        """
        self._check(modality)
        out = np.empty((len(items), self.spec.dim), np.float32)
        for start in range(0, len(items), BATCH_ROWS):
            batch = [self.preprocess(modality, item) for item in items[start : start + BATCH_ROWS]]
            out[start : start + len(batch)] = self.forward(modality, batch)
        return out

    def _check(self, modality: Modality) -> None:
        if modality not in self._towers.shape:
            raise DataError(
                f"'{self.spec.name}' does not embed {modality}",
                why="it embeds " + ", ".join(self._towers.shape),
                space=self.spec.name,
                modality=modality,
            )


def _features(modality: Modality, inputs: Sequence[Any], device: str) -> Tensor:
    if modality == "text":
        return padded(inputs).to(device)
    stacked = torch.from_numpy(np.stack(inputs)).to(device)
    return image_features(stacked) if modality == "image" else audio_features(stacked)


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
