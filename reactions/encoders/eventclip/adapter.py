"""Event-CLIP: CLIP's image tower, trained on to read events, beside CLIP as it was.

    eventclip:vitb.pt                   from the hub: ViT-B/32, 512 dimensions
    eventclip:vitl.pt                   ViT-L/14, 768 dimensions
    eventclip:./FILE?range=clamped      another file of that layout; other numbers for the tower

A checkpoint holds the state of its training under ``checkpoint``: ``encoder_k`` reads events, and
``encoder_q`` is CLIP, frozen. Texts go through the former, whose text tower was not trained, and
pictures through the latter, where the file has it; where not, the space has no pictures.

``range`` says what becomes of the two planes of counts. ``centred`` (default) is how the encoder
was trained: each is divided by its maximum and one more and mapped to [-1, 1]; their mean is the
picture. ``clamped`` is the README's example: their sum is cut at 10 and divided by its maximum.
Events that come as pictures already are mapped to [-1, 1] (``centred``) or [0, 1].

The repository states no licence: ask its authors before you use the weights.

Source: Jeong et al., Expanding Event Modality Applications through a Robust CLIP-Based Encoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reactions.core.errors import DataError, UsageError, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.base import misfit
from reactions.encoders.flops import transformer_flops
from reactions.encoders.packages import import_package
from reactions.encoders.preprocessing.clip_bpe import CONTEXT, tokenize
from reactions.encoders.preprocessing.image_transform import ImageTransform
from reactions.encoders.published import Checkpoint, CheckpointAdapter, find_checkpoint
from reactions.encoders.tower import Tower, TowerEncoder, image_tower, parts_of, text_tower
from reactions.encoders.uri import join_options
from reactions.modalities.events.pictures import scaled_counts
from reactions.modalities.events.values import Events
from reactions.weights.locate import WeightsFile
from reactions.weights.safe_load import check_shapes, in_single_precision, read_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

EXTRA = "open-clip"
REPO = "Eavn/event-clip"
PUBLISHED: Mapping[str, WeightsFile] = {
    name: WeightsFile(name, repo=REPO) for name in ("vitb.pt", "vitl.pt")
}

RANGES = ("centred", "clamped")
"""Ways to scale counts; the first is the usual one."""

SIDE = 224
_MOST = 10
_EVENTS, _PICTURES = "encoder_k.", ("encoder_q.", "foundation_model.")
_PICTURE = ImageTransform((SIDE, SIDE), "shortest", (SIDE, SIDE))
_SQUARE = ImageTransform((SIDE, SIDE), "squash", (SIDE, SIDE))
_TEXT_TAG = "clip-bpe-77-keeps-end-1"
_UNUSED = re.compile(r"logit_scale|input_resolution|context_length|vocab_size")


class EventClipAdapter(CheckpointAdapter):
    """``eventclip:FILE``; see the module."""

    scheme = "eventclip"
    trains = True
    options = ("range",)
    packages = ("open_clip",)
    extra = EXTRA
    published = PUBLISHED

    def locate(self, request: Any) -> Checkpoint:
        """Find the file that a URI names."""
        way = _range(request.options)
        checkpoint = find_checkpoint(request, self.scheme, self.published, self.default)
        return Checkpoint(checkpoint.space, checkpoint.path, checkpoint.published, {"range": way})

    def locate_again(self, spec: SpaceSpec) -> Checkpoint:
        """Find the file that a description names."""
        return self.locate(self.request(spec.source, spec.name))

    def describe(self, files: Checkpoint, digests: DigestCache) -> SpaceSpec:
        """Describe the space of a checkpoint by the shapes of its tensors."""
        states = _states(files.path, _read(files.path))
        vision, text, dim = _sizes(files.path, states["event"])
        way = _range(files.options)
        tokens = (vision["image_size"] // vision["patch_size"]) ** 2 + 1
        picture = transformer_flops(layers=vision["layers"], width=vision["width"], tokens=tokens)
        words = transformer_flops(layers=text["layers"], width=text["width"], tokens=CONTEXT)
        tags = {"event": f"two-planes-{SIDE}-{way}-1", "image": _PICTURE.tag, "text": _TEXT_TAG}
        flops = {"event": picture, "image": picture, "text": words}
        modalities = tuple(sorted({*states, "text"}))
        return SpaceSpec(
            name=files.space,
            dim=dim,
            modalities=modalities,
            adapter=self.scheme,
            source=join_options(f"{self.scheme}:{files.path}", {"range": way}),
            licence=files.licence,
            weights_digest=files.digest(digests),
            preprocessing=tuple((m, tags[m]) for m in modalities),
            flops_per_item=tuple((m, flops[m]) for m in modalities),
        )

    def open(self, spec: SpaceSpec, files: Checkpoint, device: str) -> TowerEncoder:
        """Load CLIP as open_clip's model: one for events and texts, one for pictures."""
        states = _states(files.path, _read(files.path))
        if not {*spec.modalities} <= {*states, "text"}:
            why = f"they embed {', '.join(sorted({*states, 'text'}))}"
            raise misfit(spec, files.path, why)
        events = _clip(spec.name, files.path, states["event"]).to(device)
        towers = {
            "event": _event_tower(events.encode_image, _range(files.options), device, events),
            "text": text_tower(
                tokenize,
                events.encode_text,
                device=device,
                # open_clip's CLIP adds the positions of all 77 tokens, which fits no shorter text.
                length=CONTEXT,
                most=CONTEXT,
                parts=parts_of(events, but=("visual", "logit")),
            ),
        }
        if "image" in spec.modalities:
            pictures = _clip(spec.name, files.path, states["image"]).to(device)
            towers["image"] = image_tower(
                _PICTURE, pictures.encode_image, device=device, parts=parts_of(pictures, "visual")
            )
        return TowerEncoder(spec, {modality: towers[modality] for modality in spec.modalities})


def _range(options: Mapping[str, str]) -> str:
    way = options.get("range", RANGES[0])
    if way not in RANGES:
        raise UsageError(
            f"no range '{way}' of event pictures",
            why=f"there are {', '.join(RANGES)}",
            fix=suggestion(way, RANGES),
        )
    return way


# --- events --------------------------------------------------------------------------


def _event_tower(encode: Callable[[Tensor], Any], way: str, device: str, network: Any) -> Tower:
    def project(inputs: Any) -> Tensor:
        planes = torch.from_numpy(np.stack(inputs)).to(device)
        out: Tensor = encode(planes[:, None].expand(-1, 3, -1, -1))
        return out

    return Tower(partial(plane_of, way=way), project, parts=parts_of(network, "visual"), limits=())


def plane_of(value: Any, way: str = RANGES[0]) -> NDArray[np.float32]:
    """Return events as the tower takes them; it sees the plane three times.

    Args:
        value: ``Events``, or the (h, w, 3) uint8 picture of some, which is squashed to a square
            as coordinates are, and of which the mean of the channels is taken.
        way: one of ``RANGES``.

    Returns:
        (224, 224) float32, in [-1, 1] or in [0, 1].
    """
    if not isinstance(value, Events):
        squashed: NDArray[np.float32] = _SQUARE.resized(value).astype(np.float32)
        mean: NDArray[np.float32] = squashed.mean(axis=2) / np.float32(255)
        return _to_both_sides(mean) if way == RANGES[0] else mean
    counts = scaled_counts(value, SIDE).astype(np.float32)
    if way == RANGES[0]:
        shares = counts / (counts.max(axis=(1, 2), keepdims=True) + 1)
        centred: NDArray[np.float32] = _to_both_sides(shares).mean(axis=0)
        return centred
    clamped: NDArray[np.float32] = counts.sum(axis=0).clip(0, _MOST)
    scaled: NDArray[np.float32] = clamped / clamped.max()  # there is at least one event
    return scaled


def _to_both_sides(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    return (shares - np.float32(0.5)) * np.float32(2)


# --- weights -------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Tensor]:
    return read_tensors(path, under=("checkpoint", "state_dict"))


def _states(path: Path, tensors: Mapping[str, Tensor]) -> dict[Modality, dict[str, Tensor]]:
    """Return the CLIPs of a checkpoint: that of events, and that of pictures where there is one.

    Raises:
        DataError: it has none for events.
    """

    def under(prefix: str) -> dict[str, Tensor]:
        state = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        return in_single_precision({k: t for k, t in state.items() if not _UNUSED.fullmatch(k)})

    events = under(_EVENTS)
    pictures = next((state for prefix in _PICTURES if (state := under(prefix))), {})
    if not events:
        raise DataError(
            f"'{path}' is not a checkpoint of Event-CLIP",
            why=f"no tensor's name begins with '{_EVENTS}'",
            fix=f"the published ones are {' and '.join(PUBLISHED)} of {REPO}",
            path=str(path),
        )
    return {"event": events, "image": pictures} if pictures else {"event": events}


def _sizes(path: Path, state: Mapping[str, Tensor]) -> tuple[dict[str, int], dict[str, int], int]:
    """Return the sizes of a CLIP with a vision transformer, as open_clip's configuration has them.

    Raises:
        DataError: it is of another kind.
    """
    try:
        width, _, patch, _ = state["visual.conv1.weight"].shape
        side = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
        text_width = int(state["ln_final.weight"].shape[0])
        vision = {
            "layers": _layers(state, "visual.transformer.resblocks."),
            "width": int(width),
            "patch_size": int(patch),
            "image_size": int(patch) * side,
        }
        text = {
            "context_length": int(state["positional_embedding"].shape[0]),
            "vocab_size": int(state["token_embedding.weight"].shape[0]),
            "width": text_width,
            "heads": max(1, text_width // 64),
            "layers": _layers(state, "transformer.resblocks."),
        }
        return vision, text, int(state["text_projection"].shape[1])
    except (KeyError, ValueError, IndexError) as error:
        lacks = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else "of its shapes"
        raise DataError(
            f"'{path}' holds no CLIP with a vision transformer",
            why=lacks,
            fix=f"the published ones are {' and '.join(PUBLISHED)} of {REPO}",
            path=str(path),
        ) from error


def _layers(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({k[len(prefix) :].split(".")[0] for k in state if k.startswith(prefix)})


def _clip(space: str, path: Path, state: Mapping[str, Tensor]) -> Any:
    vision, text, dim = _sizes(path, state)
    open_clip = import_package("open_clip.model", str(path), EXTRA)
    # As in OpenAI's CLIP, from which it was trained: an activation leaves no weights to see.
    clip = open_clip.CLIP(dim, vision_cfg=vision, text_cfg=text, quick_gelu=True)
    needed = {
        name: tuple(tensor.shape)
        for name, tensor in clip.state_dict().items()
        if not _UNUSED.fullmatch(name)
    }
    check_shapes(space, path, state, needed)
    clip.load_state_dict(dict(state), strict=False)  # checked above; the scale alone is left
    return clip.float().eval()
