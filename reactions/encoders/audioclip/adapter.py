"""AudioCLIP: CLIP RN50 with an audio encoder beside it, in one checkpoint.

    audioclip:AudioCLIP-Full-Training.pt    all three towers trained on AudioSet
    audioclip:AudioCLIP-Partial-Training.pt only the audio tower: images and texts are CLIP's
    audioclip:./FILE                        another file of that layout

Source: Guzhov et al., AudioCLIP (ICASSP 2022); names and shapes as in the published repository,
which is not a package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import DataError
from reactions.core.file_digests import DigestCache
from reactions.core.types import SpaceSpec
from reactions.encoders.audioclip.esresnext import AudioEncoder
from reactions.encoders.base import Tower, TowerEncoder, transformer_flops
from reactions.encoders.clap.audio_features import usable
from reactions.encoders.packages import import_package, need_package
from reactions.encoders.preprocessing.clip_bpe import CONTEXT, tokenize
from reactions.encoders.preprocessing.image_transform import ImageTransform
from reactions.encoders.wav2clip import centre, in_groups
from reactions.modalities.audio import resample
from reactions.weights.locate import Requirement, WeightLocator, WeightsFile, verify
from reactions.weights.locate import digest_cache as remembered_digests
from reactions.weights.safe_load import check_shapes, find, read_tensors, require, verify_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

ADAPTER = "audioclip"
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
    ("audio", 5.7e10),  # counted for ten seconds
    ("image", 1.2e10),  # counted
    ("text", transformer_flops(layers=12, width=512, tokens=CONTEXT)),
)

_UNUSED = re.compile(
    r"logit_scale(_ai|_at)?"
    r"|audio\.window"  # Blackman-Harris, which is computed here
    r"|audio\.fbsp\.bias"  # an empty placeholder
    r"|input_resolution|context_length|vocab_size"
)


# --- describing and loading ----------------------------------------------------------


def resolve(
    uri: str,
    *,
    name: str = "",
    digest_cache: DigestCache | None = None,
    locator: WeightLocator | None = None,
) -> SpaceSpec:
    """Describe the space of an AudioCLIP checkpoint, hashing the file but not opening it.

    Args:
        uri: see the module.
        name: what the space is called; "" calls it after the file.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: there is no such file.
        DataError: a published file is not whole, or holds other bytes.
    """
    wanted = uri.removeprefix(f"{ADAPTER}:") or next(iter(PUBLISHED))
    called = name or Path(wanted).stem
    where = locator or WeightLocator.of_environment()
    path, published = find(ADAPTER, wanted, called, PUBLISHED, where)
    digests = digest_cache or remembered_digests()
    weights_digest = verify(called, published or WeightsFile(path.name), path, digests)
    digests.save()
    return SpaceSpec(
        name=called,
        dim=DIM,
        modalities=("audio", "image", "text"),
        adapter=ADAPTER,
        source=str(path),
        licence=published.licence if published else "",
        weights_digest=weights_digest,
        preprocessing=(("audio", _AUDIO_TAG), ("image", _PICTURE.tag), ("text", _TEXT_TAG)),
        flops_per_item=FLOPS_PER_ITEM,
    )


def requirements(uri: str) -> tuple[Requirement, ...]:
    """Return what has to be fetched before a URI can be resolved."""
    wanted = uri.removeprefix(f"{ADAPTER}:") or next(iter(PUBLISHED))
    return (PUBLISHED[wanted],) if wanted in PUBLISHED else ()


def check(spec: SpaceSpec) -> None:
    """Find out, without loading anything heavy, whether ``load`` has what it needs.

    Raises:
        MissingError: the file or a package is missing.
    """
    need_package("open_clip", spec.source, EXTRA)
    require(Path(spec.source), spec.name, f"restore it, or {ADAPTER}:FILE with another path")


def load(spec: SpaceSpec, *, device: str = "cpu") -> TowerEncoder:
    """Open an AudioCLIP checkpoint; nothing is downloaded.

    Args:
        spec: its ``source`` is the checkpoint, absolute.
        device: ``"cpu"`` or ``"cuda:N"``.

    Raises:
        MissingError: the file or a package is missing.
        DataError: not the file that ``spec`` names, or no checkpoint that fits.
    """
    path = Path(spec.source)
    require(path, spec.name, f"restore it, or {ADAPTER}:FILE with another path")
    verify_digest(spec, remembered_digests().of(path), path)
    hearer, clip = build(spec.name, path, read_tensors(path))
    width = hearer.fc.out_features
    if width != spec.dim:
        raise DataError(
            f"the weights of space '{spec.name}' do not fit its description",
            why=f"they embed in {width} dimensions, not {spec.dim}",
            space=spec.name,
            path=str(path),
        )
    hearer, clip = hearer.to(device), clip.to(device)

    def project_images(inputs: Sequence[NDArray[np.uint8]]) -> Tensor:
        pixels = torch.from_numpy(np.stack(inputs)).to(device)
        out: Tensor = clip.encode_image(_PICTURE.normalise(pixels))
        return out

    def project_texts(inputs: Sequence[NDArray[np.int64]]) -> Tensor:
        ids = np.zeros((len(inputs), CONTEXT), np.int64)
        for row, tokens in zip(ids, inputs, strict=True):
            row[: len(tokens)] = tokens
        out: Tensor = clip.encode_text(torch.from_numpy(ids).to(device))
        return out

    return TowerEncoder(
        spec,
        {
            "audio": Tower(samples_of, lambda x: in_groups(hearer, x, device), batch_items=8),
            "image": Tower(_PICTURE.fit, project_images),
            "text": Tower(tokenize, project_texts),
        },
    )


def build(space: str, path: Path, tensors: Mapping[str, Tensor]) -> tuple[AudioEncoder, Any]:
    """Return a checkpoint's audio tower, and its CLIP as open_clip's model.

    Args:
        space: whose checkpoint it is, for messages.
        path: of the checkpoint, for messages.
        tensors: what it holds.

    Raises:
        MissingError: open_clip is not installed.
        DataError: another architecture, or missing, extra or mis-shaped tensors.
    """
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if not _UNUSED.fullmatch(name)
    }
    try:
        hearer = AudioEncoder(_blocks(state, "audio.layer"), int(state["audio.fc.weight"].shape[0]))
        clip = _clip(path, state)
    except (KeyError, ValueError, IndexError) as error:
        lacks = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else "of its shapes"
        raise DataError(
            f"'{path}' is not an AudioCLIP checkpoint",
            why=lacks,
            fix=f"the published ones are {' and '.join(PUBLISHED)}",
            path=str(path),
        ) from error
    parts = {"audio.": hearer, "": clip}
    needed = {
        prefix + name: tuple(tensor.shape)
        for prefix, part in parts.items()
        for name, tensor in part.state_dict().items()
        if not _UNUSED.fullmatch(name)
    }
    check_shapes(space, path, state, needed)
    sound = {k.removeprefix("audio."): v for k, v in state.items() if k.startswith("audio.")}
    hearer.load_state_dict(sound)
    rest = {k: v for k, v in state.items() if not k.startswith("audio.")}
    clip.load_state_dict(rest, strict=False)  # checked above; only the unused scale is left
    return hearer.freeze(), clip.float().eval()


def _clip(path: Path, state: Mapping[str, Tensor]) -> Any:
    open_clip = import_package("open_clip.model", str(path), EXTRA)
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
    samples = centre(resample(usable(sound), RATE_HZ), _MOST_S)
    lacking = max(0, _LEAST - len(samples))
    before = round(0.5 * lacking)
    samples = np.pad(samples, (before, lacking - before), mode="edge")
    # The published code maps 16-bit integers' range to [-1, 1], whose middle is not 0.
    return ((samples * np.float32(32768.0) + 32768.0) * 2.0 / 65535.0 - 1.0).astype(np.float32)
