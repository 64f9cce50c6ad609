"""The ImageBind space: preprocessing, forward pass, and what a lab file says of it.

The published model is under CC-BY-NC-SA 4.0: not for commercial use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reactions.data import media
from reactions.data.digests import DigestCache
from reactions.errors import DataError, MediaError
from reactions.kinds import Item, Modality, Prepared, SpaceSpec, Waveform
from reactions.spaces.imagebind import pictures, sound, tokens, weights
from reactions.spaces.imagebind.towers import PUBLISHED, Sizes, flops
from reactions.spaces.imagebind.unusable import Unusable

if TYPE_CHECKING:
    from numpy.typing import NDArray

LICENCE = "CC-BY-NC-SA-4.0"
HUB = "image"
MODALITIES: tuple[Modality, ...] = ("audio", "image", "text")
"""Those with published preprocessing; depth and thermal can be asked for as well."""

PREPROCESSING: Mapping[Modality, str] = {
    "audio": "first-channel-16khz-3x2s-fbank128x204-1",
    "depth": "disparity-bicubic224-centre-1",
    "image": "bicubic224-centre-clip-statistics-1",
    "text": "clip-bpe77-keeps-end-token-1",
    "thermal": "grey-bicubic224-centre-1",
}
"""Tags that change whenever preprocessing can change an embedding."""

_MIN_RATE_HZ, _MAX_RATE_HZ = 100, 384_000
_ROWS: Mapping[Modality, int] = {"audio": 32, "text": 256}
_OTHER_ROWS = 64
"""Items in one forward pass, so that activations stay near a gigabyte."""


class ImageBindEncoder:
    """A loaded ImageBind.

    Args:
        spec: what is known of it.
        towers: its networks.
    """

    def __init__(self, spec: SpaceSpec, towers: weights.Towers) -> None:
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
        """Embed what ``preprocess`` made.

        Returns:
            (len(inputs), dim) float32, unit-norm rows, in order: of sound, the mean over its
            clips, each normalised and scaled as the checkpoint says, normalised again.

        Raises:
            DataError: the space does not embed this modality.
        """
        self._require(modality)
        out = np.empty((len(inputs), self.spec.dim), np.float32)
        rows = _ROWS.get(modality, _OTHER_ROWS)
        for start in range(0, len(inputs), rows):
            batch = inputs[start : start + rows]
            features = _padded(batch) if modality == "text" else torch.from_numpy(np.stack(batch))
            if modality == "audio":
                found = self._towers(modality, features.flatten(0, 1))
                found = found.view(len(batch), -1, self.spec.dim).mean(dim=1)
            else:
                found = self._towers(modality, features)
            unit = torch.nn.functional.normalize(found, dim=-1)
            out[start : start + len(batch)] = unit.cpu().numpy()
        return out

    def _require(self, modality: Modality) -> None:
        if modality not in self.spec.modalities:
            raise DataError(
                f"'{self.spec.name}' does not embed {modality}",
                why="it embeds " + ", ".join(self.spec.modalities),
                space=self.spec.name,
                modality=modality,
            )


def load(
    spec: SpaceSpec,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    heads: Mapping[Modality, int] | None = None,
    digests: DigestCache | None = None,
) -> ImageBindEncoder:
    """Open an ImageBind space.

    Only the towers of ``spec.modalities`` are looked for, and each is brought to the
    device when it is first used.

    Args:
        spec: its ``source`` is the published ``imagebind_huge.pth``, the same weights as
            safetensors, or a folder with either.
        device: ``"cpu"`` or ``"cuda:N"``.
        dtype: of weights and activations.
        heads: modality to attention heads, for sizes other than the published one.
        digests: remembers digests of large files.

    Raises:
        MissingError: there is no such file, or a package is missing.
        DataError: the file is not the one ``spec.weights_digest`` names, is damaged, or
            does not fit.
    """
    path = weights.find(Path(spec.source), space=spec.name)
    if "text" in spec.modalities:
        tokens.require_ftfy()
    if spec.weights_digest:
        found = (digests or DigestCache()).of(path)
        if found != spec.weights_digest:
            raise DataError(
                f"the weights of space '{spec.name}' are not the ones this lab names",
                why=f"'{path}' has SHA-256 {found[:12]}..., not {spec.weights_digest[:12]}...",
                fix="restore the file, or put its digest into the lab file",
                space=spec.name,
                path=str(path),
                expected=spec.weights_digest,
                found=found,
            )
    checkpoint, sizes = _open(path, spec.modalities, heads)
    if sizes.dim != spec.dim:
        raise DataError(
            f"the weights of space '{spec.name}' do not fit its description",
            why=f"they embed in {sizes.dim} dimensions, not {spec.dim}",
            space=spec.name,
            path=str(path),
        )
    return ImageBindEncoder(spec, weights.Towers(checkpoint, sizes, device=device, dtype=dtype))


def load_float16(spec: SpaceSpec, *, device: str = "cpu") -> ImageBindEncoder:
    """Open an ImageBind space in half precision: half the memory, faster on GPUs.

    An adapter of its own, since it changes results (in the third digit) and so step keys.
    """
    return load(spec, device=device, dtype=torch.float16)


def load_bfloat16(spec: SpaceSpec, *, device: str = "cpu") -> ImageBindEncoder:
    """Open an ImageBind space in bfloat16; see ``load_float16``."""
    return load(spec, device=device, dtype=torch.bfloat16)


def describe(
    source: Path,
    *,
    name: str = "ImageBind",
    modalities: Sequence[Modality] = MODALITIES,
    heads: Mapping[Modality, int] | None = None,
    digest: str = "",
) -> SpaceSpec:
    """Describe the space of a checkpoint, reading no more than its keys and shapes.

    Args:
        source: as for ``load``.
        name: as written in reactions.
        modalities: the towers to use.
        heads: as for ``load``.
        digest: SHA-256 of the file, where it is known.

    Raises:
        MissingError: there is no such file.
        DataError: the file is damaged or does not fit.
    """
    path = weights.find(source, space=name)
    wanted = tuple(sorted(set(modalities)))
    _, sizes = _open(path, wanted, heads)
    return SpaceSpec(
        name=name,
        dim=sizes.dim,
        modalities=wanted,
        adapter="imagebind",
        source=str(path.absolute()),
        licence=LICENCE,
        weights_digest=digest,
        preprocessing=tuple((m, PREPROCESSING[m]) for m in wanted),
        hub=HUB if HUB in wanted else None,
        flops_per_item=tuple((m, flops(m, sizes)) for m in wanted),
    )


def _open(
    path: Path, modalities: Sequence[Modality], heads: Mapping[Modality, int] | None
) -> tuple[weights.Checkpoint, Sizes]:
    strangers = [modality for modality in modalities if modality not in PUBLISHED]
    if strangers:
        raise DataError(
            f"ImageBind does not embed {', '.join(strangers)}",
            why="it embeds " + ", ".join(sorted(PUBLISHED)),
            modalities=list(modalities),
        )
    checkpoint = weights.read(path)
    return checkpoint, weights.sizes_of(checkpoint, modalities, heads)


# --- preprocessing -------------------------------------------------------------------


def _sound(item: Item) -> NDArray[np.float32]:
    value = item.value
    if isinstance(value, Path):
        value = media.load_audio(value, channel=0)
    if not isinstance(value, Waveform) or value.samples.ndim != 1:
        raise Unusable("it needs a waveform of one channel")
    if not _MIN_RATE_HZ <= value.rate_hz <= _MAX_RATE_HZ:
        raise Unusable(f"it needs a rate of {_MIN_RATE_HZ} to {_MAX_RATE_HZ} Hz")
    if not np.isfinite(value.samples).all():
        raise Unusable("not every sample is finite")
    return sound.clips(value.samples, value.rate_hz)


def _image(item: Item) -> NDArray[np.float32]:
    return pictures.colour(media.load(item).value)


def _thermal(item: Item) -> NDArray[np.float32]:
    return pictures.grey(
        media.load_image(item.value) if isinstance(item.value, Path) else item.value
    )


def _depth(item: Item) -> NDArray[np.float32]:
    value: Any = item.value
    if isinstance(value, Path):
        try:
            value = np.load(value, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise MediaError(
                f"cannot read the disparities '{item.value}'",
                why=" ".join(str(error).split()),
                fix="save (h, w) float32 as npy",
                path=str(item.value),
            ) from error
    return pictures.disparity(value)


def _text(item: Item) -> NDArray[np.int64]:
    text = media.load(item).value
    if not isinstance(text, str):
        raise Unusable("it needs a string")
    return tokens.tokenize(text)


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
