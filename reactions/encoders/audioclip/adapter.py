"""AudioCLIP: CLIP RN50 with an audio encoder beside it, in one checkpoint.

    audioclip:AudioCLIP-Full-Training.pt    all three towers trained on AudioSet
    audioclip:AudioCLIP-Partial-Training.pt only the audio tower: images and texts are CLIP's
    audioclip:./FILE                        another file of that layout

Source: Guzhov et al., AudioCLIP (ICASSP 2022); names and shapes as in the published repository,
which is not a package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from reactions.core.errors import DataError
from reactions.core.file_digests import DigestCache
from reactions.core.types import SpaceSpec
from reactions.encoders.audioclip.esresnext import ESResNeXt
from reactions.encoders.base import misfit
from reactions.encoders.by_shape import by_shape
from reactions.encoders.packages import import_package
from reactions.encoders.preprocessing.clip_bpe import CONTEXT, tokenize
from reactions.encoders.preprocessing.image_transform import ImageTransform
from reactions.encoders.preprocessing.waveforms import centre, clipped, unheard
from reactions.encoders.published import Checkpoint, CheckpointAdapter
from reactions.encoders.tower import (
    Tower,
    TowerEncoder,
    image_tower,
    parts_of,
    text_tower,
)
from reactions.modalities.audio import resample
from reactions.weights.locate import WeightsFile
from reactions.weights.safe_load import check_shapes, in_single_precision, read_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXTRA = "open-clip"
DIM = 1024

_URL = "https://github.com/AndreyGuzhov/AudioCLIP/releases/download/v0.1/"
PUBLISHED: Mapping[str, WeightsFile] = {
    name: WeightsFile(name, url=_URL + name, sha256=sha256, size_bytes=537_302_068, licence="MIT")
    for name, sha256 in (
        (
            "AudioCLIP-Full-Training.pt",
            "2441d35b353352c8b1bbfb8f7c687f46314c3d2909e940eaf763b8c17f632c44",
        ),
        (
            "AudioCLIP-Partial-Training.pt",
            "1921885b6c3b5de0619f2ef4a9700ecbade758a398b34eb064230c30baef0c75",
        ),
    )
}
"""Size and digests are those that the repository's large-file pointers give."""

RATE_HZ = 44_100
_LEAST, _MOST_S = 220_500, 10
_AUDIO_TAG = "44khz-edge-padded-5s-to-centre-10s-1"
_TEXT_TAG = "clip-bpe-77-keeps-end-1"
_PICTURE = ImageTransform((224, 224), "shortest", (224, 224))

FLOPS_PER_ITEM = (
    ("audio", 5.7e10),
    ("image", 1.2e10),
    ("text", 5_959_016_448.0),
)
"""Counted; for ten seconds of sound, and for 77 tokens of twelve layers, 512 wide."""

_UNUSED = re.compile(
    r"logit_scale(_ai|_at)?"
    r"|audio\.window"  # Blackman-Harris, which is computed here
    r"|audio\.fbsp\.bias"  # an empty placeholder
    r"|input_resolution|context_length|vocab_size"
)


# --- describing and loading ----------------------------------------------------------


class AudioClipAdapter(CheckpointAdapter):
    """``audioclip:FILE``; see the module."""

    scheme = "audioclip"
    trains = True
    packages = ("open_clip",)
    extra = EXTRA
    published = PUBLISHED
    default = "AudioCLIP-Full-Training.pt"

    def describe(self, files: Checkpoint, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a checkpoint, hashing the file but not opening it."""
        return SpaceSpec(
            name=files.space,
            dim=DIM,
            modalities=("audio", "image", "text"),
            adapter=self.scheme,
            source=str(files.path),
            licence=files.licence,
            weights_digest=files.digest(digests),
            preprocessing=(("audio", _AUDIO_TAG), ("image", _PICTURE.tag), ("text", _TEXT_TAG)),
            flops_per_item=FLOPS_PER_ITEM,
        )

    def open(self, spec: SpaceSpec, files: Checkpoint, device: str) -> TowerEncoder:
        """Load the audio tower, and CLIP as open_clip's model."""
        audio_encoder, clip = build(spec.name, files.path, read_tensors(files.path))
        width = audio_encoder.fc.out_features
        if width != spec.dim:
            why = f"they embed in {width} dimensions, not {spec.dim}"
            raise misfit(spec, files.path, why)
        audio_encoder, clip = audio_encoder.to(device), clip.to(device)

        audio = Tower(
            samples_of,
            lambda inputs: by_shape(audio_encoder, inputs, device),
            batch_items=8,
            limits=(unheard(_MOST_S),),
            # Unfrozen only for training, which needs the transform's parameters in the graph.
            parts=lambda: parts_of(audio_encoder.unfreeze())(),
        )
        image = image_tower(
            _PICTURE, clip.encode_image, device=device, parts=parts_of(clip, "visual")
        )
        text = text_tower(
            tokenize,
            clip.encode_text,
            device=device,
            # open_clip's CLIP adds the positions of all 77 tokens, which fits no shorter text.
            length=CONTEXT,
            most=CONTEXT,
            parts=parts_of(clip, but=("visual", "logit")),
        )
        return TowerEncoder(spec, {"audio": audio, "image": image, "text": text})


def build(space: str, path: Path, tensors: Mapping[str, Tensor]) -> tuple[ESResNeXt, Any]:
    """Return a checkpoint's audio tower, and its CLIP as open_clip's model.

    Args:
        space: whose checkpoint it is, for messages.
        path: of the checkpoint, for messages.
        tensors: what it holds.

    Raises:
        MissingError: open_clip is not installed.
        DataError: another architecture, or missing, extra or mis-shaped tensors.
    """
    state = in_single_precision(
        {name: tensor for name, tensor in tensors.items() if not _UNUSED.fullmatch(name)}
    )
    try:
        audio_encoder = ESResNeXt(
            _blocks(state, "audio.layer"), int(state["audio.fc.weight"].shape[0])
        )
        clip = _clip(path, state)
    except (KeyError, ValueError, IndexError) as error:
        lacks = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else "of its shapes"
        raise DataError(
            f"'{path}' is not an AudioCLIP checkpoint",
            why=lacks,
            fix=f"the published ones are {' and '.join(PUBLISHED)}",
            path=str(path),
        ) from error
    parts = {"audio.": audio_encoder, "": clip}
    needed = {
        prefix + name: tuple(tensor.shape)
        for prefix, part in parts.items()
        for name, tensor in part.state_dict().items()
        if not _UNUSED.fullmatch(name)
    }
    check_shapes(space, path, state, needed)
    sound = {k.removeprefix("audio."): v for k, v in state.items() if k.startswith("audio.")}
    audio_encoder.load_state_dict(sound)
    rest = {k: v for k, v in state.items() if not k.startswith("audio.")}
    clip.load_state_dict(rest, strict=False)  # checked above; only the unused scale is left
    return audio_encoder.freeze(), clip.float().eval()


def _clip(path: Path, state: Mapping[str, Tensor]) -> Any:
    open_clip = import_package("open_clip.model", str(path), EXTRA)
    # A position for each cell of the last grid, 32 pixels wide, and one for their mean.
    side = round((state["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    width = int(state["ln_final.weight"].shape[0])
    vision = {
        "layers": _blocks(state, "visual.layer"),
        "width": int(state["visual.layer1.0.conv1.weight"].shape[0]),
        "image_size": 32 * side,
    }
    text = {
        "context_length": int(state["positional_embedding"].shape[0]),
        "vocab_size": int(state["token_embedding.weight"].shape[0]),
        "width": width,
        "heads": max(1, width // 64),
        "layers": len({k.split(".")[2] for k in state if k.startswith("transformer.resblocks.")}),
    }
    dim = int(state["text_projection"].shape[1])
    # As in OpenAI's CLIP, from which it was trained: an activation leaves no weights to see.
    return open_clip.CLIP(dim, vision_cfg=vision, text_cfg=text, quick_gelu=True)


def _blocks(state: Mapping[str, Tensor], prefix: str) -> tuple[int, ...]:
    stages = (
        {k.split(".")[2] for k in state if k.startswith(f"{prefix}{i}.")} for i in range(1, 5)
    )
    return tuple(len(stage) for stage in stages)


def samples_of(sound: Any) -> NDArray[np.float32]:
    """Return a decoded sound as the audio tower takes it.

    Sounds of up to ten seconds are taken whole, longer ones cut to their middle. Those under
    five are centred and their first and last sample held, as in the published evaluation.

    Args:
        sound: a ``Waveform``.

    Returns:
        (n,) float32 at 44.1 kHz, 220,500 <= n <= 441,000, in [-1, 1].

    Raises:
        MediaError: it is not a usable sound.
    """
    samples = centre(resample(clipped(sound), RATE_HZ), _MOST_S)
    lacking = max(0, _LEAST - len(samples))
    before = round(0.5 * lacking)
    samples = np.pad(samples, (before, lacking - before), mode="edge")
    # The published code maps 16-bit integers' range to [-1, 1], whose middle is not 0.
    return ((samples * np.float32(32768.0) + 32768.0) * 2.0 / 65535.0 - 1.0).astype(np.float32)
