"""Files that appear whole or not at all, and disk errors in plain words.

Everything is written inside a temporary folder of the same file system, flushed to the
disk, and renamed into place.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import StoreError
from reactions.core.hashing import JSON
from reactions.store.heartbeats import this_machine
from reactions.store.locks import try_lock

if TYPE_CHECKING:
    from reactions.core.step import Rows

_CHUNK_BYTES = 8 << 20

_ELSEWHERE = "set MOLSPACE_CACHE to a folder you can write to"
_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: (
        "no space left on the device",
        "free some space (molspace cache gc), or set MOLSPACE_CACHE to a folder on a larger disk",
    ),
    getattr(errno, "EDQUOT", -1): (
        "the disk quota is used up",
        "free some space (molspace cache gc), or set MOLSPACE_CACHE to a folder elsewhere",
    ),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("permission denied", _ELSEWHERE),
    errno.EPERM: ("operation not permitted", _ELSEWHERE),
    errno.ENOTDIR: ("a part of the path is a file", "set MOLSPACE_CACHE to a folder"),
    errno.EEXIST: ("a file is in the way of a folder", "set MOLSPACE_CACHE to a folder"),
}
_COPIES = (
    "this is of the copies of it on this machine: free some space there (molspace cache gc "
    "--copies), or set XDG_CACHE_HOME to a folder elsewhere"
)
# What file systems answer when they have no hard links, or no more of them.
_NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES}


@contextmanager
def disk_errors(address: Path | str, doing: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says why and how to fix it.

    Args:
        address: the store's folder, or its URL.
        doing: ``"write to"`` or ``"read"``.
    """
    try:
        yield
    except OSError as error:
        # What is kept behind a URL says itself what to do.
        other = getattr(error, "fix", "set MOLSPACE_CACHE to another folder")
        reason, fix = _REASONS.get(error.errno or 0, (error.strerror or str(error), other))
        if "://" in str(address) and error.errno in _REASONS:
            fix = _COPIES  # of a service, errors have no number
        raise StoreError(
            f"cannot {doing} the store at {address}",
            why=f"{reason}: {error.filename}" if error.filename else reason,
            fix=fix,
            path=str(address),
            errno=error.errno,
        ) from error


# --- writing -------------------------------------------------------------------------


def write_rows(path: Path, rows: Rows) -> tuple[int, str]:
    """Write an array as a new ``.npy`` file, in chunks, and flush it to the disk.

    Args:
        path: must not exist.
        rows: any shape of one axis or more; read by row slices, so it need not fit in memory.

    Returns:
        Size in bytes and SHA-256 of the file.
    """
    dtype, shape = np.dtype(rows.dtype), tuple(int(n) for n in rows.shape)
    row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
    chunk = max(1, _CHUNK_BYTES // max(1, row_bytes))
    sha, size_bytes = hashlib.sha256(), 0
    # The format of np.save, which would need the whole array in memory; here rows are read,
    # written and hashed by chunks.
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape},
    )
    with path.open("xb") as stream:
        stream.write(header.getvalue())
        sha.update(header.getvalue())
        size_bytes += header.tell()
        for start in range(0, shape[0] if row_bytes else 0, chunk):
            block = np.ascontiguousarray(rows[start : start + chunk], dtype=dtype)
            data = block.reshape(-1).view(np.uint8).data
            stream.write(data)
            sha.update(data)
            size_bytes += data.nbytes
        _flush(stream)
    return size_bytes, sha.hexdigest()


def write_json(path: Path, value: JSON) -> None:
    """Write a new JSON file and flush it to the disk."""
    with path.open("x", encoding="utf-8") as stream:
        json.dump(value, stream, ensure_ascii=False, allow_nan=False, indent=1)
        stream.write("\n")
        _flush(stream)


def replace_json(path: Path, value: JSON) -> None:
    """Write or replace a JSON file in one move."""
    with _replacing(path) as temp:
        write_json(temp, value)


def replace_text(path: Path, text: str) -> None:
    """Write or replace a text file in one move."""
    with _replacing(path) as temp, temp.open("x", encoding="utf-8") as stream:
        stream.write(text)
        _flush(stream)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Lend the name of a file that then takes the place of another."""
    # ``maintenance`` recognises what a killed process leaves by this pattern.
    temp = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        yield temp
        temp.replace(path)
    finally:
        temp.unlink(missing_ok=True)
    flush_folder(path.parent)


def link(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with source.open("rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer, _CHUNK_BYTES)
            _flush(writer)


def flush_folder(path: Path) -> None:
    """Flush a folder's list of names to the disk, where the platform can."""
    with suppress(OSError):  # some network file systems refuse it; the rename still holds
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _flush(stream: IO[Any]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Lend a new folder under ``parent``; what was not published from it is removed after.

    The folder is locked while it is lent, so that ``is_idle`` can distinguish it from debris.
    """
    parent.mkdir(parents=True, exist_ok=True)
    path = parent / f"{uuid.uuid4().hex}.{this_machine()}"
    path.mkdir()
    fd = None
    try:
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY)
            try_lock(fd)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        # Unlocked after that, or another process could take it for debris meanwhile.
        if fd is not None:
            os.close(fd)


def publish(folder: Path, target: Path) -> bool:
    """Move a finished folder to its name.

    Returns:
        False when the name is taken: then nothing was moved.
    """
    # The names within before the folder's own: after a power cut it is there whole or not at all.
    flush_folder(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Refused where the target is a folder with files in it: the first to publish wins.
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise
    flush_folder(target.parent)
    return True
