"""This machine's copies of what lies in a bucket: files by their digests, whole or in part."""

from __future__ import annotations

import io
import os
import threading
import time
import tokenize
import uuid
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from reactions.core.errors import StoreError
from reactions.core.hashing import file_digest
from reactions.store.arrays import open_array, unreadable
from reactions.store.files import disk_errors, link, temporary_folder
from reactions.store.objects import Objects, is_full

if TYPE_CHECKING:
    from numpy.typing import NDArray

_T = TypeVar("_T")

WHOLE_BYTES = 64 << 20
"""Files up to this size are fetched whole when the first row of them is read."""

BLOCK_BYTES = 8 << 20
"""Of larger files, those blocks are fetched that rows are read from."""

_REQUEST_BYTES = 64 << 20
"""The most that is asked for at a time."""

_HEADER_BYTES = 1 << 16


class Copies:
    """The copies; any number of processes may use them.

    Args:
        folder: where they lie.
        tmp: on the same file system, for what is being fetched.
        objects: what they are copies of.
    """

    def __init__(self, folder: Path, tmp: Path, objects: Objects) -> None:
        self._folder = folder
        self._tmp = tmp
        self._objects = objects

    def path(self, sha256: str) -> Path:
        """Return where the copy of a file with this digest is, or would be."""
        return self._folder / sha256[:2] / f"{sha256}.npy"

    def add(self, file: Path, sha256: str) -> None:
        """Keep a file that was just put into the bucket; what cannot be kept is fetched later."""
        target = self.path(sha256)
        with suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            link(file, target)

    def fetch(self, name: str, sha256: str) -> Path:
        """Return the copy of an object, fetched if it is not here.

        Raises:
            ValueError: the object has another digest.
            OSError: it cannot be read, or not be kept.
        """
        target = self.path(sha256)
        if target.is_file():
            with suppress(OSError):
                os.utime(target)
            return target
        return self.making_room(partial(self._fetched, name, sha256, target))

    def _fetched(self, name: str, sha256: str, target: Path) -> Path:
        with temporary_folder(self._tmp) as folder:
            self._objects.download(name, folder / "0.npy")
            if file_digest(folder / "0.npy") != sha256:
                raise ValueError("it does not have the recorded digest")
            target.parent.mkdir(parents=True, exist_ok=True)
            with (folder / "0.npy").open("rb") as file:  # or a power cut leaves it empty
                os.fsync(file.fileno())
            (folder / "0.npy").replace(target)
        return target

    def making_room(self, fetch: Callable[[], _T]) -> _T:
        """Return what ``fetch`` does; where the disk is full, half of the copies go before.

        Raises:
            OSError: it fails all the same, or there are no copies.
        """
        try:
            return fetch()
        except OSError as error:
            if not is_full(error):
                raise
            size_bytes = self.size_bytes()
            if not self.prune(older_than_s=None, max_bytes=size_bytes // 2, dry_run=False)[0]:
                raise
        return fetch()

    def size_bytes(self) -> int:
        """Return the bytes of all copies."""
        return sum(size for _, size, _ in self._files())

    def open_rows(
        self,
        path: Path,
        name: str,
        sha256: str,
        size_bytes: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
    ) -> NDArray[Any] | RangedRows:
        """Return a file's rows; see ``places.StorePlace.open_rows``."""
        try:
            if size_bytes <= WHOLE_BYTES or self.path(sha256).is_file():
                copy = self.fetch(name, sha256)
                try:
                    return open_array(copy, dtype, shape)
                except StoreError:  # the copy is damaged; what it is a copy of need not be
                    copy.unlink(missing_ok=True)
                    return open_array(self.fetch(name, sha256), dtype, shape)
            return RangedRows(self, name, sha256, size_bytes, dtype, shape, path)
        except (FileNotFoundError, ValueError) as error:
            raise unreadable(path, str(error)) from error

    def prune(
        self, *, older_than_s: float | None, max_bytes: int | None, dry_run: bool
    ) -> tuple[int, int]:
        """Remove copies, least recently read first; what is read again is fetched again.

        Args:
            older_than_s: those not read for so many seconds go.
            max_bytes: more go until the rest takes at most so much.
            dry_run: only look.

        Returns:
            How many were, or would be, removed, and their bytes.
        """
        files = self._files()
        left_bytes = sum(size for _, size, _ in files)
        n_removed = removed_bytes = 0
        for read_s, size_bytes, path in sorted(files):
            is_old = older_than_s is not None and time.time() - read_s >= older_than_s
            if is_old or (max_bytes is not None and left_bytes > max_bytes):
                if not dry_run:
                    path.unlink(missing_ok=True)
                left_bytes -= size_bytes
                n_removed += 1
                removed_bytes += size_bytes
        return n_removed, removed_bytes

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return when each copy was last read, its bytes, and where it is."""
        files = []
        for path in self._folder.glob("*/*.npy"):
            with suppress(FileNotFoundError):
                state = path.stat()
                files.append((state.st_mtime, state.st_size, path))
        return files


class RangedRows:
    """Rows of a large ``.npy`` object, of which the blocks are fetched that are read.

    When all blocks are here, the file is held against its digest and kept as a copy. Until then
    its bytes are as the service sent them.

    Args:
        copies: where the file is kept.
        name: of the object.
        sha256: of the file, as its record says.
        size_bytes: likewise.
        dtype: that it must hold.
        shape: likewise.
        path: for messages.

    Raises:
        ValueError: it holds something else.
        OSError: it cannot be read.
    """

    def __init__(
        self,
        copies: Copies,
        name: str,
        sha256: str,
        size_bytes: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        path: Path,
    ) -> None:
        self._copies = copies
        self._name = name
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._path = path
        self._lock = threading.Lock()
        head = copies._objects.read(name, 0, min(_HEADER_BYTES, size_bytes))
        self._offset = _offset(head, dtype, shape)
        self._row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        if self._offset + shape[0] * self._row_bytes != size_bytes:
            raise ValueError(f"it does not have the bytes of {shape[0]} rows")
        self._has = np.zeros(-(-size_bytes // BLOCK_BYTES), np.bool_)
        stack = ExitStack()
        weakref.finalize(self, stack.close)
        self._file = stack.enter_context(temporary_folder(copies._tmp)) / f"{uuid.uuid4().hex}.npy"
        with self._file.open("xb") as stream:
            stream.truncate(size_bytes)  # as holes: blocks take room when they are written
        self._rows: NDArray[Any] = np.asarray(
            np.memmap(self._file, dtype, mode="r", offset=self._offset, shape=shape)
        )

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return contiguous rows, read-only, once their blocks are here.

        Raises:
            StoreError: they cannot be fetched, or the file turned out to be damaged.
        """
        start, stop, _ = rows.indices(len(self._rows))
        if stop > start:
            with self._lock, disk_errors(self._copies._objects.url, "read"):
                try:
                    begin, end = (self._offset + n * self._row_bytes for n in (start, stop))
                    self._copies.making_room(lambda: self._fetch(begin, end))
                except FileNotFoundError as error:
                    raise unreadable(self._path, "it was removed while it was read") from error
        return self._rows[start:stop]

    def _fetch(self, begin: int, end: int) -> None:
        """Fetch those blocks of a range of bytes that are not here."""
        first, last = begin // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        missing = [int(block) for block in np.arange(first, last) if not self._has[block]]
        if not missing:
            return
        most = _REQUEST_BYTES // BLOCK_BYTES
        runs: list[list[int]] = []
        for block in missing:
            if runs and block == runs[-1][-1] + 1 and len(runs[-1]) < most:
                runs[-1].append(block)
            else:
                runs.append([block])
        with self._file.open("r+b") as stream:
            for run in runs:
                start = run[0] * BLOCK_BYTES
                stop = min((run[-1] + 1) * BLOCK_BYTES, self._size_bytes)
                data = self._copies._objects.read(self._name, start, stop)
                if len(data) != stop - start:
                    raise self._damaged(f"{len(data)} bytes came instead of {stop - start}")
                stream.seek(start)
                stream.write(data)
                self._has[run[0] : run[-1] + 1] = True
        if self._has.all():
            if file_digest(self._file) != self._sha256:
                self._has[:] = False
                raise self._damaged("it does not have the recorded digest")
            self._copies.add(self._file, self._sha256)

    def _damaged(self, why: str) -> StoreError:
        return unreadable(self._path, why)


def _offset(head: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Return where the rows of an ``.npy`` file begin, of which this is the beginning.

    Raises:
        ValueError: it holds another array.
    """
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):  # as ``files.write_rows`` writes it
            raise ValueError(f"its format is {version}")
        found_shape, is_fortran, found_dtype = np.lib.format.read_array_header_1_0(stream)
    except (EOFError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError(str(error)) from error
    if found_dtype != dtype or found_shape != shape or is_fortran:
        raise ValueError(f"it holds {found_dtype} {found_shape}, not {dtype} {shape}")
    return stream.tell()
