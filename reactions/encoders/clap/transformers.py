"""CLAP models as transformers saves them: ``hf:ORG/REPO[@REVISION]`` or ``hf:./FOLDER``.

The network is transformers' own; the preprocessing is ours, because ClapFeatureExtractor
crops longer sounds at random, and lets a random short one of each fused batch count as longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.local_files import is_file
from reactions.core.types import SpaceSpec
from reactions.encoders.base import TowerEncoder, transformer_flops
from reactions.encoders.clap import text
from reactions.encoders.clap.audio_features import ClapAudioConfig
from reactions.encoders.clap.encoder import MODALITIES, audio_flops, encoder
from reactions.encoders.clap.keys import EXTRA
from reactions.encoders.packages import import_package, need_package
from reactions.encoders.transformers.repository import (
    Repository,
    find,
    quiet,
    tokeniser_tag,
    weights_digest,
    weights_files,
)
from reactions.weights.hub import commit_of, licence_of
from reactions.weights.hub_layout import read_json
from reactions.weights.locate import WeightLocator
from reactions.weights.locate import digest_cache as remembered_digests
from reactions.weights.safe_load import check_shapes, package_errors, read_tensors, verify_digest

ADAPTER = "hf_clap"
_FAMILY = "clap"
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""What transformers 4 and 5 write."""

_COUNTED = ("position_ids", "token_type_ids", "relative_position_index")
"""Buffers that follow from the sizes; some versions of transformers save them, some do not."""


def resolve(
    uri: str,
    *,
    name: str = "",
    digest_cache: DigestCache | None = None,
    locator: WeightLocator | None = None,
) -> SpaceSpec:
    """Describe the space of a CLAP model, hashing its files but not opening its weights.

    Args:
        uri: ``hf:ORG/REPO[@REVISION]`` or ``hf:./FOLDER``.
        name: what the space is called; "" calls it after the repository.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: the model, or a part of it, is not on this machine.
        UsageError: the URI names no repository, or a precision other than ``fp32``.
        DataError: another kind of model, or a damaged configuration.
    """
    found = _find(uri, name, locator or WeightLocator.of_environment())
    audio_config = _hearing(found)
    digests = digest_cache or remembered_digests()
    spec = SpaceSpec(
        name=found.name,
        dim=found.number("", "projection_dim", 512),
        modalities=MODALITIES,
        adapter=ADAPTER,
        source=found.uri,
        revision=commit_of(found.folder),
        licence=licence_of(found.folder),
        weights_digest=weights_digest(found, weights_files(found, uri), digests),
        preprocessing=(
            ("audio", f"clap-logmel-{digest('clap-hearing', list(astuple(audio_config)))[:8]}-1"),
            ("text", f"{tokeniser_tag(found, digests)}-truncate{text.MAX_TOKENS}-1"),
        ),
        flops_per_item=_flops(found),
    )
    digests.save()
    return spec


def check(spec: SpaceSpec) -> None:
    """Find out, without loading anything heavy, whether ``load`` has what it needs.

    Raises:
        MissingError: a package or a part of the model is missing.
    """
    for package in ("transformers", "tokenizers"):
        need_package(package, spec.source, EXTRA)
    weights_files(_find(spec.source, spec.name, WeightLocator.of_environment()), spec.source)


def load(spec: SpaceSpec, *, device: str = "cpu") -> TowerEncoder:
    """Open a CLAP model that ``resolve`` described; nothing is downloaded.

    Args:
        spec: its ``source`` is a URI of this module's.
        device: ``"cpu"`` or ``"cuda:N"``.

    Raises:
        MissingError: a package or a part of the model is missing.
        DataError: not the files that ``spec`` names, or weights that do not fit.
    """
    found = _find(spec.source, spec.name, WeightLocator.of_environment())
    files = weights_files(found, spec.source)
    digests = remembered_digests()
    verify_digest(spec, weights_digest(found, files, digests), found.folder)
    digests.save()
    clap = import_package("transformers.models.clap.modeling_clap", spec.source, EXTRA)
    tokens = text.Tokens(found.folder)
    model = _built(clap, found, files)
    audio_config = _hearing(found)
    _check_hearing(found, audio_config, model.config.audio_config)
    return encoder(spec, model, audio_config=audio_config, tokens=tokens, device=device)


def _check_hearing(found: Repository, audio_config: ClapAudioConfig, network: Any) -> None:
    """Refuse a feature extractor whose spectrograms do not fit the network.

    Raises:
        DataError: it makes other mel bands, or longer spectrograms, than the network takes.
    """
    bands, side = int(network.num_mel_bins), int(network.spec_size)
    # The network folds a spectrogram into a square picture, some stripes beside each other.
    longest = side * (side // bands)
    why = ""
    if audio_config.mels != bands:
        why = f"the extractor makes {audio_config.mels} mel bands, the network takes {bands}"
    elif audio_config.frames > longest:
        why = (
            f"the extractor makes {audio_config.frames} frames, the network takes {longest} at most"
        )
    if why:
        raise DataError(
            f"the parts of '{found.folder}' do not fit together",
            why=why,
            fix="take processor_config.json and config.json of the same model",
            path=str(found.folder),
        )


def _built(clap: Any, found: Repository, files: list[Path]) -> Any:
    tensors = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for path in files
        for key, tensor in read_tensors(path).items()
    }
    with package_errors(found.name, found.folder), quiet():
        settings = clap.ClapConfig.from_pretrained(str(found.folder), local_files_only=True)
        model = clap.ClapModel(settings)
    needed = model.state_dict()
    kept = {key: t for key, t in tensors.items() if key in needed or not _counted(key)}
    asked = {key: tuple(t.shape) for key, t in needed.items() if key in kept or not _counted(key)}
    check_shapes(found.name, found.folder, kept, asked)
    model.load_state_dict(kept, strict=False)  # what is left out follows from the sizes
    return model


def _counted(key: str) -> bool:
    return key.rpartition(".")[2] in _COUNTED


# --- the repository ------------------------------------------------------------------


def _find(uri: str, name: str, locator: WeightLocator) -> Repository:
    found, options = find(uri, name, locator)
    if found.family != _FAMILY:
        raise DataError(
            f"'{found.folder}' holds no CLAP model",
            why=f"its model_type is '{found.family}'",
            path=str(found.folder),
        )
    if options.get("precision", "fp32") != "fp32":
        raise UsageError(
            f'cannot run "{uri}" in {options["precision"]}',
            why="loudness in dB, which CLAP takes, is too coarse in half precision",
            fix="leave the precision out",
        )
    return found


def _hearing(found: Repository) -> ClapAudioConfig:
    """Return how the model wants its sounds, as ClapFeatureExtractor would read it."""
    path, settings = _settings(found)
    fused = bool(found.part("audio_config").get("enable_fusion", False))
    truncation = settings.get("truncation", "fusion")
    if (truncation == "fusion") != fused:
        raise DataError(
            f"the preprocessing in '{path}' does not fit its model",
            why=f"truncation is {truncation!r}, but the model "
            f"{'fuses' if fused else 'does not fuse'} several views of a sound",
            fix=f"set truncation to {'fusion' if fused else 'rand_trunc'!r}",
            path=str(path),
        )
    try:
        rate_hz = int(settings.get("sampling_rate", 48_000))
        return ClapAudioConfig(
            fused=fused,
            rate_hz=rate_hz,
            samples=int(settings.get("max_length_s", 10) * rate_hz),
            fft=int(settings.get("fft_window_size", 1024)),
            hop=int(settings.get("hop_length", 480)),
            mels=int(settings.get("feature_size", 64)),
            low_hz=float(settings.get("frequency_min", 0)),
            high_hz=float(settings.get("frequency_max", 14_000)),
            padding=settings.get("padding", "repeatpad"),
            quantised=False,
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"cannot use the preprocessing in '{path}'", why=str(error), path=str(path)
        ) from error


def _settings(found: Repository) -> tuple[Path, Mapping[str, Any]]:
    for path in (found.folder / file for file in _PROCESSORS):
        if is_file(path):
            settings = read_json(path)
            inner = settings.get("feature_extractor", settings)
            if isinstance(inner, Mapping):
                return path, inner
    raise MissingError(
        f"no preprocessing for space '{found.name}'",
        why=f"there is neither {' nor '.join(_PROCESSORS)}",
        fix="fetch the whole repository",
        looked_in=[str(found.folder)],
        space=found.name,
    )


def _flops(found: Repository) -> tuple[tuple[str, float], ...]:
    depths = found.part("audio_config").get("depths", (2, 2, 6, 2))
    if not isinstance(depths, list | tuple) or not all(type(d) is int for d in depths):
        raise found.damaged(f"audio_config.depths is {depths!r}")
    audio = audio_flops(found.number("audio_config", "patch_embeds_hidden_size", 96), depths)
    words = transformer_flops(
        layers=found.number("text_config", "num_hidden_layers", 12),
        width=found.number("text_config", "hidden_size", 768),
        tokens=text.MAX_TOKENS,
    )
    return (("audio", audio), ("text", words))
