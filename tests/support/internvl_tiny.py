"""A tiny stand-in for InternVL-C's repository: the same files, call surface and types."""

import fnmatch
import json
import shutil
import sys

import torch

from reactions.weights.hub import TRUST_VARIABLE

COMMIT = "e" * 40
DIM = 24
REPO = "OpenStandIn/TinyVL-224px"
PINNED = f"hf:{REPO}@{COMMIT}"

CONFIGURATION = """
from transformers import PretrainedConfig


class TinyVLConfig(PretrainedConfig):
    model_type = "internvl"

    def __init__(self, clip_embed_dim=24, vocab=64, vision_config=None, **kwargs):
        self.clip_embed_dim, self.vocab = clip_embed_dim, vocab
        self.vision_config = vision_config or {"image_size": 32}
        super().__init__(**kwargs)
"""

MODELING = """
import torch
from transformers import PreTrainedModel

from .configuration_tinyvl import TinyVLConfig


class TinyVLModel(PreTrainedModel):
    config_class = TinyVLConfig

    def __init__(self, config):
        super().__init__(config)
        self.patches = torch.nn.Conv2d(3, 16, 8, 8)
        self.image_projection = torch.nn.Linear(16, config.clip_embed_dim)
        self.words = torch.nn.Embedding(config.vocab, 16)
        self.reader = torch.nn.GRU(16, 16, batch_first=True)  # reads forward, as the real one
        self.text_projection = torch.nn.Parameter(torch.randn(16, config.clip_embed_dim))
        self.post_init()

    def _init_weights(self, module):
        pass

    def encode_image(self, image, mode):
        assert mode == "InternVL-C" and image.dtype == self.dtype
        return self.image_projection(torch.tanh(self.patches(image)).flatten(2).amax(-1))

    def encode_text(self, text):
        mask = text > 0
        states, _ = self.reader(self.words(text))
        last = states[torch.arange(len(text)), mask.sum(1) - 1]
        return last @ self.text_projection
"""


def isolate(monkeypatch, modules):
    """Keep what transformers copies out of the home folder, and start without trust."""
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(modules))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in (TRUST_VARIABLE, "MOLSPACE_WEIGHTS", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def forget():
    """Forget the code that transformers imported."""
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        del sys.modules[name]


def write(folder):
    """Write the files of a repository, made by its own code; return the model."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    (folder / "configuration_tinyvl.py").write_text(CONFIGURATION)
    (folder / "modeling_tinyvl.py").write_text(MODELING)
    config = {
        "model_type": "internvl",
        "auto_map": {
            "AutoConfig": "configuration_tinyvl.TinyVLConfig",
            "AutoModel": "modeling_tinyvl.TinyVLModel",
        },
        "clip_embed_dim": DIM,
        "vocab": 64,
        "vision_config": {"image_size": 32},
        "transformers_version": "4.36.2",
    }
    (folder / "config.json").write_text(json.dumps(config))
    letters = "abcdefghijklmnopqrstuvwxyz: ,"
    vocabulary = {piece: i for i, piece in enumerate(["<unk>", "<s>", "</s>", *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    words = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    settings = {
        "crop_size": 32,
        "do_center_crop": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 3,
        "size": 32,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")

    namespace: dict = {"__name__": "standin"}
    exec(
        CONFIGURATION + MODELING.replace("from .configuration_tinyvl import TinyVLConfig", ""),
        namespace,
    )
    torch.manual_seed(4)
    model = namespace["TinyVLModel"](namespace["TinyVLConfig"](vocab=64)).to(torch.bfloat16).eval()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model


class Hub:
    """What huggingface_hub does, with one repository at one commit."""

    def __init__(self, folder):
        self.folder = folder

    def list_repo_files(self, repo, revision=None):
        assert repo == REPO
        return [path.name for path in self.folder.iterdir()]

    def snapshot_download(self, repo, revision=None, cache_dir=None, allow_patterns=()):
        target = cache_dir / ("models--" + repo.replace("/", "--"))
        if revision is None:
            (target / "refs").mkdir(parents=True, exist_ok=True)
            (target / "refs" / "main").write_text(COMMIT)
        assert revision in (None, COMMIT)
        snapshot = target / "snapshots" / COMMIT
        snapshot.mkdir(parents=True, exist_ok=True)
        for name in self.list_repo_files(repo):
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                shutil.copyfile(self.folder / name, snapshot / name)
        return str(snapshot)
