"""Tiny CLAP models, tokenizers and sounds that the CLAP tests make for themselves."""

import json

import numpy as np
import soundfile
import torch

from reactions.core.types import Item, SpaceSpec, Waveform
from reactions.encoders.clap import keys
from reactions.encoders.clap.encoder import MODALITIES

TEXTS = ("the dog barks", "", "a  cat, quietly", "ünïcödé 漢字 🎵", "the rain " * 60)


def tokenizer(folder):
    """Write a RoBERTa tokenizer of 264 tokens; return its size."""
    from tokenizers import pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters, "Ġa", "th", "the", "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nĠ a\nt h\nth e\n")
    return len(tokens)


def sound(samples, *, rate_hz=48_000, seed=0):
    """Return noise that swells and fades, so that no two crops of it are alike."""
    noise = np.random.default_rng(seed).standard_normal(samples)
    envelope = 0.02 + 0.1 * np.abs(np.sin(np.arange(samples) * (20.0 / rate_hz)))
    return Waveform((noise * envelope).clip(-1, 1).astype(np.float32), rate_hz)


def wav(path, samples, *, rate_hz=48_000, channels=1, seed=0):
    """Write a sound file and return its path."""
    tracks = [sound(samples, rate_hz=rate_hz, seed=seed + i).samples for i in range(channels)]
    soundfile.write(path, np.stack(tracks, axis=1), rate_hz, subtype="PCM_16")
    return path


def item(value, modality="audio"):
    return Item("one", modality, value)


def scramble(model, seed=0):
    """Give every weight and running statistic a value of its own, about unit gain."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            # Tables that follow from sizes, and filters that the checkpoint freezes, stay.
            if not tensor.is_floating_point() or "extractor" in name or "attn_mask" in name:
                continue
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
            elif tensor.ndim > 1:
                gain = 1.5 / tensor[0].numel() ** 0.5
                tensor.copy_(torch.randn(tensor.shape, generator=draw) * gain)
            else:
                centre = 1.0 if name.endswith("weight") else 0.0
                tensor.copy_(torch.randn(tensor.shape, generator=draw) * 0.2 + centre)
    return model.eval()


def clap_config(*, fused, vocabulary, dim=512):
    from transformers import ClapConfig

    text = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 96,
        "max_position_embeddings": 80,
        "layer_norm_eps": 1e-5,
    }
    audio = {
        "patch_embeds_hidden_size": 16,
        "hidden_size": 32,
        "depths": [2, 1],
        "num_attention_heads": [2, 4],
        "num_hidden_layers": 2,
        "enable_fusion": fused,
        "fusion_type": "aff_2d",
    }
    return ClapConfig(text_config=text, audio_config=audio, projection_dim=dim)


def clap_model(*, fused, vocabulary, dim=512, seed=0):
    """Return transformers' ClapModel with random weights."""
    from transformers import ClapModel

    return scramble(ClapModel(clap_config(fused=fused, vocabulary=vocabulary, dim=dim)), seed)


def laion_tensors(model):
    """Return a ClapModel's weights by laion_clap's names."""
    thirds = {}
    for name, tensor in model.state_dict().items():
        if not name.endswith(("position_ids", "token_type_ids")):
            source_name, third = keys.source(name)
            thirds.setdefault(source_name, {})[third or 0] = tensor
    return {
        name: torch.cat([parts[i] for i in sorted(parts)]) if len(parts) > 1 else parts[0]
        for name, parts in thirds.items()
    }


def spec_of(path, **changes):
    values = {
        "name": "toy",
        "dim": 512,
        "modalities": MODALITIES,
        "adapter": "laion_clap",
        "source": str(path),
    }
    return SpaceSpec(**(values | changes))
