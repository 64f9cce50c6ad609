"""Depth maps: disparities as arrays of floats, one npy file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.errors import MediaError
from reactions.modalities.base import Modality
from reactions.modalities.values import other_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def decode(stream: BinaryIO, path: str) -> NDArray[np.floating[Any]]:
    """Read the array of an npy file; nothing is ever unpickled.

    Raises:
        MediaError: it is damaged, is not an npy file, or holds more, or less, than its header says.
    """
    import numpy as np

    from reactions.core.npy import npy_header
    from reactions.modalities.encoded import MAX_HELD_BYTES, in_memory

    try:
        stream = in_memory(stream, MAX_HELD_BYTES)
        size_bytes = stream.seek(0, 2)
        stream.seek(0)
        shape, dtype, is_fortran, _ = npy_header(stream, size_bytes)
        values = np.frombuffer(stream.read(), dtype)
        return values.reshape(shape, order="F" if is_fortran else "C")
    except ValueError as error:
        raise MediaError(
            f"cannot read the disparities '{path}'",
            why=str(error),
            fix="save (h, w) float32 as npy",
            path=path,
        ) from error


def why_unusable(value: Any) -> str:
    """Return why a value is not a map of disparities that can be embedded; "" if it is one."""
    import numpy as np

    if not (
        isinstance(value, np.ndarray)
        and value.dtype in (np.float32, np.float64)
        and value.ndim == 2
        and value.size > 0
    ):
        return "it needs (h, w) float32" + other_array(value)
    return "" if np.isfinite(value).all() else "not every value is finite"


DEPTH = Modality(
    name="depth",
    form="an (h, w) float32 array",
    decode=decode,
    why_unusable=why_unusable,
    check_version=1,
)
