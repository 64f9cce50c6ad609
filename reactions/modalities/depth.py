"""Depth maps: floats of an npy file, or pictures of 16 bits a pixel in millimetres."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.errors import MediaError, UsageError, suggestion
from reactions.modalities import image, noticed
from reactions.modalities.base import Modality
from reactions.modalities.undecoded import endings
from reactions.modalities.values import other_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_METRES = 1000
"""From here on depths are more likely millimetres: sensors reach some hundred metres."""

EMPTY = noticed.Kind(
    "{n} depth maps are 0 throughout: nothing was measured",
    "1 depth map is 0 throughout: nothing was measured",
)
NEAR = noticed.Kind(
    "{n} depth maps of 16 bits hold no value above 255, which as millimetres is less than 26 cm",
    "1 depth map of 16 bits holds no value above 255, which as millimetres is less than 26 cm",
)
FAR = noticed.Kind(
    "{n} depth maps reach 1,000 m and more; if they are millimetres, divide them by 1,000",
    "1 depth map reaches 1,000 m and more; if it is millimetres, divide it by 1,000",
)

_NPY = b"\x93NUMPY"


def decode(
    stream: BinaryIO, path: str, *, stored: str = "millimetres"
) -> NDArray[np.floating[Any]]:
    """Decode an open depth map.

    The floats of an npy are handed on as they are: metres, or what an encoder takes in their
    place. Pictures of 16 bits hold millimetres, 0 where nothing was measured, and become metres.

    Args:
        stream: of the file.
        path: for messages.
        stored: how pictures hold millimetres, one of ``STORED``.

    Returns:
        (h, w) of the type of the npy; float32 metres of a picture.

    Raises:
        MediaError: it is damaged, is neither an npy nor a picture of 16 bits, or is too large.
    """
    head = stream.read(len(_NPY))
    stream.seek(0)
    # A picture begins with a byte of its format's own; what is neither is told of as an npy.
    if head.startswith((b"\x89PNG", b"II", b"MM")):
        return _of_picture(stream, path, stored)
    from reactions.core.npz import npy_array
    from reactions.modalities.encoded import MAX_HELD_BYTES, in_memory

    try:
        values = npy_array(in_memory(stream, MAX_HELD_BYTES))
    except ValueError as error:
        raise _unreadable(path, str(error), "save (h, w) float32 as npy") from error
    if not why_unusable(values):
        if not values.any():
            noticed.note(EMPTY, path)
        elif float(values.max()) >= MAX_METRES:
            noticed.note(FAR, path)
    return values


def _of_picture(stream: BinaryIO, path: str, stored: str) -> NDArray[np.float32]:
    import numpy as np

    from reactions.modalities.encoded import in_memory
    from reactions.modalities.images import files

    with files.open_image(in_memory(stream, image.WHOLE_BYTES), path, image.MAX_PIXELS) as picture:
        values = files.to_16_bits(picture)
    if values is None:
        why = "its pixels have no 16 bits of grey, so that they are not millimetres"
        raise _unreadable(
            path, why, "save (h, w) millimetres as a PNG of 16 bits, or metres as npy"
        )
    millimetres = STORED[stored](values)
    if not millimetres.any():
        noticed.note(EMPTY, path)
    elif int(millimetres.max()) <= 0xFF:
        noticed.note(NEAR, path)
    metres: NDArray[np.float32] = millimetres.astype(np.float32) / np.float32(1000)
    return metres


def _sun_rgbd(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Undo the rotation by three bits in which SUN RGB-D stores millimetres."""
    import numpy as np

    turned: NDArray[np.uint16] = np.bitwise_or(values >> 3, values << 13, dtype=np.uint16)
    return turned


STORED: Mapping[str, Callable[[NDArray[np.uint16]], NDArray[np.uint16]]] = {
    "millimetres": lambda values: values,
    "sunrgbd": _sun_rgbd,
}
"""How pictures of 16 bits hold millimetres: as they are; or as SUN RGB-D does, whose tools store
them rotated to the left by three bits."""


@lru_cache
def stored_as(name: str) -> Modality:
    """Return the modality of depth maps whose pictures hold millimetres in a certain way.

    Raises:
        UsageError: there is no such way.
    """
    if name not in STORED:
        raise UsageError(f"no way '{name}' to store depth", fix=suggestion(name, STORED), name=name)
    return replace(DEPTH, decode=partial(decode, stored=name))


def why_unusable(value: Any) -> str:
    """Return why a value is not a map that can be embedded; "" if it is one."""
    import numpy as np

    if not (
        isinstance(value, np.ndarray)
        and value.dtype in (np.float32, np.float64)
        and value.ndim == 2
        and value.size > 0
    ):
        return "it needs (h, w) float32" + other_array(value)
    return "" if np.isfinite(value).all() else "not every value is finite"


def _unreadable(path: str, why: str, fix: str) -> MediaError:
    return MediaError(f"cannot read the depth map '{path}'", why=why, fix=fix, path=path)


DEPTH = Modality(
    name="depth",
    aliases=("depths",),
    shared=endings("npy png tif tiff"),
    form="an (h, w) float32 array",
    decode=decode,
    why_unusable=why_unusable,
    check_version=2,
)
