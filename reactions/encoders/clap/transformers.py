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
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.clap import text
from reactions.encoders.clap.audio_features import ClapAudioConfig
from reactions.encoders.clap.encoder import encoder
from reactions.encoders.clap.keys import EXTRA
from reactions.encoders.flops import htsat_flops, transformer_flops
from reactions.encoders.packages import import_package
from reactions.encoders.tower import TowerEncoder
from reactions.encoders.transformers.repository import (
    Repository,
    RepositoryAdapter,
    quiet,
    tokeniser_tag,
)
from reactions.weights.hub_layout import read_json
from reactions.weights.safe_load import (
    check_shapes,
    in_single_precision,
    package_errors,
    read_tensors,
)

_FAMILY = "clap"
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""What transformers 4 and 5 write."""

_COUNTED = ("position_ids", "token_type_ids", "relative_position_index")
"""Buffers that follow from the sizes; some versions of transformers save them, some do not."""


class HfClapAdapter(RepositoryAdapter):
    """``hf:ORG/REPO[@REVISION]`` and ``hf:./FOLDER`` of CLAP models; see the module."""

    scheme = "hf_clap"
    trains = True
    packages = ("transformers", "tokenizers")
    extra = EXTRA

    def accept(self, repo: Repository) -> Repository:
        """Return a repository that holds a CLAP model, to be run in single precision."""
        if repo.family != _FAMILY:
            raise DataError(
                f"'{repo.folder}' holds no CLAP model",
                why=f"its model_type is '{repo.family}'",
                path=str(repo.folder),
            )
        precision = self.precision_of(repo)
        if precision != self.precision:
            raise UsageError(
                f'cannot run "{repo.request.uri}" in {precision}',
                why="loudness in dB, which CLAP takes, is too coarse in half precision",
                fix="leave the precision out",
            )
        return repo

    def describe(self, files: Repository, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a CLAP model; its weights are hashed, not loaded."""
        # The name of the digest is part of keys, and so stays what it was.
        audio = digest("clap-hearing", list(astuple(_audio_config(files))))[:8]
        return self.description(
            files,
            digests,
            dim=files.number("", "projection_dim", 512),
            preprocessing=(
                ("audio", f"clap-logmel-{audio}-1"),
                ("text", f"{tokeniser_tag(files, digests)}-truncate{text.MAX_TOKENS}-1"),
            ),
            flops_per_item=_flops(files),
        )

    def open(self, spec: SpaceSpec, files: Repository, device: str) -> TowerEncoder:
        """Load the weights into transformers' ClapModel."""
        clap = import_package("transformers.models.clap.modeling_clap", spec.source, EXTRA)
        tokens = text.Tokens(files.folder)
        model = _built(clap, files)
        audio_config = _audio_config(files)
        _check_audio(files, audio_config, model.config.audio_config)
        return encoder(spec, model, audio_config=audio_config, tokens=tokens, device=device)


def _check_audio(repo: Repository, audio_config: ClapAudioConfig, network: Any) -> None:
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
            f"the parts of '{repo.folder}' do not fit together",
            why=why,
            fix="take processor_config.json and config.json of the same model",
            path=str(repo.folder),
        )


def _built(clap: Any, repo: Repository) -> Any:
    tensors: dict[str, Any] = {}
    for path in repo.weights:
        tensors |= in_single_precision(read_tensors(path))
    with package_errors(repo.name, repo.folder), quiet():
        settings = clap.ClapConfig.from_pretrained(str(repo.folder), local_files_only=True)
        model = clap.ClapModel(settings)
    needed = model.state_dict()
    used = {key: t for key, t in tensors.items() if key in needed or not _counted(key)}
    shapes = {key: tuple(t.shape) for key, t in needed.items() if key in used or not _counted(key)}
    check_shapes(repo.name, repo.folder, used, shapes)
    model.load_state_dict(used, strict=False)  # what is left out follows from the sizes
    return model


def _counted(key: str) -> bool:
    return key.rpartition(".")[2] in _COUNTED


# --- the repository ------------------------------------------------------------------


def _audio_config(repo: Repository) -> ClapAudioConfig:
    """Return how the model wants its sounds, as ClapFeatureExtractor would read it."""
    path, settings = _settings(repo)
    fused = bool(repo.part("audio_config").get("enable_fusion", False))
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
            # The round trip through integers is laion_clap's: ClapFeatureExtractor makes none.
            quantised=False,
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"cannot use the preprocessing in '{path}'", why=str(error), path=str(path)
        ) from error


def _settings(repo: Repository) -> tuple[Path, Mapping[str, Any]]:
    for path in (repo.folder / file for file in _PROCESSORS):
        if is_file(path):
            settings = read_json(path)
            inner = settings.get("feature_extractor", settings)
            if isinstance(inner, Mapping):
                return path, inner
    raise MissingError(
        f"no preprocessing for space '{repo.name}'",
        why=f"there is neither {' nor '.join(_PROCESSORS)}",
        fix="fetch the whole repository",
        looked_in=[str(repo.folder)],
        space=repo.name,
    )


def _flops(repo: Repository) -> tuple[tuple[Modality, float], ...]:
    depths = repo.part("audio_config").get("depths", (2, 2, 6, 2))
    if not isinstance(depths, list | tuple) or not all(type(d) is int for d in depths):
        raise repo.damaged(f"audio_config.depths is {depths!r}")
    audio = htsat_flops(repo.number("audio_config", "patch_embeds_hidden_size", 96), depths)
    words = transformer_flops(
        layers=repo.number("text_config", "num_hidden_layers", 12),
        width=repo.number("text_config", "hidden_size", 768),
        tokens=text.MAX_TOKENS,
    )
    return (("audio", audio), ("text", words))
