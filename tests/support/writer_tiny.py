"""Tiny random models that write, saved in transformers' own formats."""

import json

import torch

_TEXT = """a photo of the cat dog bird on in grass snow red small large sits runs sleeps . , and
with please generate sentences related to this sentence"""
WORDS = _TEXT.split()


def save_tokeniser(folder, kind="BertTokenizer", *, template=""):
    """Save a tokeniser of whole words and single letters."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789<>.,"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    vocabulary = list(dict.fromkeys(vocabulary))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    settings = {"tokenizer_class": kind, "do_lower_case": True}
    if template:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(vocabulary)


def save_writer(folder, *, template=""):
    """Save a GPT-2 of random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    _quiet()
    n = save_tokeniser(folder, template=template)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=n,
        n_positions=512,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )
    model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    return model


def save_captioner(folder):
    """Save a BLIP of random weights, with its processor."""
    from transformers import (
        AutoTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    _quiet()
    n = save_tokeniser(folder)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    config = BlipConfig(
        text_config={
            **sizes,
            "encoder_hidden_size": 16,
            "vocab_size": n,
            "bos_token_id": 2,
            "sep_token_id": 3,
            "eos_token_id": 3,
            "pad_token_id": 0,
            "max_position_embeddings": 512,
        },
        vision_config={**sizes, "image_size": 16, "patch_size": 8},
        projection_dim=16,
    )
    BlipForConditionalGeneration(config).save_pretrained(folder)
    processor = BlipProcessor(
        BlipImageProcessor(size={"height": 16, "width": 16}), AutoTokenizer.from_pretrained(folder)
    )
    processor.save_pretrained(folder)


def _quiet():
    from transformers.utils import logging

    logging.disable_progress_bar()
