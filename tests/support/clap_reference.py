"""Small models of the laion_clap package, with random weights, and their checkpoints."""

from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from clap_toys import scramble, tokenizer

from reactions.core.errors import MissingError
from reactions.encoders.official.base import alone
from reactions.encoders.official.clap_package import LaionClap, htsat

SIZES = SimpleNamespace(
    patch_size=4,
    patch_stride=(4, 4),
    patch_embeds_hidden_size=32,
    depths=(2, 1, 1, 1),
    num_attention_heads=(4, 8, 16, 32),
    window_size=8,
)
"""Of an HTSAT with all its kinds of layer; the smallest that the package knows has 28 million
weights."""

AUDIO = {
    "audio_length": 1024,
    "clip_samples": 480_000,
    "mel_bins": 64,
    "sample_rate": 48_000,
    "window_size": 1024,
    "hop_size": 480,
    "fmin": 50,
    "fmax": 14_000,
    "class_num": 5,
    "model_type": "HTSAT",
    "model_name": "tiny",
}
"""laion_clap's own settings for HTSAT, but for the number of tags."""

TEXT = {
    "context_length": 77,
    "vocab_size": 1,
    "width": 512,
    "heads": 8,
    "layers": 12,
    "model_type": "roberta",
}


def package():
    """Return laion_clap's modules; tests that ask for them are skipped where it is not whole."""
    try:
        with alone():
            return LaionClap().package()
    except MissingError as error:
        pytest.skip(error.why)


def checkpoint(folder, *, fused):
    """Write a checkpoint of the package's and a tokenizer beside it; return its path."""
    modules = package()
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=tokenizer(folder),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,  # as roberta-base
    )
    build = SimpleNamespace(from_pretrained=lambda name: RobertaModel(config))
    with (
        alone(),
        patch.object(modules.model, "RobertaModel", build),
        patch.object(modules.model, "create_htsat_model", partial(htsat, modules, SIZES)),
    ):
        model = modules.model.CLAP(
            embed_dim=256,
            audio_cfg=AUDIO,
            text_cfg=TEXT,
            enable_fusion=fused,
            fusion_type="aff_2d" if fused else "None",
        )
    model.text_projection[0] = torch.nn.Linear(config.hidden_size, 512)
    scramble(model)
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]  # as old ones
    path = folder / "epoch_18.pt"
    torch.save({"epoch": 18, "best": np.float64(0.88), "state_dict": state}, path)
    return path
