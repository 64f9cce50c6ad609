"""A tower of point clouds for ImageBind, out of a checkpoint of PointBind's.

Only what PointBind added is read: its encoder, a projection and a head. The ImageBind that such a
checkpoint holds as well is compared with the one at hand, and not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reactions.core.errors import DataError, UsageError, suggestion
from reactions.encoders.base import Unusable
from reactions.encoders.imagebind.checkpoint import ImageBindCheckpoint
from reactions.encoders.pointbind.networks import I2PMAE, PointBERT
from reactions.encoders.tower import Tower, parts_of
from reactions.modalities.point import POINT
from reactions.ops.points import farthest_points, group, subsample, unit_sphere
from reactions.weights.safe_load import check_shapes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

POINTS = 8192
"""That the encoders take of a cloud."""

SAMPLINGS = ("random", "farthest")
"""How so many are chosen where there are more."""

FLOPS_PER_ITEM = 2.2e10
"""Counted, of I2P-MAE; PointBERT takes 3.6e10. Choosing points comes on top."""

_MIDDLE = 512
_ENCODER, _PROJECTION = "point_encoder.", "pc_projection"
_HEAD, _IMAGEBIND = "bind.modality_head_point.", "bind."
_UNUSED = ("logit_scale", "bind.modality_postprocessor_point.")
"""Its factor is 1, and rows are scaled to unit norm."""

_BATCH = 8


class PointNetwork(nn.Module):
    """A cloud to ImageBind's space.

    Args:
        point_encoder: (n, points, 3) to (n, width).
        dim: of the space.
    """

    def __init__(self, point_encoder: I2PMAE | PointBERT, dim: int) -> None:
        super().__init__()
        self.point_encoder = point_encoder
        self.pc_projection = nn.Parameter(torch.zeros(point_encoder.width, _MIDDLE))
        # The published head has a dropout in its middle, which is off when it embeds.
        self.head = nn.Sequential(
            nn.LayerNorm(_MIDDLE, eps=1e-6), nn.Identity(), nn.Linear(_MIDDLE, dim, bias=False)
        )

    def forward(self, xyz: Tensor) -> Tensor:
        """Embed (n, points, 3) clouds in the unit sphere: (n, dim) rows of norm 1, as published."""
        return functional.normalize(self.head(self.point_encoder(xyz) @ self.pc_projection), dim=-1)


def preprocessing_tag(sampling: str) -> str:
    """Return what changes whenever a prepared cloud can change."""
    return f"{sampling}-{POINTS}-xyz-unit-sphere-1"


def check_sampling(sampling: str) -> str:
    """Return a way to choose points.

    Raises:
        UsageError: there is no such way.
    """
    if sampling not in SAMPLINGS:
        raise UsageError(
            f"no way '{sampling}' to choose points",
            why=f"there are {', '.join(SAMPLINGS)}",
            fix=suggestion(sampling, SAMPLINGS),
        )
    return sampling


def xyz_of(value: Any, sampling: str = SAMPLINGS[0]) -> NDArray[np.float32]:
    """Choose 8192 points of a cloud, and bring them into the unit sphere; colours are left aside.

    A cloud of exactly as many is taken whole; one of fewer is repeated.

    Args:
        value: (n, 3) or (n, 6) float32.
        sampling: ``"random"``, the same for every cloud of as many points, or ``"farthest"``, as
            the published evaluation sets were made, and slow.

    Returns:
        (8192, 3) float32, centroid 0, largest norm 1.

    Raises:
        Unusable: it is not a usable cloud.
    """
    if why := POINT.why_unusable(value):
        raise Unusable("point", why)
    xyz = torch.from_numpy(np.ascontiguousarray(value[:, :3]))
    if len(xyz) > POINTS and sampling == "farthest":
        xyz = group(xyz, farthest_points(xyz, POINTS))
    elif len(xyz) != POINTS:
        xyz = subsample(xyz, POINTS)
    normalised: NDArray[np.float32] = unit_sphere(xyz).numpy()
    return normalised


def point_tower(
    checkpoint: ImageBindCheckpoint, dim: int, *, space: str, device: str, sampling: str
) -> Tower:
    """Return the tower of a checkpoint.

    Args:
        checkpoint: PointBind's, open.
        dim: of the space.
        space: whose it is, for messages.
        device: where it goes.
        sampling: see ``xyz_of``.

    Raises:
        DataError: it is another kind of checkpoint, or tensors are missing or mis-shaped.
    """
    network = read_network(checkpoint, dim, space=space).to(device)

    def project(inputs: Sequence[Any]) -> Tensor:
        rows = [
            network(torch.from_numpy(np.stack(inputs[start : start + _BATCH])).to(device))
            for start in range(0, len(inputs), _BATCH)
        ]
        return torch.cat(rows)

    return Tower(
        lambda value: xyz_of(value, sampling), project, _BATCH, parts=parts_of(network), limits=()
    )


def read_network(checkpoint: ImageBindCheckpoint, dim: int, *, space: str) -> PointNetwork:
    """Read PointBind's own part of a checkpoint, in single precision and eval mode.

    Raises:
        DataError: see ``point_tower``.
    """
    width = checkpoint.kinds.get(_PROJECTION, ((0,), None))[0][0]
    kinds: dict[int, Callable[[], I2PMAE | PointBERT]] = {384: I2PMAE, 768: PointBERT}
    if width not in kinds:
        raise DataError(
            f"'{checkpoint.path}' is not a checkpoint of PointBind",
            why=f"it has no '{_PROJECTION}' of 384 rows (I2P-MAE) or 768 (PointBERT)",
            fix="give pointbind_i2pmae.pt or pointbind_pointbert.pt",
            path=str(checkpoint.path),
        )
    network = PointNetwork(kinds[width](), dim)
    keys = [k for k in checkpoint.kinds if k.startswith((_ENCODER, _PROJECTION, _HEAD))]
    state = {
        key.replace(_HEAD, "head."): checkpoint.tensor(key)
        for key in keys
        # Counters of training.
        if not key.endswith("num_batches_tracked")
    }
    needed = {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    check_shapes(space, checkpoint.path, state, needed)
    network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    return network.eval().requires_grad_(False)


def refuse_other_imagebind(
    points: ImageBindCheckpoint, imagebind: ImageBindCheckpoint, towers: Iterable[str]
) -> None:
    """Refuse points that were aligned to another ImageBind than the one at hand.

    Checkpoints without an ImageBind of their own cannot be held against it.

    Args:
        points: PointBind's.
        imagebind: the one whose towers are used.
        towers: their names in the checkpoint.

    Raises:
        DataError: a weight differs.
    """
    for key in imagebind.kinds:
        part = key.split(".")
        points_key = _IMAGEBIND + key
        if len(part) < 2 or part[1] not in towers or points_key not in points.kinds:
            continue
        same = points.kinds[points_key][0] == imagebind.kinds[key][0] and torch.equal(
            points.tensor(points_key).float(), imagebind.tensor(key).float()
        )
        if not same:
            raise DataError(
                f"the points of '{points.path}' belong to another ImageBind",
                why=f"'{points_key}' differs from '{key}' of '{imagebind.path}'",
                fix="imagebind=PATH of the ImageBind that it was trained beside",
                path=str(points.path),
                key=key,
            )


def n_imagebind_keys(points: ImageBindCheckpoint) -> int:
    """Return how many weights of an ImageBind a checkpoint of PointBind holds."""
    pointbind_prefixes = (_HEAD, *_UNUSED)
    return sum(
        k.startswith(_IMAGEBIND) and not k.startswith(pointbind_prefixes) for k in points.kinds
    )


def path_of_points(text: str) -> Path:
    """Return the file that ``point=`` names, absolute."""
    from reactions.core.local_files import expand_user

    return expand_user(text).absolute()
