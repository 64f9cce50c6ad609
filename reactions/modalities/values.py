"""Decoded values of any modality: their digests and sizes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from reactions.core.hashing import bytes_digest, canonical
from reactions.core.types import Waveform

if TYPE_CHECKING:
    from numpy.typing import NDArray


def text_tag(text: str) -> str:
    """Return the tagged digest of a text."""
    return f"text:{bytes_digest(text.encode('utf-8', 'surrogatepass'))}"


def value_digest(value: Any) -> str:
    """Return the tagged digest of a string, a ``Waveform`` or an array; "" for anything else."""
    import numpy as np

    if isinstance(value, str):
        return text_tag(value)
    if isinstance(value, Waveform):
        return f"audio:{value.rate_hz}:{array_digest(value.samples)}"
    if isinstance(value, np.ndarray):
        return f"array:{array_digest(value)}"
    return ""


def value_size_bytes(value: Any) -> int:
    """Return what a value takes in memory."""
    if isinstance(value, Waveform):
        value = value.samples
    return int(value.nbytes) if hasattr(value, "nbytes") else sys.getsizeof(value)


def other_array(value: Any) -> str:
    """Return ", not an array of ..." for messages; "" for what is not an array."""
    import numpy as np

    if not isinstance(value, np.ndarray):
        return ""
    return f", not an array of {value.dtype} and shape {value.shape}"


def array_digest(array: NDArray[Any]) -> str:
    """Return the digest of an array: of its type, its shape and its elements."""
    import numpy as np

    head = canonical([array.dtype.str, list(array.shape)])
    return bytes_digest(head.encode() + b"\n" + np.ascontiguousarray(array).tobytes())
