"""File digests remembered between runs, so that planning over a large folder is fast."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TypeAlias

from reactions.core.errors import DataError
from reactions.core.hashing import file_digest
from reactions.core.types import Digest

_FILE = "file-digests.jsonl"
_FLUSH_EVERY = 256
SETTLED_NS = 2_000_000_000
"""A file changed within the coarsest clock tick of a file system (FAT: 2 s) may change again
without a new time stamp; its digest is not remembered yet."""

_Identity: TypeAlias = tuple[int, int, int, int]
"""size_bytes, mtime_ns, ctime_ns, inode."""


class DigestCache:
    """SHA-256 of files, keyed by path, size, times of modification and change, and inode.

    One JSON line an entry, appended whole, so that processes can share the folder; later
    lines win, damaged lines are skipped, and a folder that cannot be written only costs
    time. Call ``save`` when done; it is also called every few hundred new entries.

    Args:
        folder: where the cache lives, made when first needed; None keeps it in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._path = None if folder is None else Path(folder) / _FILE
        self._digests: dict[str, tuple[_Identity, Digest]] = {}
        self._fresh: list[str] = []
        if self._path is not None:
            self._read(self._path)

    def __reduce__(self) -> tuple[type[DigestCache], tuple[Path | None]]:
        return DigestCache, (self.folder,)  # not what it knows of every file on this machine

    def of(self, path: Path) -> Digest:
        """Return the SHA-256 (64 hex digits) of a file's bytes, hashing it only if it changed.

        Raises:
            DataError: the file is missing or cannot be read.
        """
        path = Path(path)
        try:
            identity = _identity(path)
            key = str(path.absolute())
            last = self._digests.get(key)
            if last is not None and last[0] == identity:
                return last[1]
            digest = file_digest(path)
            # What was written to meanwhile may have been read half old, half new.
            steady = _identity(path) == identity
        except OSError as error:
            raise DataError(
                f"cannot read '{path}'", why=(error.strerror or str(error)).lower(), path=str(path)
            ) from error
        if steady and time.time_ns() - identity[1] > SETTLED_NS:
            self._digests[key] = (identity, digest)
            self._fresh.append(key)
            if len(self._fresh) >= _FLUSH_EVERY:
                self.save()
        return digest

    def save(self) -> None:
        """Append what is new to the file, if there is one."""
        fresh, self._fresh = self._fresh, []
        if self._path is None or not fresh:
            return
        lines = "".join(json.dumps([key, *self._digests[key]]) + "\n" for key in fresh)
        with contextlib.suppress(OSError):  # a cache: a full or read-only disk only costs time
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # One O_APPEND write: lines of two processes never interleave. The leading line
            # break ends a line that a killed process left unfinished.
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(handle, b"\n" + lines.encode("utf-8", "surrogatepass"))
            finally:
                os.close(handle)

    def _read(self, path: Path) -> None:
        try:
            stream = path.open("rb")
        except OSError:
            return
        n = 0
        with stream:
            for line in stream:
                with contextlib.suppress(ValueError, TypeError):
                    key, (size_bytes, mtime_ns, ctime_ns, inode), digest = json.loads(line)
                    identity = size_bytes, mtime_ns, ctime_ns, inode
                    if _valid(key, identity, digest):
                        self._digests[key] = identity, digest
                        n += 1
        if n > 1000 and n > 2 * len(self._digests):
            self._compact(path)

    def _compact(self, path: Path) -> None:
        # Lines that another process appends meanwhile are lost: it costs a rehash, no more.
        fresh = path.with_name(f"{_FILE}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            fresh.write_text("".join(json.dumps([k, *v]) + "\n" for k, v in self._digests.items()))
            fresh.replace(path)


def _identity(path: Path) -> _Identity:
    stat = path.stat()
    # The time of change too, for `cp -p` keeps all the others.
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _valid(key: object, identity: tuple[object, ...], digest: object) -> bool:
    return (
        isinstance(key, str)
        and all(isinstance(number, int) for number in identity)
        and isinstance(digest, str)
        and len(digest) == 64
    )
