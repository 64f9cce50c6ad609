"""Point clouds: coordinates of any unit, with colours where a file names some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.errors import MediaError
from reactions.modalities.base import Modality
from reactions.modalities.undecoded import UndecodedKind, endings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CONVERT = "save it as ply, or its points as npy: (n, 3) float32, or (n, 6) with colours"
_PICKLED = (
    "save its points as npy: numpy.save('X.npy', torch.load('X.pt', weights_only=True).numpy())"
)


def decode(stream: BinaryIO, path: str) -> NDArray[np.float32]:
    """Decode an open point cloud.

    Returns:
        (n, 3) float32, or (n, 6) with colours from 0 to 1, in the order of the file.

    Raises:
        MediaError: it is damaged, not of a known kind, not finite, empty, all at one place, or
            beyond the limits.
    """
    from reactions.modalities.points import files

    try:
        return files.decode(stream, path)
    except (ValueError, OverflowError) as error:
        raise MediaError(
            f"cannot read the points '{path}'",
            why=" ".join(str(error).split()),
            fix=_PICKLED if path.lower().endswith((".pt", ".pth")) else _CONVERT,
            path=path,
        ) from error


def why_unusable(value: Any) -> str:
    """Return why a value is not a point cloud that can be embedded; "" if it is one."""
    from reactions.modalities.points import values

    return values.why_unusable(value)


POINT = Modality(
    name="point",
    aliases=("points", "pointcloud", "pointclouds"),
    suffixes=endings("off ply xyz"),
    shared=endings("npy npz txt"),
    undecoded=(
        UndecodedKind(
            "a mesh or cloud of a format that is not decoded here",
            endings("3ds e57 fbx glb gltf las laz obj pcd stl"),
            _CONVERT,
        ),
        UndecodedKind("a tensor of PyTorch's", endings("pt pth"), _PICKLED),
    ),
    form="an (n, 3) or (n, 6) float32 array",
    decode=decode,
    why_unusable=why_unusable,
)
