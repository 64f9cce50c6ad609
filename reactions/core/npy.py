"""The header of an npy file, read without trusting it."""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np


def npy_header(
    stream: BinaryIO, size_bytes: int
) -> tuple[tuple[int, ...], np.dtype[Any], bool, int]:
    """Read the header of an npy and hold it against the size, before anything is allocated.

    Returns:
        Shape, dtype, whether it is in Fortran's order, and where the elements begin.

    Raises:
        ValueError: it is damaged, is not an npy file, holds Python objects, or holds more, or less,
            than its header says.
    """
    if stream.read(2) == b"PK":
        raise ValueError("it is an npz archive; save each array with numpy.save")
    stream.seek(0)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its format version is {version}")
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, is_fortran, dtype = read(stream)
    # The header is a Python literal: whatever tokens, types and numbers do can be raised.
    except Exception as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which would have to be unpickled")
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise ValueError(f"its shape is {shape}")
    offset = stream.tell()
    # Python's integers: in numpy's, a huge shape could wrap around to the right size.
    needed_bytes = math.prod(shape) * dtype.itemsize
    if needed_bytes != size_bytes - offset:
        raise ValueError(
            f"its header declares {needed_bytes:,} bytes, shape {shape}, "
            f"but {size_bytes - offset:,} follow"
        )
    return shape, dtype, is_fortran, offset
