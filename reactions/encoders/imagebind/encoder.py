"""ImageBind at work: items to network inputs, and those to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import DataError, MediaError
from reactions.core.types import Item, Modality, Prepared, SpaceSpec, Waveform
from reactions.encoders.imagebind import images, sound
from reactions.encoders.imagebind.checkpoint import Towers
from reactions.encoders.imagebind.unusable import Unusable
from reactions.encoders.preprocessing import clip_bpe
from reactions.modalities import registry
from reactions.modalities.audio import of_channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_RATE_HZ, _MAX_RATE_HZ = 100, 384_000
_ROWS: Mapping[Modality, int] = {"audio": 32, "text": 256}
_OTHER_ROWS = 64
"""Items that ``embed`` passes forward at once, so that activations stay near a gigabyte."""


class ImageBindEncoder:
    """A loaded ImageBind.

    Args:
        spec: what is known of it.
        towers: its networks.
    """

    def __init__(self, spec: SpaceSpec, towers: Towers) -> None:
        self.spec = spec
        self._towers = towers

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items of one modality.

        Args:
            modality: one of the space's.
            items: paths, or values in memory: strings, waveforms, (h, w, 3) uint8 pixels (also
                of thermal images), (h, w) float32 standardised disparities for depth. The
                first channel of sound files is used, as published.

        Returns:
            (len(items), dim) float32, unit-norm rows, in order.

        Raises:
            MediaError: an item cannot be decoded; ``fields["id"]`` names it.
            DataError: the space does not embed this modality, or an embedding is not finite.
        """
        out = np.empty((len(items), self.spec.dim), np.float32)
        rows = _ROWS.get(modality, _OTHER_ROWS)
        for start in range(0, len(items), rows):
            batch = items[start : start + rows]
            found = self.forward(modality, [self.preprocess(modality, item) for item in batch])
            for item, row in zip(batch, found, strict=True):
                if not 0.5 < float(np.linalg.norm(row)) < 2.0:  # NaN is not, either
                    raise DataError(
                        f"'{self.spec.name}' gave no usable embedding for {modality} '{item.id}'",
                        why="it is zero or not finite",
                        fix="leave the item out, or check the weights",
                        id=item.id,
                    )
            out[start : start + len(batch)] = found
        return out

    def preprocess(self, modality: Modality, item: Item) -> Prepared:
        """Decode one item and make the network's input of it; safe to call from threads.

        Returns:
            audio: (3, 1, 128, 204) float32, clips of two seconds; image: (3, 224, 224) float32;
            text: (n,) int64, n <= 77; depth and thermal: (1, 224, 224) float32.

        Raises:
            MediaError: the item cannot be decoded; ``fields["id"]`` names it.
            DataError: the space does not embed this modality.
        """
        self._require(modality)
        try:
            return _PREPARE[modality](item)
        except Unusable as error:
            raise MediaError(
                f"cannot embed {modality} '{item.id}'", why=str(error), id=item.id
            ) from error
        except MediaError as error:
            error.fields["id"] = item.id
            raise

    @torch.inference_mode()
    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed what ``preprocess`` made, all at once.

        Returns:
            (len(inputs), dim) float32, unit-norm rows, in order: of sound, the mean over its
            clips, each normalised and scaled as the checkpoint says, normalised again.

        Raises:
            DataError: the space does not embed this modality.
        """
        self._require(modality)
        if not inputs:
            return np.empty((0, self.spec.dim), np.float32)
        features = _padded(inputs) if modality == "text" else torch.from_numpy(np.stack(inputs))
        if modality == "audio":
            found = self._towers(modality, features.flatten(0, 1))
            found = found.view(len(inputs), -1, self.spec.dim).mean(dim=1)
        else:
            found = self._towers(modality, features)
        out: NDArray[np.float32] = torch.nn.functional.normalize(found, dim=-1).cpu().numpy()
        return out

    def _require(self, modality: Modality) -> None:
        if modality not in self.spec.modalities:
            raise DataError(
                f"'{self.spec.name}' does not embed {modality}",
                why="it embeds " + ", ".join(self.spec.modalities),
                space=self.spec.name,
                modality=modality,
            )


# --- preprocessing -------------------------------------------------------------------


def _sound(item: Item) -> NDArray[np.float32]:
    value = registry.load(item, of_channel(0)).value
    if not isinstance(value, Waveform) or value.samples.ndim != 1:
        raise Unusable("it needs a waveform of one channel")
    if not _MIN_RATE_HZ <= value.rate_hz <= _MAX_RATE_HZ:
        raise Unusable(f"it needs a rate of {_MIN_RATE_HZ} to {_MAX_RATE_HZ} Hz")
    if not np.isfinite(value.samples).all():
        raise Unusable("not every sample is finite")
    return sound.clips(value.samples, value.rate_hz)


def _image(item: Item) -> NDArray[np.float32]:
    return images.colour(registry.load(item).value)


def _thermal(item: Item) -> NDArray[np.float32]:
    return images.grey(registry.load(item).value)


def _depth(item: Item) -> NDArray[np.float32]:
    return images.disparity(registry.load(item).value)


def _text(item: Item) -> NDArray[np.int64]:
    text = registry.load(item).value
    if not isinstance(text, str):
        raise Unusable("it needs a string")
    return clip_bpe.tokenize(text)


_PREPARE: Mapping[Modality, Callable[[Item], Prepared]] = {
    "audio": _sound,
    "depth": _depth,
    "image": _image,
    "text": _text,
    "thermal": _thermal,
}


def _padded(batch: Sequence[Any]) -> Tensor:
    """Return ids as (n, longest) int64; what follows the end token is not looked at."""
    out = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.int64)
    for row, ids in zip(out, batch, strict=True):
        row[: len(ids)] = torch.from_numpy(ids)
    return out
