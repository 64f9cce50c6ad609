"""Arrays of an npz file, read without trusting it: bounded, and nothing is ever unpickled."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reactions.core.npy import npy_header

MAX_ENTRIES = 256
"""Arrays of one file."""

_MAX_DIRECTORY_BYTES = 1 << 16
_END = struct.Struct("<4s4H2IH")
_END_MAGIC, _END64_MAGIC = b"PK\5\6", b"PK\6\7"
_MAX_COMMENT_BYTES = 1 << 16


def npz_arrays(stream: BinaryIO, *, most_bytes: int) -> Mapping[str, NDArray[Any]]:
    """Read all arrays of an npz file.

    Args:
        stream: of the file.
        most_bytes: of all arrays together, unpacked.

    Returns:
        Name to array, of whatever shape and type.

    Raises:
        ValueError: it is damaged, is encrypted, holds something else than arrays, holds Python
            objects, or is beyond the limits.
    """
    _check_directory(stream)
    arrays: dict[str, NDArray[Any]] = {}
    bytes_left = most_bytes
    try:
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    raise ValueError(f"it holds {info.filename!r}, which is not an array")
                if info.flag_bits & 1:
                    raise ValueError("it is encrypted")
                if info.file_size > bytes_left:
                    raise ValueError(f"its arrays have more than {most_bytes} bytes")
                bytes_left -= info.file_size
                # What is unpacked ends where the directory says: a lie there is a wrong checksum.
                data = archive.read(info)
                name = info.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"it holds {name!r} twice")
                arrays[name] = _array(data)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(str(error) or "it is damaged") from error
    return arrays


def npy_array(stream: BinaryIO) -> NDArray[Any]:
    """Read the array of an npy file.

    Args:
        stream: of the file, seekable.

    Raises:
        ValueError: it is damaged, is not an npy file, holds Python objects, or holds more, or less,
            than its header says.
    """
    size_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    shape, dtype, is_fortran, _ = npy_header(stream, size_bytes)
    values = np.frombuffer(stream.read(), dtype)
    return values.reshape(shape, order="F" if is_fortran else "C")


def _array(data: bytes) -> NDArray[Any]:
    return npy_array(io.BytesIO(data))


def _check_directory(stream: BinaryIO) -> None:
    """Hold a zip's list of contents against the limits: Python's reader takes it whole."""
    size_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size_bytes - _END.size - _MAX_COMMENT_BYTES))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(_END_MAGIC)
    if at < 0 or len(tail) - at < _END.size:
        raise ValueError("it is cut short, or is not an npz archive")
    if _END64_MAGIC in tail:
        raise ValueError("it is a zip of a kind that numpy does not write")
    _, _, _, _, n, directory_bytes, _, _ = _END.unpack_from(tail, at)
    if n > MAX_ENTRIES or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise ValueError(f"it holds more than {MAX_ENTRIES} arrays")
