"""laion_clap with the weights of a ``laion_clap:`` space.

The package asks a hub for three tokenizers when it is imported, for RoBERTa when a model is built,
and unpickles checkpoints with whatever code they hold. Here the tokenizer comes from the space's
own files, RoBERTa's sizes from the checkpoint, and the weights from molspace's safe loader; the
networks, the features and the tokenising are the package's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from copy import deepcopy
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor

from reactions.core.types import Item, Modality, SpaceSpec
from reactions.encoders.clap import keys, text
from reactions.encoders.clap.laion import LaionClapAdapter
from reactions.encoders.official.base import OfficialModel, OfficialPackage, seeded
from reactions.encoders.official.dice import fixed_crops
from reactions.weights.locate import WeightLocator
from reactions.weights.safe_load import package_errors, read_tensors

_ASKED_FOR = ("BertTokenizer", "RobertaTokenizer", "BartTokenizer")
"""Tokenizers of transformers that the package asks for when it is imported."""

_BASE = "HTSAT-base"
_SIZED = "molspace"
"""Under which the package is given the sizes of a checkpoint."""

_COUNTED = "text_branch.embeddings.position_ids"
"""Stored by older versions of transformers, and dropped by the package."""


class LaionClap(OfficialPackage):
    """``laion_clap``, by its ``CLAP_Module``."""

    name = "laion_clap"
    adapters = ("laion_clap",)
    modalities: ClassVar = ("audio", "text")
    pins: ClassVar[Mapping[Modality, str]] = {
        "audio": "crops of sounds over ten seconds, which it draws at random: the middle, or the "
        "middles of three thirds; the view of all of a longer sound is shrunk without smoothing, "
        "as in the torchvision it was trained with; resampled sounds have their exact length, "
        "where librosa's is one too long at 44.1 kHz",
    }

    def install(self) -> str:
        """Return the commands: its own pins are of 2022, and are left aside."""
        return (
            "pip install --no-deps laion-clap   and   pip install librosa torchlibrosa torchvision "
            "h5py webdataset braceexpand wget tqdm pandas scikit-learn ftfy regex"
        )

    def open(self, spec: SpaceSpec, device: str) -> OfficialModel:
        """Build a ``CLAP_Module`` of a checkpoint's sizes, and load the checkpoint."""
        files = LaionClapAdapter().locate_again(spec)
        tokenizer = text.find(spec.name, files.path.parent, WeightLocator.of_environment())
        package = self.package()
        tensors = read_tensors(files.path)
        with package_errors(spec.name, files.path):
            module = built(package, files.path, tensors, tokenizer, device)
        return embedding(package, module)

    def package(self) -> SimpleNamespace:
        """Import the package without asking a hub.

        Returns:
            Its modules ``hook``, ``data``, ``factory``, ``model`` and ``htsat``.

        Raises:
            MissingError: it, or something that it needs, is not installed.
        """
        transformers = self.imported("transformers")
        with ExitStack() as stack:
            for name in _ASKED_FOR:
                stack.enter_context(
                    patch.object(getattr(transformers, name), "from_pretrained", _nothing)
                )
            hook = self.imported("laion_clap.hook")
        return SimpleNamespace(
            hook=hook,
            data=import_module("laion_clap.training.data"),
            factory=import_module("clap_module.factory"),
            model=import_module("clap_module.model"),
            htsat=import_module("clap_module.htsat"),
        )


def built(
    package: SimpleNamespace,
    path: Path,
    tensors: Mapping[str, Tensor],
    tokenizer: Path,
    device: str,
) -> Any:
    """Return the package's ``CLAP_Module`` with the weights of a checkpoint.

    Args:
        package: from ``LaionClap.package``.
        path: of the checkpoint, for messages.
        tensors: what it holds, by the package's names.
        tokenizer: the folder of RoBERTa's.
        device: where to compute.

    Raises:
        DataError: it is not a checkpoint of the package's.
    """
    transformers = import_module("transformers")
    sizes = keys.config(path, tensors)
    words = sizes.text_config
    roberta = transformers.RobertaModel(
        transformers.RobertaConfig(**{name: getattr(words, name) for name in _ROBERTA_SIZES})
    )
    roberta_tokenizer = transformers.RobertaTokenizer.from_pretrained(
        str(tokenizer), local_files_only=True
    )
    config = deepcopy(package.factory._MODEL_CONFIGS[_BASE])
    config["embed_dim"] = sizes.audio_config.hidden_size
    config["audio_cfg"]["class_num"] = len(tensors["audio_branch.tscam_conv.weight"])
    with ExitStack() as stack:

        def enter(place: Any, name: str, value: Any) -> None:
            stack.enter_context(patch.object(place, name, value))

        stack.enter_context(patch.dict(package.factory._MODEL_CONFIGS, {_SIZED: config}))
        enter(package.model, "RobertaModel", SimpleNamespace(from_pretrained=lambda _: roberta))
        enter(package.model, "create_htsat_model", partial(htsat, package, sizes.audio_config))
        enter(
            package.hook,
            "RobertaTokenizer",
            SimpleNamespace(from_pretrained=lambda _: roberta_tokenizer),
        )
        module = package.hook.CLAP_Module(
            enable_fusion=bool(sizes.audio_config.enable_fusion), device=device, amodel=_SIZED
        )
        # It takes RoBERTa-base's width for granted.
        if words.hidden_size != module.model.text_projection[0].in_features:
            width = module.model.text_projection[0].out_features
            module.model.text_projection[0] = torch.nn.Linear(words.hidden_size, width)
        state = {name: tensor for name, tensor in tensors.items() if name != _COUNTED}
        enter(package.hook, "load_state_dict", lambda *_, **__: state)
        module.load_ckpt(str(path), verbose=False)
    return module.to(device).eval()


_ROBERTA_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
)


def htsat(
    package: SimpleNamespace, sizes: Any, config: Any, fused: bool, fusion_type: str
) -> torch.nn.Module:
    """Return the package's HTSAT of any size, as its ``create_htsat_model`` does for three.

    Args:
        package: from ``LaionClap.package``.
        sizes: transformers' ``ClapAudioConfig``.
        config: the package's own settings of the spectrogram.
        fused: whether it mixes several views of a sound.
        fusion_type: how.
    """
    network: torch.nn.Module = package.htsat.HTSAT_Swin_Transformer(
        spec_size=256,
        patch_size=sizes.patch_size,
        patch_stride=tuple(sizes.patch_stride),
        num_classes=config.class_num,
        embed_dim=sizes.patch_embeds_hidden_size,
        depths=list(sizes.depths),
        num_heads=list(sizes.num_attention_heads),
        window_size=sizes.window_size,
        config=config,
        enable_fusion=fused,
        fusion_type=fusion_type,
    )
    return network


def embedding(package: SimpleNamespace, module: Any) -> OfficialModel:
    """Return the package's own ways to embed a file and a text."""

    def sound(item: Item) -> Tensor:
        seeded()
        return torch.from_numpy(module.get_audio_embedding_from_filelist([str(item.value)]))[0]

    def pinned(item: Item) -> Tensor:
        data, hook, transforms = package.data, package.hook, package.data.torchvision.transforms
        exact = SimpleNamespace(load=partial(_exact, hook.librosa))
        with (
            fixed_crops(data),
            patch.object(transforms, "Resize", partial(transforms.Resize, antialias=False)),
            patch.object(hook, "librosa", exact),
        ):
            return sound(item)

    def words(item: Item) -> Tensor:
        return torch.from_numpy(module.get_text_embedding([item.value]))[0]

    return OfficialModel({"audio": pinned, "text": words}, {"audio": sound})


def _exact(librosa: Any, path: str, sr: int) -> tuple[Any, int]:
    """Load a sound as librosa does, without the sample that it adds where a product rounds up."""
    samples, rate_hz = librosa.load(path, sr=None)
    n = max(1, round(len(samples) * sr / rate_hz))
    resampled, _ = librosa.load(path, sr=sr)
    return resampled[:n], sr


def _nothing(*arguments: Any, **options: Any) -> None:
    """Stand in for a download."""
