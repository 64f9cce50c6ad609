"""A loaded CLAP space: transformers' ClapModel behind our own deterministic preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import DataError
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.base import misfit
from reactions.encoders.clap.audio_features import ClapAudioConfig, features
from reactions.encoders.clap.text import LIMITS, MAX_TOKENS, Tokens
from reactions.encoders.preprocessing.tokens import pad_tokens
from reactions.encoders.tower import Tower, TowerEncoder, parts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODALITIES: tuple[Modality, ...] = ("audio", "text")

_PAD = 1
"""RoBERTa's token for padding."""


def encoder(
    spec: SpaceSpec, model: Any, *, audio_config: ClapAudioConfig, tokens: Tokens, device: str
) -> TowerEncoder:
    """Return a CLAP space ready to embed.

    Prepared audio is (1 or 4, frames, mels) float32, four views of a longer sound; prepared
    text is (n,) int64 token ids.

    Args:
        spec: what is known of it.
        model: transformers' ClapModel.
        audio_config: how it wants its sounds.
        tokens: its tokenizer.
        device: where to compute.

    Raises:
        DataError: model and description, or model and tokenizer, do not fit.
    """
    _check(spec, model, tokens)
    model = model.to(device).eval()

    def project_sounds(views: Sequence[NDArray[np.float32]]) -> Tensor:
        longer = torch.tensor([len(view) > 1 for view in views])
        # A fused model looks at the crops of longer sounds only: others need none.
        n = 4 if bool(longer.any()) else 1
        # (n, 1 or 4, frames, mels)
        batch = np.stack([np.broadcast_to(view, (n, *view.shape[1:])) for view in views])
        encoded = model.audio_model(
            input_features=torch.from_numpy(batch).to(device), is_longer=longer.to(device)
        )
        out: Tensor = model.audio_projection(encoded.pooler_output)
        return out

    def project_texts(ids: Sequence[NDArray[np.int64]]) -> Tensor:
        padded = torch.from_numpy(pad_tokens(ids, _PAD))
        # By length, not by token: a text may spell out the padding token.
        mask = torch.arange(padded.shape[1]) < torch.tensor([[len(row)] for row in ids])
        encoded = model.text_model(
            input_ids=padded.to(device), attention_mask=mask.long().to(device)
        )
        out: Tensor = model.text_projection(encoded.pooler_output)
        return out

    audio = Tower(
        lambda sound: features(sound, audio_config),
        project_sounds,
        batch_items=16,
        parts=parts_of(model, "audio_"),
        limits=audio_config.limits,
    )
    text = Tower(tokens.of, project_texts, parts=parts_of(model, "text_"), limits=LIMITS)
    return TowerEncoder(spec, {"audio": audio, "text": text})


def _check(spec: SpaceSpec, model: Any, tokens: Tokens) -> None:
    dim = int(model.config.projection_dim)
    if dim != spec.dim or tuple(spec.modalities) != MODALITIES:
        raise misfit(
            spec,
            spec.source,
            f"they embed audio and text in {dim} dimensions, "
            f"not {' and '.join(spec.modalities)} in {spec.dim}",
        )
    text = model.config.text_config
    if len(tokens) != int(text.vocab_size):
        raise DataError(
            f"the tokenizer of space '{spec.name}' is not the one it was trained with",
            why=f"'{tokens.folder}' knows {len(tokens)} tokens, the weights {text.vocab_size}",
            fix="use the files of roberta-base",
            space=spec.name,
            path=str(tokens.folder),
        )
    # RoBERTa counts positions from the one after the padding id.
    if int(text.max_position_embeddings) < MAX_TOKENS + _PAD + 1:
        raise DataError(
            f"the weights of space '{spec.name}' cannot read {MAX_TOKENS} tokens",
            why=f"they know {text.max_position_embeddings} positions, {_PAD + 1} of them unused",
            space=spec.name,
            path=spec.source,
        )
