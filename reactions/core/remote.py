"""Files behind a URL, through fsspec: S3, GCS, HTTP, the Hugging Face hub, memory, ..."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.errors import DataError, MissingError, MolspaceError
from reactions.core.protocols import check_use

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_BUFFER_BYTES = 1 << 20

_STAMPS = (
    "ETag",
    "etag",
    "checksum",
    "md5Hash",
    "content_md5",
    "sha256",
    "blob_id",
    "generation",
    "crc32c",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)
"""What file systems call the fact that changes with the contents, the most telling first."""


def stamp(info: Mapping[str, Any]) -> str:
    """Return what changes when the object changes: its size and its checksum, or a date.

    Returns:
        "" where the file system tells nothing of the kind.
    """
    for key in _STAMPS:
        if info.get(key):
            return f"{info.get('size')}:{key}={info[key]}"
    return ""


def find(url: str) -> list[tuple[str, int, str]]:
    """Return the files a URL names, sorted: itself, or what its wildcards match.

    Returns:
        (URL, size in bytes, stamp) of each.

    Raises:
        MissingError: there is none, or a package is missing.
        DataError: the place cannot be reached.
    """
    with _told(url):
        fs, path = _open(url)
        if any(c in path for c in "*?["):
            found = fs.glob(path, detail=True)
        else:
            found = {path: fs.info(path)}
        files = [info for info in found.values() if info.get("type") != "directory"]
        if not files:
            raise FileNotFoundError(url)
        ordered = sorted(files, key=lambda info: str(info["name"]))
        return [_entry(url, fs, info) for info in ordered]


def is_folder(url: str) -> bool:
    """Return whether a URL names a folder.

    Raises:
        MissingError: a package is missing.
        DataError: the place cannot be reached.
    """
    with _told(url):
        fs, path = _open(url)
        return bool(fs.isdir(path))


def walk(url: str) -> list[tuple[str, str, int, str]]:
    """Return all files below a folder, sorted by name.

    Returns:
        (name relative to the folder, URL, size in bytes, stamp) of each.

    Raises:
        MissingError: a package is missing.
        DataError: the place cannot be reached.
    """
    with _told(url):
        fs, path = _open(url)
        root = path.rstrip("/")
        found = [
            (str(name).removeprefix(root).lstrip("/"), *_entry(url, fs, info))
            for name, info in fs.find(path, detail=True).items()
        ]
        return sorted(found)


def open_binary(url: str) -> BinaryIO:
    """Open a file for reading; seekable where the server allows ranges.

    Raises:
        MissingError: it is not there, or a package is missing.
        DataError: it cannot be reached.
    """
    with _told(url):
        fs, path = _open(url)
        return io.BufferedReader(_Raw(url, fs.open(path, "rb")), _BUFFER_BYTES)


class _Raw(io.RawIOBase):
    """A file as fsspec gives it, in Python's terms.

    File systems differ in what their files can do: ``readline`` takes no size (HTTP), there is
    none at all, or a stream cannot seek. Every one has ``read``; the rest is ``io``'s.

    Args:
        url: for messages.
        file: of fsspec.
    """

    def __init__(self, url: str, file: Any) -> None:
        super().__init__()
        self._url = url
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(getattr(self._file, "seekable", bool)())

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        with _told(self._url):
            data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _told(self._url):
            self._file.seek(offset, whence)
            return int(self._file.tell())

    def tell(self) -> int:
        with _told(self._url):
            return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            super().close()
            with suppress(Exception):  # what was read is read
                self._file.close()


def read(url: str, start: int = 0, size_bytes: int | None = None) -> bytes:
    """Return a file's bytes, or a range of them.

    Raises:
        MissingError: it is not there, or a package is missing.
        DataError: it cannot be reached.
    """
    with _told(url):
        fs, path = _open(url)
        if size_bytes is None:
            return bytes(fs.cat_file(path, start=start or None))
        return bytes(fs.cat_file(path, start=start, end=start + size_bytes))


def _entry(url: str, fs: AbstractFileSystem, info: Mapping[str, Any]) -> tuple[str, int, str]:
    protocol = url.partition("://")[0]
    name = str(info["name"])
    # A chain (simplecache::s3://...) is opened again as it was written.
    found = f"{protocol}://{name}" if "::" in protocol else str(fs.unstrip_protocol(name))
    return found, int(info.get("size") or 0), stamp(info)


@lru_cache(maxsize=64)
def _filesystem(protocol: str) -> Any:
    import fsspec

    return fsspec.filesystem(protocol)


def _open(url: str) -> tuple[AbstractFileSystem, str]:
    check_use(url)  # before fsspec sees it: it is the only door to all remote places
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0]
    if "::" in protocol or protocol in ("http", "https"):  # the host belongs to the path
        fs, path = url_to_fs(url)
        return fs, str(path)
    fs = _filesystem(protocol)
    return fs, str(fs._strip_protocol(url))


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn whatever a file system raises into an error that says what to do."""
    try:
        yield
    except MolspaceError:
        raise
    except FileNotFoundError:
        raise MissingError(
            f"there is nothing at '{url}'",
            fix="check the address, and the wildcards in it",
            url=url,
        ) from None
    except ImportError as error:
        raise MissingError(
            f"cannot read '{url}'",
            why=str(error).rstrip("."),
            fix="pip install 'molspace[remote]', and the package this kind of address needs "
            "(s3fs, gcsfs, aiohttp, huggingface_hub)",
            url=url,
        ) from None
    # Every store raises errors of its own library; what they share is that reading failed.
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"cannot read '{url}'",
            why=why,
            fix="check the address, the network and your credentials, then run it again: "
            "what is done stays done",
            url=url,
        ) from error
