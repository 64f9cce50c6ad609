"""From a checkpoint file to towers: nothing is run, nothing is guessed, little is read.

Files are mapped, not read, and a tower's weights are touched when it is first used. What
the file holds is compared by name and shape with what the towers need.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reactions.core.errors import DataError
from reactions.core.types import Modality
from reactions.encoders.imagebind.sizes import (
    HUGE,
    PARTS,
    PUBLISHED,
    TOWERS,
    ImageBindSizes,
    TowerSize,
)
from reactions.encoders.imagebind.towers import ImageBind
from reactions.weights.safe_load import package_errors, read_tensors, shape_text, unfit

METADATA = "molspace"
"""Entry of a safetensors header that may hold JSON: ``{"heads": {modality: heads}}``."""

OPTIONAL = frozenset({"modality_preprocessors.text.mask"})
"""Keys that follow from the sizes: some forms of the checkpoint leave them out."""

_TOPS = frozenset(f"modality_{part}" for part in PARTS)
_NAMED = 6  # keys named in a message
_NO_FLOAT = torch.int64
"""Stands for every type of element that cannot be a weight."""

_ELEMENTS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


@dataclass(frozen=True, slots=True)
class ImageBindCheckpoint:
    """An open file of weights.

    Attributes:
        path: of the file.
        kinds: key to (shape, element type).
        tensor: reads the tensor of a key.
        heads: modality to attention heads, where the file says.
    """

    path: Path
    kinds: Mapping[str, tuple[tuple[int, ...], torch.dtype]]
    tensor: Callable[[str], Tensor]
    heads: Mapping[Modality, int]


def read(path: Path, *, space: str = "ImageBind") -> ImageBindCheckpoint:
    """Open a file that ``torch.save`` or safetensors wrote.

    Raises:
        DataError: it is neither, is damaged, or holds anything but tensors by name.
    """
    with package_errors(space, path):
        with path.open("rb") as stream:
            start = stream.read(9)
        # safetensors begins with the length of its header in eight bytes, then the header, JSON.
        if start[8:] == b"{":
            return _read_safetensors(path)
        tensors = read_tensors(path)
    kinds = {}
    for key, value in tensors.items():
        usable = value.layout == torch.strided and value.device.type == "cpu"
        kinds[key] = (tuple(value.shape), value.dtype if usable else _NO_FLOAT)
    return ImageBindCheckpoint(path, kinds, tensors.__getitem__, {})


def _read_safetensors(path: Path) -> ImageBindCheckpoint:
    from safetensors import safe_open

    file: Any = safe_open(path, framework="pt")
    kinds = {}
    for key in file.keys():  # noqa: SIM118
        # A slice gives shape and type, and reads no numbers.
        part = file.get_slice(key)
        kinds[key] = (tuple(part.get_shape()), _ELEMENTS.get(part.get_dtype(), _NO_FLOAT))
    heads = json.loads((file.metadata() or {}).get(METADATA, "{}")).get("heads", {})
    head_counts = {str(modality): int(n) for modality, n in heads.items()}
    return ImageBindCheckpoint(path, kinds, file.get_tensor, head_counts)


def sizes_of(
    checkpoint: ImageBindCheckpoint,
    modalities: Iterable[Modality],
    heads: Mapping[Modality, int] | None = None,
    *,
    space: str = "ImageBind",
) -> ImageBindSizes:
    """Read a model's sizes off its weights, and check that every weight is there.

    Weights do not show the number of attention heads: that of the published model is known,
    of any other size the file or the caller has to give it.

    Args:
        checkpoint: the open file.
        modalities: to be embedded; towers of others are not looked at.
        heads: modality to attention heads, where the file does not say.
        space: whose checkpoint it is, for messages.

    Raises:
        DataError: keys are missing, unexpected or of another shape; ``fields`` names them.
    """
    needed = tuple(dict.fromkeys(TOWERS[modality] for modality in modalities))
    head_counts = {**checkpoint.heads, **(heads or {})}
    # What most heads agree on, so that one that differs is reported as the wrong key.
    rows = Counter(
        shape[0]
        for key, (shape, _) in checkpoint.kinds.items()
        if key in _projections(needed) and len(shape) == 2
    )
    sizes = ImageBindSizes(
        dim=rows.most_common(1)[0][0] if rows else HUGE.dim,
        towers={modality: _tower_size(checkpoint, modality, head_counts) for modality in needed},
    )
    _check(checkpoint, sizes, space)
    return sizes


def _projections(modalities: Iterable[Modality]) -> set[str]:
    last = {"text": "proj.1.weight", "imu": "3.weight"}
    return {f"modality_heads.{PUBLISHED[m]}.{last.get(m, '2.weight')}" for m in modalities}


def _tower_size(
    checkpoint: ImageBindCheckpoint, modality: Modality, heads: Mapping[Modality, int]
) -> TowerSize:
    name = PUBLISHED[modality]
    if not any(_tower_of(key) == name for key in checkpoint.kinds):
        towers = sorted({tower for key in checkpoint.kinds if (tower := _tower_of(key))})
        raise DataError(
            f"'{checkpoint.path}' has no {modality} tower of ImageBind",
            why="it has " + (", ".join(towers) or _listed(list(checkpoint.kinds)) or "nothing"),
            fix="name the modalities it has, or give the published imagebind_huge.pth",
            path=str(checkpoint.path),
            modality=modality,
        )
    block = re.compile(rf"modality_trunks\.{name}\.blocks\.(\d+)\.norm_[12]\.weight")
    widths: Counter[int] = Counter()
    depth = 0
    for key, (shape, _) in checkpoint.kinds.items():
        if (match := block.fullmatch(key)) and len(shape) == 1:
            widths[shape[0]] += 1
            depth = max(depth, int(match[1]) + 1)
    # Most norms agree even where a few keys are wrong: those are then named, not all others.
    width = widths.most_common(1)[0][0] if widths else HUGE.towers[modality].width
    if modality not in heads:
        if width == HUGE.towers[modality].width:
            return HUGE.towers[modality]
        raise DataError(
            f"cannot tell the attention heads of the {modality} tower in '{checkpoint.path}'",
            why=f"its width is {width}, not the {HUGE.towers[modality].width} of the published "
            "model, and weights do not show it",
            fix=f'save it as safetensors with the metadata {METADATA} = {{"heads": '
            f'{{"{modality}": N, ...}}}}',
            path=str(checkpoint.path),
            modality=modality,
        )
    if heads[modality] < 1 or width % heads[modality]:
        raise DataError(
            f"the {modality} tower in '{checkpoint.path}' cannot have {heads[modality]} heads",
            why=f"its width is {width}",
            path=str(checkpoint.path),
            modality=modality,
        )
    return TowerSize(width, depth, heads[modality])


def _tower_of(key: str) -> str | None:
    """Return the tower a key belongs to, as the checkpoint calls it."""
    first, _, rest = key.partition(".")
    name, dot, _ = rest.partition(".")
    return name if dot and first in _TOPS and name in PUBLISHED.values() else None


def _check(checkpoint: ImageBindCheckpoint, sizes: ImageBindSizes, space: str) -> None:
    with torch.device("meta"):
        needed = {k: tuple(v.shape) for k, v in ImageBind(sizes).state_dict().items()}
    missing, wrong = [], []
    for key, shape in needed.items():
        stored, dtype = checkpoint.kinds.get(key, (None, torch.float32))
        if stored is None:
            if key not in OPTIONAL:
                missing.append(key)
        elif stored != shape:
            wrong.append((key, shape_text(stored), shape_text(shape)))
        elif not dtype.is_floating_point:
            wrong.append((key, "not of floats", shape_text(shape)))
    # Towers that may be there without being used are known by name; all else is unexpected.
    spare = {*PUBLISHED.values()} - {PUBLISHED[modality] for modality in sizes.towers}
    unexpected = [k for k in checkpoint.kinds if k not in needed and _tower_of(k) not in spare]
    if missing or unexpected or wrong:
        raise unfit(
            space, checkpoint.path, missing=missing, unexpected=unexpected, mismatched=wrong
        )


def _listed(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


class LazyTowers:
    """A model whose towers are brought to the device when first used.

    Args:
        checkpoint: where the weights are; checked by ``sizes_of``.
        sizes: of the model.
        device: ``"cpu"`` or ``"cuda:N"``.
        dtype: of the weights there.
    """

    def __init__(
        self,
        checkpoint: ImageBindCheckpoint,
        sizes: ImageBindSizes,
        *,
        device: str,
        dtype: torch.dtype,
    ) -> None:
        self.sizes, self.device, self.dtype = sizes, torch.device(device), dtype
        self._checkpoint = checkpoint
        self._models: dict[Modality, ImageBind] = {}
        self._lock = threading.Lock()

    def __call__(self, modality: Modality, inputs: Tensor) -> Tensor:
        """Embed a batch; see ``ImageBind.forward``."""
        moved = inputs.to(self.device, self.dtype if inputs.is_floating_point() else None)
        out: Tensor = self.model(modality)(modality, moved)
        return out

    def model(self, modality: Modality) -> ImageBind:
        """Return the network of one modality, on the device."""
        with self._lock:
            if modality not in self._models:
                # What inference mode makes could not be trained later.
                with torch.inference_mode(False):
                    self._models[modality] = self._bring(modality)
            return self._models[modality]

    def _bring(self, modality: Modality) -> ImageBind:
        with torch.device("meta"):
            model = ImageBind(self.sizes, (modality,))
        state = {
            key: self._checkpoint.tensor(key).to(self.device, self.dtype)
            for key in model.state_dict()
            if key not in OPTIONAL
        }
        # Not strict for the mask's sake alone: sizes_of has checked all other keys. Assigned, as
        # meta tensors have no memory to copy into.
        model.load_state_dict(state, strict=False, assign=True)
        return model.eval().requires_grad_(False)
