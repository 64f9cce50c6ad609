"""Files by path or URL: listed, stamped and read in pieces, wherever they lie."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from reactions.core.addresses import Entry, is_url
from reactions.core.braces import expand
from reactions.core.errors import DataError, MissingError
from reactions.core.file_digests import SETTLED_NS
from reactions.core.file_names import as_stored
from reactions.core.file_patterns import matching
from reactions.core.hashing import bytes_digest
from reactions.core.local_files import (
    check_regular,
    exists,
    is_dir,
    is_file,
    leads_nowhere,
    leads_to_folder,
)
from reactions.core.read_ahead import check_unchanged as check_remote_unchanged
from reactions.core.read_ahead import forget_read, read_range
from reactions.core.read_ahead import open_in_order as open_remote_in_order
from reactions.core.remote import RemoteFiles
from reactions.core.transient import is_transient, run_again

_FILE_TAG = "file:"
"""What stands before the digest of a file's bytes, where a corpus notes it."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Encoded media that are not local files of their own: a tar's member, a remote object.

    Attributes:
        url: path or URL of the file they lie in.
        offset: where in it they begin.
        size_bytes: how many bytes; None for all.
        member: their name inside it, "" for the whole file.
        tag: digest of the content, as a corpus notes it; "" if unknown.
    """

    url: str
    offset: int = 0
    size_bytes: int | None = None
    member: str = ""
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.url}/{self.member}" if self.member else self.url

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            MissingError: the file is gone.
            DataError: it cannot be read, is shorter than it was, or, where it is remote, holds
                something else.
        """
        data = read(self.url, self.offset, self.size_bytes)
        why = self._difference(data)
        if why and is_url(self.url):
            forget_read(self.url)  # what is held may be older than what was scanned
            data = read(self.url, self.offset, self.size_bytes)
            why = self._difference(data)
        if why:
            raise DataError(
                f"'{self}' changed",
                why=why,
                fix="run it again: changed files are scanned anew",
                path=str(self),
            )
        return data

    def _difference(self, data: bytes) -> str:
        """Say why bytes are not those that were scanned; "" if they are, as far as is known."""
        if self.size_bytes is not None and len(data) != self.size_bytes:
            return f"{len(data)} of {self.size_bytes} bytes are left"
        # Of local files the time of change is looked at before; servers need not give any.
        has_digest = self.tag.startswith(_FILE_TAG) and self.tag != _FILE_TAG
        if not (has_digest and is_url(self.url)):
            return ""
        same = self.tag == f"{_FILE_TAG}{bytes_digest(data)}"
        return "" if same else "it holds something else than when it was scanned"


def find(pattern: str) -> list[Entry]:
    """Return the files that an absolute path, URL or pattern names, in order.

    Braces are expanded in order; what wildcards match is sorted.

    Raises:
        MissingError: one of them is not there, or nothing matches.
        DataError: a remote place cannot be reached.
    """
    files = _files_of(pattern)
    return [
        entry for alternative in files.alternatives(pattern) for entry in files.find(alternative)
    ]


def is_folder(url: str) -> bool:
    """Return whether an absolute path or URL is a folder.

    Raises:
        DataError: a remote place cannot be reached.
    """
    return _files_of(url).is_folder(url)


def walk(folder: str) -> list[Entry]:
    """Return all files below a folder, sorted by relative name; hidden ones are left out.

    Links to folders are followed, but not in circles.

    Raises:
        DataError: a folder cannot be read.
    """
    return sorted(_files_of(folder).walk(folder), key=lambda entry: entry.name)


def open_binary(url: str) -> BinaryIO:
    """Open a path or URL for reading; seekable, unless it is remote and allows no ranges.

    Raises:
        MissingError: it is not there, or a package is missing.
        DataError: it cannot be read.
    """
    return _files_of(url).open_binary(url)


def open_in_order(file: Entry) -> BinaryIO:
    """Open a file that is to be read from its beginning to its end; seekable.

    A remote one is read in large blocks, the next ones ahead of time.

    Raises:
        MissingError: it is not there, or a package is missing.
        DataError: it cannot be read, or a remote one has changed since it was listed.
    """
    if is_url(file.url):
        return open_remote_in_order(file.url, file.stamp)
    return open_binary(file.url)


def check_unchanged(file: Entry) -> None:
    """Refuse a remote file that is another one by now than when it was opened to be read in order.

    Raises:
        DataError: it is, as far as its server tells.
    """
    if is_url(file.url):
        check_remote_unchanged(file.url)


def read(url: str, start: int = 0, size_bytes: int | None = None) -> bytes:
    """Return a file's bytes, or a range of them; fewer where the file is shorter.

    Ranges of a remote file that follow one another are read in large blocks, ahead of time.

    Raises:
        MissingError: it is not there, or a package is missing.
        DataError: it cannot be read.
    """
    if size_bytes is not None and is_url(url):
        return read_range(url, start, size_bytes)
    return _files_of(url).read(url, start, size_bytes)


def _files_of(url: str) -> _Local | RemoteFiles:
    return _REMOTE if is_url(url) else _LOCAL


# --- this machine ------------------------------------------------------------------------


class _Local:
    """Files of this machine.

    Not by fsspec's local file system: it lists 20,000 small files in 1.6 times the time, follows
    links in circles, opens pipes and devices, and knows neither times of change in nanoseconds nor
    names that are stored in another Unicode form than they are typed in.
    """

    def alternatives(self, pattern: str) -> list[str]:
        return [pattern] if exists(as_stored(Path(pattern))) else expand(pattern)

    def find(self, url: str) -> Iterator[Entry]:
        stored = as_stored(Path(url))
        is_pattern = not exists(stored) and any(c in url for c in "*?[")
        paths = _matching(_stored_pattern(url)) if is_pattern else [stored]
        if not paths:
            raise MissingError(
                f"no file matches '{url}'", fix="check the path, and the wildcards in it", path=url
            )
        for path in paths:
            if is_pattern and leads_nowhere(path):
                yield Entry(path.name, str(path), 0, "")  # a file that cannot be read, for now
                continue
            try:
                yield _entry(path.name, str(path), path.stat())
            except FileNotFoundError:
                raise MissingError(
                    f"there is nothing at '{path}'", fix="check the path", path=str(path)
                ) from None
            except OSError as error:
                raise _unreadable(str(path), error) from error

    def is_folder(self, url: str) -> bool:
        return is_dir(as_stored(Path(url)))

    def walk(self, folder: str) -> Iterator[Entry]:
        folder = str(as_stored(Path(folder)))
        try:
            yield from _walk(folder, "", frozenset())
        except OSError as error:
            raise _unreadable(str(error.filename or folder), error) from error

    def open_binary(self, url: str) -> BinaryIO:
        try:
            check_regular(Path(url), Path(url).stat().st_mode)
            return Path(url).open("rb")
        except FileNotFoundError:
            raise MissingError(f"there is nothing at '{url}'", path=url) from None
        except OSError as error:
            raise _unreadable(url, error) from error

    def read(self, url: str, start: int, size_bytes: int | None) -> bytes:
        with self.open_binary(url) as stream:
            try:
                stream.seek(start)
                return stream.read() if size_bytes is None else stream.read(size_bytes)
            except OSError as error:
                raise _unreadable(url, error) from error


def _matching(pattern: str) -> list[Path]:
    """Return the files that an absolute pattern matches, and the links to nothing."""
    try:
        paths = matching(pattern)
    except OSError as error:
        folder = str(error.filename or pattern)
        if is_transient(error):
            raise run_again(folder, error) from error
        raise _unreadable(folder, error) from error
    return [path for path in paths if is_file(path) or leads_nowhere(path)]


def _stored_pattern(pattern: str) -> str:
    """Return a pattern whose folders before the first wildcard are spelt as they are stored."""
    plain = len(list(itertools.takewhile(lambda c: c not in "*?[", pattern)))
    folder, slash, _ = pattern[:plain].rpartition("/")
    stored = str(as_stored(Path(folder))) if folder else folder
    return f"{stored}{slash}{pattern[len(folder) + len(slash) :]}"


def _walk(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[Entry]:
    stat = Path(folder).stat()
    # Ancestors only: a folder that is linked twice is listed twice, a circle once.
    if (identity := (stat.st_dev, stat.st_ino)) in above:
        return
    with os.scandir(folder) as children:
        for child in children:
            if child.name.startswith("."):
                continue
            if leads_to_folder(child):
                yield from _walk(child.path, f"{prefix}{child.name}/", above | {identity})
            elif leads_nowhere(Path(child.path)):  # a file that cannot be read, for now
                yield Entry(prefix + child.name, child.path, 0, "")
            elif child.is_file():
                yield _entry(prefix + child.name, child.path, child.stat())


def entry_of(path: Path) -> Entry:
    """Return the entry of a local file.

    Raises:
        DataError: it is missing or cannot be read.
    """
    try:
        return _entry(path.name, str(path), path.stat())
    except OSError as error:
        raise _unreadable(str(path), error) from error


def _entry(name: str, path: str, stat: os.stat_result) -> Entry:
    # What has just changed may change again under the same time; without a stamp it is not cached.
    steady = time.time_ns() - stat.st_mtime_ns > SETTLED_NS
    # With ctime, for `cp -p` keeps all the others.
    changed = f"{stat.st_mtime_ns}:{stat.st_ctime_ns}"
    stamp = f"{stat.st_size}:{changed}:{stat.st_ino}" if steady else ""
    return Entry(name, path, stat.st_size, stamp)


def _unreadable(path: str, error: OSError) -> DataError:
    why = (error.strerror or str(error)).lower()
    return DataError(f"cannot read '{path}'", why=why, path=path)


_LOCAL = _Local()
_REMOTE = RemoteFiles()
