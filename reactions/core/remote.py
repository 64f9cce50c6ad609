"""Files behind a URL, through fsspec: S3, GCS, HTTP, the Hugging Face hub, memory, ..."""

from __future__ import annotations

import io
import re
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.addresses import Entry
from reactions.core.braces import expand
from reactions.core.clouds import PACKAGES, check_account, file_system, options
from reactions.core.errors import DataError, MissingError, MolspaceError
from reactions.core.extras import install_extra
from reactions.core.protocols import check_use, shown

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_BUFFER_BYTES = 1 << 20


class RemoteFiles:
    """What ``storage`` asks of a kind of place, for URLs; its functions say what each returns."""

    def alternatives(self, pattern: str) -> list[str]:
        """Return what the braces of a pattern expand to."""
        return expand(pattern)

    def find(self, url: str) -> list[Entry]:
        """Return the files that a URL names: itself, or what its wildcards match, sorted."""
        with explained(url):
            fs, path = _open(url)
            # A question mark of HTTP begins a query.
            if any(c in path for c in ("*[" if hasattr(fs, "encode_url") else "*?[")):
                infos = list(fs.glob(path, detail=True).values())
            else:
                infos = [fs.info(path)]
                if hasattr(fs, "encode_url"):
                    _found(url, infos[0])
            files = [info for info in infos if info.get("type") != "directory"]
            if not files:
                raise FileNotFoundError(url)
            files.sort(key=lambda info: str(info["name"]))
            return [_entry(url, fs, info) for info in files]

    def is_folder(self, url: str) -> bool:
        """Return whether a URL names a folder."""
        # By HTTP, asking means downloading: a page of links would be a folder.
        if url.startswith(("http://", "https://")) and "." in url_name(url):
            return False
        with explained(url):
            fs, path = _open(url)
            return bool(fs.isdir(path))

    def walk(self, folder: str) -> list[Entry]:
        """Return the files below a folder that are not hidden, in any order."""
        with explained(folder):
            fs, path = _open(folder)
            root = path.rstrip("/")
            entries = [
                _entry(folder, fs, info, str(name).removeprefix(root).lstrip("/"))
                for name, info in fs.find(path, detail=True).items()
            ]
        return [entry for entry in entries if "/." not in f"/{entry.name}"]

    def open_binary(self, url: str) -> BinaryIO:
        """Open a file; seekable where the server allows ranges."""
        with explained(url):
            fs, path = _open(url)
            return io.BufferedReader(_Raw(url, fs.open(path, "rb")), _BUFFER_BYTES)

    def read(self, url: str, start: int = 0, size_bytes: int | None = None) -> bytes:
        """Return a file's bytes, or a range of them."""
        with explained(url):
            fs, path = _open(url)
            end = None if size_bytes is None else start + size_bytes
            # None, not 0: over HTTP any number asks for a range, which not every server allows.
            return bytes(fs.cat_file(path, start=start or None, end=end))


def url_name(url: str) -> str:
    """Return the last part of a URL, without what follows a question mark by HTTP."""
    if url.rpartition("::")[2].startswith(("http://", "https://")):
        url = url.partition("?")[0].partition("#")[0]
    return url.rpartition("/")[2]


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
    "Last-Modified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)
"""What file systems call the fact that changes with the contents, the most telling first."""


def stamp(info: Mapping[str, Any]) -> str:
    """Return what changes when the object changes: its size and its checksum, or a date.

    Returns:
        "" where the file system gives none of these.
    """
    for key in _STAMPS:
        if info.get(key):
            return f"{info.get('size')}:{key}={info[key]}"
    return ""


_DATES = frozenset(_STAMPS[_STAMPS.index("LastModified") :])


def contradict(stamp: str, other_stamp: str) -> bool:
    """Return whether two stamps are of different contents, as far as they can be compared.

    What lists a folder may word a date in another way, or know another fact, than what looks at a
    single file.
    """
    (size, fact), (other_size, other_fact) = (
        text.partition(":")[::2] for text in (stamp, other_stamp)
    )
    key = fact.partition("=")[0]
    comparable = key == other_fact.partition("=")[0] and key not in _DATES
    return size != other_size or (comparable and fact != other_fact)


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
        # bool() is False: what has no such method cannot seek.
        return bool(getattr(self._file, "seekable", bool)())

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        with explained(self._url):
            data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with explained(self._url):
            self._file.seek(offset, whence)
            return int(self._file.tell())

    def tell(self) -> int:
        with explained(self._url):
            return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            super().close()
            with suppress(Exception):  # what was read is read
                self._file.close()


def _entry(
    base: str, fs: AbstractFileSystem, info: Mapping[str, Any], name: str | None = None
) -> Entry:
    """Return the entry of a file that was found at the URL ``base``, or below it."""
    protocol, path = base.partition("://")[0], str(info["name"])
    # A chain (simplecache::s3://...) is opened again as it was written.
    url = f"{protocol}://{path}" if "::" in protocol else str(fs.unstrip_protocol(path))
    name = url_name(url) if name is None else name
    return Entry(name, url, int(info.get("size") or 0), stamp(info))


@lru_cache(maxsize=64)
def _filesystem(protocol: str, **service_options: str) -> Any:
    return file_system(protocol)(**service_options)


def _open(url: str) -> tuple[AbstractFileSystem, str]:
    check_use(url)  # before fsspec sees it: it is the only door to all remote places
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0]
    if "::" in protocol or protocol in ("http", "https"):  # the host belongs to the path
        *caches, plain = url.split("::")
        if caches:  # what the package behind them logs is to stay off the screen, too
            file_system(plain.partition("://")[0])
        fs, path = url_to_fs(url)
        behind = fs
        for _ in caches:
            behind = behind.fs
        check_account(plain, behind)
        return fs, str(path)
    fs = _filesystem(protocol, **options(url))
    check_account(url, fs)
    return fs, str(fs._strip_protocol(url))


_just_found: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
_found_lock = threading.Lock()
_MOST_FOUND = 1024


def _found(url: str, info: Mapping[str, Any]) -> None:
    """Keep what a server said of a file for its opening, which then need not ask."""
    with _found_lock:
        _just_found[url] = info
        while len(_just_found) > _MOST_FOUND:
            _just_found.popitem(last=False)


def opened_with(url: str) -> tuple[Any, Mapping[str, Any], Any]:
    """Open a file of fsspec's, to be read in parts; call it within ``explained``.

    Returns:
        The file system, what it knows of the file, and the file.
    """
    fs, path = _open(url)
    with _found_lock:
        info = _just_found.pop(url, None)
    info = info or fs.info(path)
    # By HTTP a file asks for its size anew unless it is given.
    size_option = {"size": info["size"]} if hasattr(fs, "encode_url") and info.get("size") else {}
    return fs, info, fs.open(path, "rb", **size_option)


def run_in_loop(fs: Any, call: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Wait for what a file system's own thread does."""
    from fsspec.asyn import sync

    sync(fs.loop, call, *args)


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn whatever a file system raises into an error that says what to do."""
    try:
        yield
    except MolspaceError:
        raise
    except FileNotFoundError as error:
        # By HTTP every failure is called so.
        cause = error.__cause__
        by_http = url.rpartition("::")[2].startswith(("http://", "https://"))
        if by_http and cause is not None and getattr(cause, "status", 0) not in _GONE:
            raise _unreadable(url, cause) from error
        raise MissingError(
            f"there is nothing at '{shown(url)}'",
            fix="check the address, and the wildcards in it",
            url=shown(url),
        ) from None
    except ImportError as error:
        raise MissingError(
            f"cannot read '{shown(url)}'",
            why=str(error).rstrip("."),
            fix=_to_install(url),
            url=shown(url),
        ) from None
    # Every store raises errors of its own library; what they share is that reading failed.
    except Exception as error:
        raise _unreadable(url, error) from error


_GONE = (404, 410)


def _to_install(url: str) -> str:
    protocol = url.rpartition("::")[2].partition("://")[0]
    if (package := PACKAGES.get(protocol)) is not None:
        return f"pip install {package}"
    return install_extra("hub" if protocol == "hf" else "remote")


def _unreadable(url: str, error: BaseException) -> DataError:
    return DataError(
        f"cannot read '{shown(url)}'",
        why=said(error),
        fix="check the address, the network and your credentials, then run it again: "
        "what is done stays done",
        url=shown(url),
    )


def said(error: BaseException) -> str:
    """Return an error's message on one line, without queries of addresses in it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"(https?://[^\s'\"?]*)\?[^\s'\"]*", r"\1?...", text)
