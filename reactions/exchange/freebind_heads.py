"""FreeBind's published files, read and checked: mixtures of projectors, the tuned audio encoder.

The tuned encoder and its projectors lie in one state dictionary:

    ib.modality_{preprocessors,trunks,heads,postprocessors}.audio...    ImageBind's audio tower
    ib_head.projectors.{0..6}.Head2.mlps.{0,1,3,4}...    InternVL_IB's projectors, tuned with it
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reactions.core.errors import DataError, DimensionMismatch, MissingError
from reactions.core.local_files import is_file
from reactions.core.types import Digest, SpaceSpec
from reactions.exchange.freebind_products import FILE, SUBSETS
from reactions.exchange.published_heads import (
    PublishedHead,
    TensorLayout,
    batch_norm,
    checked_head,
    linear,
    read_file,
    read_head,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reactions.encoders.imagebind.sizes import ImageBindSizes

LAYERS = "Head2.mlps."
"""Precedes the number of a projector's layer."""

_NUMBERED = ("mix", "A", "T", "V", "AT", "AV", "TV")
"""The published folders in the order of the published code, for projectors that have numbers."""

_TOWER = "ib."
_HEAD = "ib_head.projectors."
_AUDIO = "audio"
_BLOCK = re.compile(r"ib\.modality_trunks\.audio\.blocks\.(\d+)\.")


def head_layout(prefix: str = "") -> TensorLayout:
    """Return a projector's tensors: Linear - BatchNorm - ReLU - Linear - BatchNorm, as ours.

    Args:
        prefix: of their names.
    """
    name = prefix + LAYERS
    return {
        **linear(f"{name}0", "in", "hidden"),
        **batch_norm(f"{name}1", "hidden"),
        **linear(f"{name}3", "hidden", "out"),
        **batch_norm(f"{name}4", "out"),
    }


def read_mixture(folder: Path, part: str) -> Iterator[tuple[str, PublishedHead]]:
    """Yield the projectors of one published folder, with our names of their subsets.

    Raises:
        MissingError: one is not there.
        DataError: a file is damaged, or holds other tensors than published.
    """
    paths = {subset: folder / part / subset / FILE for subset in SUBSETS}
    missing = [f"{subset}/{FILE}" for subset, path in paths.items() if not is_file(path)]
    if missing:
        raise MissingError(
            f"the projectors in {folder / part} are not complete",
            why=f"there is no {', '.join(missing)}",
            fix="a mixture is the mean of all seven: copy the published folder again",
            looked_in=[str(folder / part)],
            missing=missing,
        )
    for subset, path in paths.items():
        yield SUBSETS[subset], read_head(path, head_layout(), "FreeBind")


@dataclass(frozen=True)
class PublishedTuning:
    """The tuned audio encoder, with the projectors that were tuned with it.

    Attributes:
        path: of its file.
        sha256: of the file.
        widths: of what enters the projectors (``in``), and of their layers (``hidden``, ``out``).
        tower: tensors of ImageBind's audio tower, by the names of its published checkpoint.
        heads: our name of a subset to the tensors of a projector, by our layers' numbers.
    """

    path: Path
    sha256: Digest
    widths: Mapping[str, int]
    tower: Mapping[str, NDArray[np.float32]] = field(repr=False)
    heads: Mapping[str, Mapping[str, NDArray[np.float32]]] = field(repr=False)


def read_tuning(path: Path) -> PublishedTuning:
    """Read the tuned audio encoder, and check every tensor by name, shape and value.

    The published code loads the projectors by their numbers. Which subset each was made from is
    not in the file: the numbers are taken to be in the order of its list of folders. The mean over
    all seven is the same in any order.

    Raises:
        MissingError: there is no such file.
        DataError: it is damaged, holds code, or other tensors than published.
    """
    stored = read_file(path)
    layout: dict[str, tuple[int | str, ...]] = {
        f"{_TOWER}{name}": shape for name, shape in _tower_shapes(stored).items()
    }
    for number in range(len(_NUMBERED)):
        layout |= head_layout(f"{_HEAD}{number}.")
    head = checked_head(path, stored, layout, "tuned audio encoder of FreeBind")
    dim = head.tensors[f"{_TOWER}modality_heads.audio.2.weight"].shape[0]
    if head.widths["in"] != dim:
        raise DataError(
            f"'{path}' is not a tuned audio encoder of FreeBind",
            why=f"its encoder gives {dim} dimensions, its projectors take {head.widths['in']}",
            fix="copy the published file again",
            path=str(path),
        )
    heads = {
        SUBSETS[subset]: {
            name.removeprefix(prefix): array
            for name, array in head.tensors.items()
            if name.startswith(prefix)
        }
        for prefix, subset in ((f"{_HEAD}{n}.{LAYERS}", s) for n, s in enumerate(_NUMBERED))
    }
    tower = {
        name.removeprefix(_TOWER): array
        for name, array in head.tensors.items()
        if name.startswith(_TOWER)
    }
    ordered = {subset: heads[subset] for subset in SUBSETS.values()}
    return PublishedTuning(path, head.sha256, head.widths, tower, ordered)


def check_tuning(tuning: PublishedTuning, base: SpaceSpec, dim: int) -> None:
    """Check that a space's audio tower can take the tuned weights, and that they lead to a product.

    Args:
        tuning: what was published.
        base: the space; the shapes of its weights are read, and not their values.
        dim: of the product.

    Raises:
        MissingError: the space's weights are not there.
        DataError: it is not ImageBind in single precision.
        DimensionMismatch: it is one of another size, or the product has other dimensions.
    """
    from reactions.encoders.imagebind.adapter import ImageBindAdapter, locate
    from reactions.encoders.imagebind.checkpoint import read

    fix = "take --lab paper, or a product without a tuned encoder: --product InternVL_IB_PP"
    if base.adapter != ImageBindAdapter.scheme:
        raise DataError(
            f"'{tuning.path}' does not fit space '{base.name}'",
            why=f"it holds weights of ImageBind's audio encoder; the space is opened by the "
            f"adapter '{base.adapter}'",
            fix=fix,
            path=str(tuning.path),
        )
    kinds = read(locate(Path(base.source), base.name), space=base.name).kinds
    tower_shapes = {name: shape for name, (shape, _) in kinds.items() if f".{_AUDIO}." in name}
    tuned_shapes = {name: array.shape for name, array in tuning.tower.items()}
    for name in sorted(tower_shapes.keys() | tuned_shapes.keys()):
        if tower_shapes.get(name) != tuned_shapes.get(name):
            raise DimensionMismatch(
                f"'{tuning.path}' does not fit space '{base.name}'",
                why=f"{name} is {tuned_shapes.get(name, 'absent')} there, and "
                f"{tower_shapes.get(name, 'absent')} in '{base.source}'",
                fix=fix,
                path=str(tuning.path),
                found=list(tuned_shapes.get(name, ())),
                expected=list(tower_shapes.get(name, ())),
            )
    if tuning.widths["out"] != dim:
        raise DimensionMismatch(
            f"'{tuning.path}' does not fit the lab's spaces",
            why=f"its projectors give {tuning.widths['out']} dimensions, the product has {dim}",
            fix=fix,
            path=str(tuning.path),
            found=[tuning.widths["out"]],
            expected=[dim],
        )


def tuned_tensors(tuning: PublishedTuning) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of a bundle's tuned part; see ``products.tuned``."""
    from reactions.products.tuned import ENCODER, HEAD

    # A part has no tensors without a shape; the one there is scales all rows, which are then
    # rescaled to unit norm.
    tensors = {f"{ENCODER}{name}": array for name, array in tuning.tower.items() if array.ndim}
    for subset, head in tuning.heads.items():
        tensors |= {f"{HEAD}0.{subset}.{name}": array for name, array in head.items()}
    return tensors


def _tower_shapes(stored: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of ImageBind's audio tower, of the size that a file seems to have."""
    from reactions.encoders.imagebind.sizes import HUGE, ImageBindSizes, TowerSize

    published = HUGE.towers[_AUDIO]
    token = stored.get(f"{_TOWER}modality_preprocessors.audio.cls_token")
    last = stored.get(f"{_TOWER}modality_heads.audio.2.weight")
    width = published.width if token is None or token.ndim == 0 else int(token.shape[-1])
    dim = HUGE.dim if last is None or last.ndim == 0 else int(last.shape[0])
    # Counted, as a number within a name could be of any size.
    depth = len({match[1] for match in map(_BLOCK.match, stored) if match}) or published.depth
    # Attention heads are in no shape; those of the space are used.
    return tower_shapes(ImageBindSizes(dim, {_AUDIO: TowerSize(width, depth, 1)}))


def tower_shapes(sizes: ImageBindSizes) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors of an audio tower."""
    import torch

    from reactions.encoders.imagebind.towers import ImageBind

    with torch.device("meta"):
        state = ImageBind(sizes, (_AUDIO,)).state_dict()
    return {name: tuple(value.shape) for name, value in state.items()}
