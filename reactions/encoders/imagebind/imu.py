"""Readings of an inertial measurement unit: unproven, for the order of channels is unpublished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from reactions.core.errors import MediaError
from reactions.core.npz import npy_array
from reactions.encoders.base import Unusable
from reactions.encoders.imagebind.sizes import CHANNELS, SAMPLES
from reactions.modalities.base import Modality
from reactions.modalities.encoded import MAX_HELD_BYTES, in_memory
from reactions.modalities.values import other_array

if TYPE_CHECKING:
    from numpy.typing import NDArray


def decode(stream: BinaryIO, path: str) -> NDArray[Any]:
    """Decode an open npy file.

    Raises:
        MediaError: it is damaged, or is not an npy file.
    """
    try:
        values: NDArray[Any] = npy_array(in_memory(stream, MAX_HELD_BYTES))
    except ValueError as error:
        fix = f"save ({CHANNELS}, {SAMPLES}) float32 as npy"
        raise MediaError(
            f"cannot read the readings '{path}'", why=str(error), fix=fix, path=path
        ) from error
    return values


def why_unusable(value: Any) -> str:
    """Return why a value is not a window of readings; "" if it is one."""
    if not (
        isinstance(value, np.ndarray)
        and value.dtype in (np.float32, np.float64)
        and value.shape == (CHANNELS, SAMPLES)
    ):
        return f"it needs ({CHANNELS}, {SAMPLES}) float32: five seconds" + other_array(value)
    return "" if np.isfinite(value).all() else "not every value is finite"


IMU = Modality(
    name="imu",
    form=f"a ({CHANNELS}, {SAMPLES}) float32 array",
    decode=decode,
    why_unusable=why_unusable,
)
"""Windows of five seconds, in npy files."""


def readings(value: Any) -> NDArray[np.float32]:
    """Return a window as the network takes it: as it is given.

    Raises:
        Unusable: another shape or type, or not finite.
    """
    if why := why_unusable(value):
        raise Unusable("imu", why, fix="cut five seconds, and resample them to 2000 readings")
    window: NDArray[np.float32] = value.astype(np.float32)
    return window
