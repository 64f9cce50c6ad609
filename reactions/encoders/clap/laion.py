"""laion_clap checkpoints, opened without the laion_clap package.

Importing that package asks a hub for three tokenizers and retries for minutes; its network
is transformers' ClapModel under other names, and that is what runs here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.errors import DataError
from reactions.core.file_digests import DigestCache
from reactions.core.types import SpaceSpec
from reactions.encoders.clap import keys, text
from reactions.encoders.clap.audio_features import ClapAudioConfig
from reactions.encoders.clap.encoder import MODALITIES, encoder
from reactions.encoders.preprocessing.log_mel import mel_filters
from reactions.encoders.published import Checkpoint, CheckpointAdapter
from reactions.encoders.tower import TowerEncoder
from reactions.weights.locate import Requirement, WeightLocator, WeightsFile
from reactions.weights.safe_load import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

DIM = 512
"""Of every laion_clap model: its package can make no other."""

_REPO, _REVISION = "lukewys/laion_clap", "b3708341862f581175dba5c356a4ebf74a9b6651"
_LICENCE = "CC0-1.0"

PUBLISHED: Mapping[str, WeightsFile] = {
    name: WeightsFile(name, _REPO, _REVISION, sha256=sha256, licence=_LICENCE)
    for name, sha256 in (
        ("630k-best.pt", ""),
        ("630k-audioset-best.pt", ""),
        ("630k-fusion-best.pt", ""),  # CLAP_g
        ("630k-audioset-fusion-best.pt", ""),
        (
            "music_audioset_epoch_15_esc_90.14.pt",
            "fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd",
        ),
        ("music_speech_epoch_15_esc_89.25.pt", ""),
        (  # CLAP_m
            "music_speech_audioset_epoch_15_esc_89.98.pt",
            "51c68f12f9d7ea25fdaaccf741ec7f81e93ee594455410f3bca4f47f88d8e006",
        ),
    )
}
"""Checkpoints that can be named without a folder; digests where they are known."""

PREPROCESSING = (
    ("audio", "48khz-int16-10s-repeatpad-logmel64-fused-thirds-or-centre-1"),
    ("text", "roberta-bpe-77-1"),
)
"""Tags that change whenever preprocessing can change an embedding."""

FLOPS_PER_ITEM = (("audio", 3.1e10), ("text", 1.3e10))
"""Counted for HTSAT-base, and for 77 tokens of RoBERTa-base; HTSAT-tiny needs 1.2e10."""

_FILTER_TOLERANCE = 1e-4
"""Absolute, where filters reach 0.018; single precision leaves 1e-8."""


class LaionClapAdapter(CheckpointAdapter):
    """``laion_clap:FILE``: a path, or the bare name of one of ``PUBLISHED``.

    The file is what ``torch.save`` wrote, or the same tensors as safetensors. The tokenizer's
    files are looked for beside it, in ``roberta-base`` beside it, and where weights lie.
    """

    scheme = "laion_clap"
    trains = True
    packages = ("transformers", "tokenizers")
    extra = keys.EXTRA
    published = PUBLISHED

    def describe(self, files: Checkpoint, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a checkpoint, hashing the file but not opening it."""
        return SpaceSpec(
            name=files.space,
            dim=DIM,
            modalities=MODALITIES,
            adapter=self.scheme,
            source=str(files.path),
            revision=files.published.revision if files.published else "",
            licence=files.licence,
            weights_digest=files.digest(digests),
            preprocessing=PREPROCESSING,
            flops_per_item=FLOPS_PER_ITEM,
        )

    def requirements(self, uri: str) -> tuple[Requirement, ...]:
        """Return the checkpoint, where it is a published one, and the tokenizer."""
        return (*super().requirements(uri), text.ROBERTA)

    def require(self, spec: SpaceSpec, files: Checkpoint) -> None:
        """Check that the tokenizer's files are here."""
        text.find(spec.name, files.path.parent, WeightLocator.of_environment())

    def open(self, spec: SpaceSpec, files: Checkpoint, device: str) -> TowerEncoder:
        """Load a checkpoint into transformers' ClapModel."""
        folder = text.find(spec.name, files.path.parent, WeightLocator.of_environment())
        tokens = text.Tokens(folder)
        tensors = read_tensors(files.path)
        model = keys.build(spec.name, files.path, tensors)
        audio_config = ClapAudioConfig(fused=bool(model.config.audio_config.enable_fusion))
        _check_filters(files.path, tensors, audio_config)
        return encoder(spec, model, audio_config=audio_config, tokens=tokens, device=device)


def _check_filters(
    path: Path, tensors: Mapping[str, Tensor], audio_config: ClapAudioConfig
) -> None:
    """Refuse a checkpoint that was trained on another spectrogram than ours.

    Every checkpoint carries librosa's filters, fused ones too, though they use others.
    """
    theirs = tensors.get(keys.FILTERS)
    if theirs is None:
        return
    ours = mel_filters(
        audio_config.rate_hz,
        audio_config.fft,
        audio_config.mels,
        audio_config.low_hz,
        audio_config.high_hz,
        "slaney",
    )
    if tuple(theirs.shape) != ours.shape or not np.allclose(
        theirs.float().numpy(), ours, rtol=0, atol=_FILTER_TOLERANCE
    ):
        raise DataError(
            f"the checkpoint '{path}' was trained on another spectrogram",
            why=f"its mel filters, {tuple(theirs.shape)}, are not those of {audio_config.mels} "
            f"bands from {audio_config.low_hz:g} to {audio_config.high_hz:g} Hz, {ours.shape}",
            path=str(path),
        )
