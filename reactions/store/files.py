"""Files that appear whole or not at all, advisory locks, and disk errors in plain words.

Everything is written inside a temporary folder of the same file system, flushed to the
disk, and renamed into place. Locks are kernel locks (``flock``), so a process killed with
-9 leaves none behind. Where locks do not exist, all still works: two processes then
may do the same work, and the second discards its result.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import io
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import StoreError
from reactions.core.hashing import JSON

if TYPE_CHECKING:
    from reactions.core.step import Rows

# Windows has no fcntl: nothing is locked there.
_fcntl: Any = importlib.import_module("fcntl") if find_spec("fcntl") else None

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
# What file systems answer when they have no hard links, or no more of them.
_NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES}


@contextmanager
def disk_errors(root: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says why and how to fix it.

    Args:
        root: the store's folder.
        doing: ``"write to"`` or ``"read"``.
    """
    try:
        yield
    except OSError as error:
        reason, fix = _REASONS.get(
            error.errno or 0, (error.strerror or str(error), "set MOLSPACE_CACHE to another folder")
        )
        raise StoreError(
            f"cannot {doing} the store at {root}",
            why=f"{reason}: {error.filename}" if error.filename else reason,
            fix=fix,
            path=str(root),
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
    path = parent / uuid.uuid4().hex
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


# --- locks ---------------------------------------------------------------------------


def try_lock(fd: int, *, shared: bool = False) -> bool | None:
    """Take a lock on an open file or folder without waiting.

    Returns:
        True when it is ours until ``fd`` is closed, False when another holds it, None
        where locks do not work.
    """
    if _fcntl is None:
        return None
    try:
        # flock, not lockf: lockf's locks belong to the whole process, do not keep its threads
        # apart, and go when any descriptor of the file is closed.
        _fcntl.flock(fd, (_fcntl.LOCK_SH if shared else _fcntl.LOCK_EX) | _fcntl.LOCK_NB)
    except OSError as error:
        # Any other error (ENOLCK, EOPNOTSUPP) means that the file system has no locks.
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def lock_waiting(fd: int, *, shared: bool = False) -> None:
    """Take a lock on an open file, waiting for it; without effect where locks do not work."""
    if _fcntl is not None:
        with suppress(OSError):
            _fcntl.flock(fd, _fcntl.LOCK_SH if shared else _fcntl.LOCK_EX)


def is_idle(path: Path, *, grace_s: float, unlocked_grace_s: float) -> bool:
    """Return whether no living process holds a file or folder.

    Args:
        path: what ``temporary_folder`` may have locked.
        grace_s: it must be at least this old: a maker may not have locked it yet.
        unlocked_grace_s: the same, where locks do not work.
    """
    try:
        age_s = time.time() - path.stat().st_mtime
        if age_s < grace_s:
            return False
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        free = try_lock(fd)
    finally:
        os.close(fd)
    return age_s >= unlocked_grace_s if free is None else free


class Lock:
    """A lock file that this process holds.

    Attributes:
        is_alone: no other process holds it beside this one.
    """

    def __init__(self, fd: int, *, is_alone: bool) -> None:
        self._fd = fd
        self.is_alone = is_alone

    def share(self) -> bool:
        """Let others hold the lock beside this process.

        Returns:
            False when another took it for itself in between: then it is lost.
        """
        self.is_alone = False
        return try_lock(self._fd, shared=True) is not False

    def is_last(self) -> bool:
        """Return whether no other process holds the lock any more; the lock is lost otherwise."""
        return self.is_alone or try_lock(self._fd) is not False


@contextmanager
def locked(
    path: Path, on_busy: Callable[[int | None], None] | None = None, *, shared: bool = False
) -> Iterator[Lock | None]:
    """Hold the lock file ``path``, unless another holds it; never waits.

    Args:
        path: made when missing, removed by the last process that holds it.
        on_busy: called with the holder's process id, if known, when another holds it.
        shared: hold it beside others that share it; the first to take it holds it alone until
            it calls ``Lock.share``.

    Yields:
        The lock (also where locks do not work), or None when another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_alone = try_lock(fd) is not False
            if not is_alone and not (shared and try_lock(fd, shared=True)):
                if on_busy is not None:
                    text = os.pread(fd, 20, 0).decode(errors="replace")
                    on_busy(int(text) if text.isdigit() else None)
                yield None
                return
            if _same_file(fd, path):  # else the holder removed it meanwhile: look again
                with suppress(OSError):  # the process id only serves a message
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, str(os.getpid()).encode(), 0)
                lock = Lock(fd, is_alone=is_alone)
                try:
                    yield lock
                finally:
                    # Removed while held: a process that opened it before looks at the name again.
                    if lock.is_last():
                        with suppress(OSError):
                            path.unlink()
                return
        finally:
            os.close(fd)


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


class Lease:
    """Holds a shared lock on a file for as long as the object lives.

    Attributes:
        refused: another process holds the file for itself.
    """

    def __init__(self, path: Path) -> None:
        self._fd: int | None = None
        self.refused = False
        with suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY)
            self.refused = try_lock(self._fd, shared=True) is False

    def __del__(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
