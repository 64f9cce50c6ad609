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
from reactions.encoders.base import TowerEncoder
from reactions.encoders.clap import keys, text
from reactions.encoders.clap.audio_features import ClapAudioConfig
from reactions.encoders.clap.encoder import MODALITIES, encoder
from reactions.encoders.packages import need_package
from reactions.encoders.preprocessing.log_mel import mel_filters
from reactions.weights.locate import (
    Requirement,
    WeightLocator,
    WeightsFile,
    verify,
)
from reactions.weights.locate import (
    digest_cache as remembered_digests,
)
from reactions.weights.safe_load import find, read_tensors, require, verify_digest

if TYPE_CHECKING:
    from torch import Tensor

ADAPTER = "laion_clap"

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


def resolve(
    uri: str,
    *,
    name: str = "",
    digest_cache: DigestCache | None = None,
    locator: WeightLocator | None = None,
) -> SpaceSpec:
    """Describe the space of a laion_clap checkpoint, hashing the file but not opening it.

    Args:
        uri: ``laion_clap:FILE``: a path, or the bare name of one of ``PUBLISHED``.
        name: what the space is called; "" calls it after the file.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: there is no such file.
        DataError: a published file is not whole.
    """
    wanted = uri.removeprefix(f"{ADAPTER}:")
    called = name or Path(wanted).stem
    where = locator or WeightLocator.of_environment()
    path, published = find(ADAPTER, wanted, called, PUBLISHED, where)
    digests = digest_cache or remembered_digests()
    weights_digest = verify(called, published or WeightsFile(path.name), path, digests)
    digests.save()
    return SpaceSpec(
        name=called,
        dim=DIM,
        modalities=MODALITIES,
        adapter=ADAPTER,
        source=str(path),
        revision=published.revision if published else "",
        licence=published.licence if published else "",
        weights_digest=weights_digest,
        preprocessing=PREPROCESSING,
        flops_per_item=FLOPS_PER_ITEM,
    )


def requirements(uri: str) -> tuple[Requirement, ...]:
    """Return what has to be fetched before a URI can be loaded."""
    published = PUBLISHED.get(uri.removeprefix(f"{ADAPTER}:"))
    return (published, text.ROBERTA) if published else (text.ROBERTA,)


def check(spec: SpaceSpec) -> None:
    """Find out, without loading anything heavy, whether ``load`` has what it needs.

    Raises:
        MissingError: the file, the tokenizer's files or a package is missing.
    """
    for package in ("transformers", "tokenizers"):
        need_package(package, spec.source, keys.EXTRA)
    path = Path(spec.source)
    require(path, spec.name, f"restore it, or {ADAPTER}:FILE with another path")
    text.find(spec.name, path.parent, WeightLocator.of_environment())


def load(spec: SpaceSpec, *, device: str = "cpu") -> TowerEncoder:
    """Open a laion_clap checkpoint; nothing is downloaded.

    The tokenizer's files are looked for beside the checkpoint, in ``roberta-base`` beside it,
    and where weights lie.

    Args:
        spec: its ``source`` is the checkpoint, absolute: what ``torch.save`` wrote, or the
            same tensors as safetensors.
        device: ``"cpu"`` or ``"cuda:N"``.

    Raises:
        MissingError: the file, the tokenizer's files or a package is missing.
        DataError: not the file that ``spec`` names, or no checkpoint that fits.
    """
    path = Path(spec.source)
    locator = WeightLocator.of_environment()
    require(path, spec.name, f"restore it, or {ADAPTER}:FILE with another path")
    tokens = text.Tokens(text.find(spec.name, path.parent, locator))
    verify_digest(spec, remembered_digests().of(path), path)
    tensors = read_tensors(path)
    model = keys.build(spec.name, path, tensors)
    audio_config = ClapAudioConfig(fused=bool(model.config.audio_config.enable_fusion))
    _check_filters(path, tensors, audio_config)
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
