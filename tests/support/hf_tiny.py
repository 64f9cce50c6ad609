"""Tiny random models of the transformers package, saved in its own formats, and real pictures."""

import json
import shutil
import string

import numpy as np
import torch
from PIL import Image

from reactions.core.types import Item
from reactions.encoders import registry
from reactions.weights.locate import WeightLocator

FAMILIES = ("clip", "siglip", "siglip2")
COMMIT = "d" * 40
CAPTIONS = ["a red square", "", "two dogs barking " * 9, "Ünïcode  and\ttabs, more"]
SIDE = 32

_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}
_TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def save_pictures(folder):
    """Real files: a wide JPEG, a tall PNG, one of the model's own size, a grey one."""
    rng = np.random.default_rng(3)
    paths = []
    for i, (height, width, mode, suffix) in enumerate(
        [
            (40, 71, "RGB", "jpg"),
            (90, 33, "RGB", "png"),
            (32, 32, "RGB", "png"),
            (51, 50, "L", "png"),
        ]
    ):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        path = folder / f"{i}.{suffix}"
        Image.fromarray(pixels).convert(mode).save(path)
        paths.append(path)
    return paths


def randomise(model):
    """Make biases, norms and projections as different from each other as training does."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def save_clip(folder, **options):
    """Save a CLIP with a vocabulary in two files, as published ones have; return the model."""
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    letters = list(string.ascii_lowercase + string.punctuation + string.digits + "ÃŃÂ¼¶ķ¯")
    merges = ["r e", "re d</w>", "d o", "do g"]
    tokens = [*letters, *(c + "</w>" for c in letters), "re", "red</w>", "do", "dog"]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    start, end = len(vocabulary), len(vocabulary) + 1
    vocabulary |= {"<|startoftext|>": start, "<|endoftext|>": end}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    ends = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    text = {**_TEXT, "vocab_size": len(vocabulary), "max_position_embeddings": 12, **ends}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=24)
    model = randomise(CLIPModel(config))
    model.save_pretrained(folder, **options)
    settings = {
        "crop_size": SIDE,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": SIDE,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return model


def save_words(folder):
    """Save a word-level tokeniser that ends every caption, as SigLIP's do."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["a", "red", "square", "two", "dogs", "barking", "and", "tabs", "more"]
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "padding_side": "right",
        "model_input_names": ["input_ids"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(vocabulary)


def save_siglip(folder, *, words=True, **options):
    """Save a SigLIP; return the model."""
    from transformers import SiglipConfig, SiglipModel

    folder.mkdir(parents=True, exist_ok=True)
    size = save_words(folder) if words else 300
    text = {**_TEXT, "vocab_size": size, "max_position_embeddings": 9, "projection_size": 32}
    torch.manual_seed(0)
    config = SiglipConfig(text_config=text, vision_config=_VISION)
    model = randomise(SiglipModel(config))
    model.save_pretrained(folder, **options)
    settings = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "SiglipProcessor",
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"height": SIDE, "width": SIDE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return model


def save_siglip2(folder, **options):
    """Save a SigLIP 2 that takes pictures of native shape; return the model."""
    from tokenizers import Tokenizer, models, normalizers
    from transformers import Siglip2Config, Siglip2Model

    folder.mkdir(parents=True, exist_ok=True)
    pieces = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        "▁",
        *string.ascii_lowercase,
        "re",
        "red",
    ]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    merges = [("r", "e"), ("re", "d")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(" ", "▁")]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    marks = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    words = {"tokenizer_class": "GemmaTokenizerFast", "model_input_names": ["input_ids"], **marks}
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    size = len(vocabulary)
    text = {**_TEXT, "vocab_size": size, "max_position_embeddings": 9, "projection_size": 32}
    vision = {k: v for k, v in _VISION.items() if k != "image_size"} | {"num_patches": 16}
    torch.manual_seed(0)
    model = randomise(Siglip2Model(Siglip2Config(text_config=text, vision_config=vision)))
    model.save_pretrained(folder, **options)
    settings = {  # as version 5 of transformers nests them
        "image_processor": {
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "Siglip2ImageProcessor",
            "image_std": [0.5, 0.25, 0.5],
            "max_num_patches": 20,
            "patch_size": 8,
            "resample": 2,
        },
        "processor_class": "Siglip2Processor",
    }
    (folder / "processor_config.json").write_text(json.dumps(settings))
    return model


def cached(repo, source):
    """Put a repository into the hub's cache of this test."""
    folder = WeightLocator.of_environment().hub / ("models--" + repo.replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    shutil.copytree(source, folder / "snapshots" / COMMIT)
    return folder / "snapshots" / COMMIT


def items(modality, values):
    return [Item(str(i), modality, value) for i, value in enumerate(values)]


def opened(uri):
    return registry.load(registry.resolve_uri(uri))
