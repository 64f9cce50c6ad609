"""The names of laion_clap's weights, as transformers' ClapModel calls them.

Both packages describe one network. laion_clap keeps query, key and value of a window
attention in one matrix; transformers keeps three. Everything else differs in name only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reactions.core.errors import DataError
from reactions.encoders.packages import import_package
from reactions.weights.safe_load import check_shapes

EXTRA = "clap"
"""Our optional dependencies that bring transformers."""

# All are applied, in order: a name may fit two, and the narrower one comes first.
_RENAMED = (
    (r"text_model\.", "text_branch."),
    (r"audio_model\.audio_encoder\.batch_norm\.", "audio_branch.bn0."),
    (r"audio_model\.audio_encoder\.", "audio_branch."),
    (r"_projection\.linear1\.", "_projection.0."),
    (r"_projection\.linear2\.", "_projection.2."),
)
# Only the first that fits is applied; the narrower one comes first here, too.
_RENAMED_IN_BLOCKS = (
    (r"layernorm_before\.", "norm1."),
    (r"layernorm_after\.", "norm2."),
    (r"attention\.self\.(?:query|key|value)\.", "attn.qkv."),
    (r"attention\.self\.", "attn."),
    (r"attention\.output\.dense\.", "attn.proj."),
    (r"intermediate\.dense\.", "mlp.fc1."),
    (r"output\.dense\.", "mlp.fc2."),
)
_BLOCK = re.compile(r"(audio_branch\.layers\.\d+\.blocks\.\d+\.)(.+)")
_THIRDS = {"query": 0, "key": 1, "value": 2}

_COUNTED = re.compile(r"text_model\.embeddings\.(position_ids|token_type_ids)")
"""Buffers that only count; older transformers stored them, which newer ones refuse."""

_UNUSED = re.compile(
    r"text_branch\.embeddings\.(position_ids|token_type_ids)"
    # The spectrogram is computed outside the network, with equal filters (``check_filters``).
    r"|audio_branch\.(spectrogram_extractor|logmel_extractor)\..+"
    r"|audio_branch\.layers\.\d+\.blocks\.\d+\.attn_mask"
    # Heads for tagging and for training, behind or beside the embedding.
    r"|audio_branch\.(tscam_conv|head)\.(weight|bias)"
    r"|(audio|text)_transform\.sequential\.\d+\.(weight|bias)"
)

FILTERS = "audio_branch.logmel_extractor.melW"
"""(fft // 2 + 1, mels): the frozen mel filters a checkpoint carries along."""


def config(path: Path, tensors: Mapping[str, Tensor]) -> Any:
    """Return the ClapConfig that names and shapes imply.

    Args:
        path: of the checkpoint, for messages.
        tensors: what it holds, by laion_clap's names.

    Raises:
        DataError: its towers are not HTSAT and RoBERTa.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        width, _, patch, _ = shapes["audio_branch.patch_embed.proj.weight"]
        depths = [
            _count(shapes, rf"audio_branch\.layers\.{stage}\.blocks\.(\d+)\.")
            for stage in range(_count(shapes, r"audio_branch\.layers\.(\d+)\."))
        ]
        block = "audio_branch.layers.{}.blocks.0."
        tables = [
            shapes[block.format(stage) + "attn.relative_position_bias_table"]
            for stage in range(len(depths))
        ]
        vocabulary, text_width = shapes["text_branch.embeddings.word_embeddings.weight"]
        inner = shapes["text_branch.encoder.layer.0.intermediate.dense.weight"][0]
        dim = shapes["text_projection.2.weight"][0]
        audio: dict[str, Any] = {
            "patch_embeds_hidden_size": width,
            "hidden_size": width * 2 ** (len(depths) - 1),
            "patch_size": patch,
            "patch_stride": [patch, patch],
            "depths": depths,
            "num_hidden_layers": len(depths),
            "num_attention_heads": [heads for _, heads in tables],
            # Its table has a row for each of the (2 * window - 1)**2 offsets within a window.
            "window_size": (round(tables[0][0] ** 0.5) + 1) // 2,
            "mlp_ratio": shapes[block.format(0) + "mlp.fc1.weight"][0] / width,
            "num_mel_bins": shapes["audio_branch.bn0.weight"][0],
            "enable_fusion": "audio_branch.patch_embed.mel_conv2d.weight" in shapes,
            "fusion_type": "aff_2d",
        }
        text = {
            "vocab_size": vocabulary,
            "hidden_size": text_width,
            "num_hidden_layers": _count(shapes, r"text_branch\.encoder\.layer\.(\d+)\."),
            # Weights do not show the number of heads; RoBERTa's are 64 wide.
            "num_attention_heads": max(1, text_width // 64),
            "intermediate_size": inner,
            "max_position_embeddings": shapes["text_branch.embeddings.position_embeddings.weight"][
                0
            ],
            "type_vocab_size": shapes["text_branch.embeddings.token_type_embeddings.weight"][0],
            "layer_norm_eps": 1e-5,  # RoBERTa's; transformers' default for CLAP is another
        }
    except (KeyError, ValueError, IndexError) as error:
        lacks = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else "of its shapes"
        raise DataError(
            f"'{path}' is not a laion_clap checkpoint with HTSAT and RoBERTa towers",
            why=lacks,
            fix="CLAP_g is 630k-fusion-best.pt, CLAP_m music_speech_audioset_epoch_15_esc_89.98.pt",
            path=str(path),
        ) from error
    return _package(path).ClapConfig(text_config=text, audio_config=audio, projection_dim=dim)


def build(space: str, path: Path, tensors: Mapping[str, Tensor]) -> Any:
    """Return transformers' ClapModel with a checkpoint's weights, in single precision.

    Args:
        space: whose checkpoint it is, for messages.
        path: of the checkpoint, for messages.
        tensors: what it holds, by laion_clap's names.

    Raises:
        MissingError: transformers is not installed.
        DataError: another architecture, or missing, extra or mis-shaped tensors; named as
            the checkpoint names them.
    """
    with torch.device("meta"):  # no random weights that would be thrown away
        model = _package(path).ClapModel(config(path, tensors))
    needed = model.state_dict()
    sources = {name: source(name) for name in needed if not _COUNTED.fullmatch(name)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (laion_name, third) in sources.items():
        rows, *rest = needed[name].shape or (1,)
        stacked = (rows if third is None else 3 * rows, *rest)
        shapes[laion_name] = stacked if needed[name].shape else ()
    used = {name: tensor for name, tensor in tensors.items() if not _UNUSED.fullmatch(name)}
    check_shapes(space, path, used, shapes)
    state = {
        name: _part(tensors[laion_name], third) for name, (laion_name, third) in sources.items()
    }
    for name, tensor in needed.items():
        if (counted := _COUNTED.fullmatch(name)) is not None:
            n = tensor.shape[-1]
            ids = torch.arange(n) if counted[1] == "position_ids" else torch.zeros(n).long()
            state[name] = ids.expand(tensor.shape).contiguous()
    # Meta tensors have no memory to copy into, so that parameters are replaced.
    model.load_state_dict(state, assign=True)
    return model.eval()


def _package(path: Path) -> Any:
    # The module itself: its parents import lazily, and hide what goes wrong.
    return import_package("transformers.models.clap.modeling_clap", str(path), EXTRA)


def source(name: str) -> tuple[str, int | None]:
    """Return where a weight of ClapModel lies in a laion_clap checkpoint.

    Returns:
        The name there, and which third of its rows, or None for all of them.
    """
    laion_name = name
    for pattern, replacement in _RENAMED:
        laion_name = re.sub(pattern, replacement, laion_name)
    third = None
    if (match := _BLOCK.fullmatch(laion_name)) is not None:
        if (part := re.match(r"attention\.self\.(query|key|value)\.", match[2])) is not None:
            third = _THIRDS[part[1]]
        rest = match[2]
        for pattern, replacement in _RENAMED_IN_BLOCKS:
            rest, changed = re.subn(f"^{pattern}", replacement, rest)
            if changed:
                break
        laion_name = match[1] + rest
    return laion_name, third


def _part(tensor: Tensor, third: int | None) -> Tensor:
    part = tensor if third is None else tensor.chunk(3)[third]
    # A copy: the checkpoint may be mapped from a file that changes later.
    return part.to(torch.float32 if part.is_floating_point() else part.dtype, copy=True)


def _count(shapes: Mapping[str, Any], pattern: str) -> int:
    matches = (re.match(pattern, name) for name in shapes)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)
