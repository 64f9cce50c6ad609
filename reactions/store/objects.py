"""Objects behind a URL, through fsspec: S3, Google Cloud Storage, Azure; read, put, listed.

What goes over a network fails at times. Reads, listings, copies and plain puts can be done twice
and are, with pauses; what still fails is an ``OSError`` that says what to do, without anything that
a message of the service may quote of credentials.
"""

from __future__ import annotations

import errno
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from reactions.core.transient import is_transient
from reactions.store.services import call_within, copy_file, open_service, read_options, said

T = TypeVar("T")

_TRIES = 5
_PAUSE_S = 0.2
"""Before the second try; twice as long before each further one."""

_MOMENT_S = 10.0
"""How long a heartbeat may take; the next one is a new try."""

_SIDE_BY_SIDE = 8
"""How many small objects are put, copied or removed at a time."""

PROBES = "probes"
"""Where objects lie for a moment that find out how the service behaves."""

_AT_ONCE = 64
"""How many records are read at a time."""

# What services and their libraries say of a moment, not of the request; s3fs makes OSErrors
# without a number of most of it.
_PASSING = re.compile(
    r"slow ?down|reduce your request|internal ?error|service ?unavailable|too many requests"
    r"|time(d)? ?out|connection|reset by peer|broken pipe|temporar|try again|incomplete ?read"
    r"|payload|please retry|\b50[0234]\b|\b429\b"
    r"|server (is )?busy|cannot connect|disconnected|proxy ?error",  # azure-core, gcsfs
    re.IGNORECASE,
)
_PASSING_STATUS = (408, 429, 500, 502, 503, 504)
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What a disk of this machine says that what is fetched is put on."""

_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError)


class ObjectError(OSError):
    """A request to the service failed.

    Attributes:
        why: in the service's words.
        fix: what to do.
    """

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: its bytes, and when it was written by the service's clock."""

    size_bytes: int
    written_s: float


class Objects:
    """The objects under one URL, by names relative to it.

    It opens its connection when it is first used, and again in a process that it is sent to:
    credentials are found there, as the service's own tools find them, and never sent or kept.

    Args:
        url: as ``normal_url`` returns it.

    Attributes:
        is_conditional: the service keeps what is there from a conditional put; None as long as
            that was not needed.

    Raises:
        MissingError: the package that the protocol needs is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: tuple[int, Any, str] | None = None
        self.is_conditional: bool | None = None
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.url, self._opened, self.is_conditional = state["url"], None, None

    def _open(self) -> tuple[Any, str]:
        """Return the file system, opened in this process, and the root in its terms."""
        if self._opened is None or self._opened[0] != os.getpid():
            fs = open_service(self.url)
            self._opened = os.getpid(), fs, str(fs._strip_protocol(self.url)).rstrip("/")
        return self._opened[1:]

    # --- reading ---------------------------------------------------------------------

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Return an object's bytes, or a range of them."""
        fs, root = self._open()
        options = {"start": start, "end": stop, **read_options(fs)}
        return bytes(self._try(lambda: fs.cat_file(f"{root}/{name}", **options)))

    def read_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield objects in order, many of them read at a time, without those that are gone."""
        names = list(names)
        for begin in range(0, len(names), _AT_ONCE):
            batch = names[begin : begin + _AT_ONCE]
            read = self._side_by_side(self._read_or_none, batch)
            for name, data in zip(batch, read, strict=True):
                if data is not None:
                    yield name, data

    def _read_or_none(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except FileNotFoundError:
            return None

    def info(self, name: str) -> ObjectInfo:
        """Return what is known of an object."""
        fs, root = self._open()
        return _info(self._try(lambda: fs.info(f"{root}/{name}")))

    def exists(self, name: str) -> bool:
        """Return whether there is an object of a name."""
        try:
            self.info(name)
        except FileNotFoundError:
            return False
        return True

    def find(self, folder: str) -> dict[str, ObjectInfo]:
        """Return all objects under a name, at any depth, by their names under the store's root."""
        fs, root = self._open()
        try:
            listing = self._try(lambda: self._listed(fs.find, f"{root}/{folder}", detail=True))
        except FileNotFoundError:
            return {}
        return {
            str(path).removeprefix(root).lstrip("/"): _info(info)
            for path, info in listing.items()
            if info.get("type") == "file"
        }

    def children(self, folder: str) -> list[str]:
        """Return the names right under a name that have objects under them, sorted."""
        fs, root = self._open()
        try:
            listing = self._try(lambda: self._listed(fs.ls, f"{root}/{folder}", detail=True))
        except FileNotFoundError:
            return []
        folders = (str(info["name"]).rstrip("/") for info in listing if info["type"] == "directory")
        return sorted(name.rpartition("/")[2] for name in folders)

    def _listed(self, ask: Callable[..., T], path: str, **options: Any) -> T:
        self._open()[0].invalidate_cache()
        return ask(path, **options)

    def download(self, name: str, path: Path) -> None:
        """Copy an object to a new file on this machine."""
        fs, root = self._open()
        self._try(lambda: fs.get_file(f"{root}/{name}", str(path)))

    # --- writing ---------------------------------------------------------------------

    def write(self, name: str, data: bytes) -> None:
        """Put an object, whether there is one or not."""
        fs, root = self._open()
        self._put(lambda: fs.pipe_file(f"{root}/{name}", data))

    def create(self, name: str, data: bytes) -> bool:
        """Put an object unless there is one: the service decides, where it can.

        Where it cannot, of two processes at the same moment both may put theirs.

        Returns:
            False when there is one already.
        """
        if self.is_conditional is None:
            self.is_conditional = self._knows_conditions()
        if self.is_conditional:
            # What is there was perhaps put by an earlier try, whose answer was lost.
            return self._put_new(name, data) or self._read_or_none(name) == data
        if self.exists(name):
            return False
        self.write(name, data)
        return True

    def _knows_conditions(self) -> bool:
        """Find out, once, whether the service keeps an object that is there.

        Some answer that they do not know the condition. Others put the second object over the
        first, as if it had not been asked for.
        """
        name = f"{PROBES}/{uuid.uuid4().hex}"
        try:
            # Of the first put, False says no more than that an answer was lost: the name is ours.
            return self._put_new(name, b"1") is not None and self._put_new(name, b"2") is False
        finally:
            with suppress(OSError):  # what stays goes with a later cleaning
                self.remove([name])

    def _put_new(self, name: str, data: bytes) -> bool | None:
        """Put an object if there is none; None where the service does not know that condition."""
        fs, root = self._open()
        try:
            self._put(lambda: fs.pipe_file(f"{root}/{name}", data, mode="create"))
        except FileExistsError:
            return False
        except (NotImplementedError, TypeError):
            return None
        except ObjectError as error:
            # s3fs knows a refused condition by a field that not every server sends.
            if re.search("pre-?condition", error.why, re.IGNORECASE):
                return False
            if re.search("not ?implemented|unsupported|not supported", error.why, re.I):
                return None
            raise
        return True

    def read_once(self, name: str) -> bytes | None:
        """Return an object's bytes, or None; asked once, and waited for no longer than a moment.

        Raises:
            OSError: there was no answer, or the service failed.
        """
        try:
            return bytes(self._once("cat_file", name, **read_options(self._open()[0])))
        except FileNotFoundError:
            return None

    def write_once(self, name: str, data: bytes) -> None:
        """Put an object; see ``read_once``."""
        self._once("pipe_file", name, data)

    def _once(self, method: str, name: str, *args: Any, **options: Any) -> Any:
        fs, root = self._open()
        path = f"{root}/{name}"
        try:
            return call_within(_MOMENT_S, fs, method, path, *args, **options)
        except FileNotFoundError:
            raise
        except Exception as error:  # of the service's own library
            raise ObjectError(said(error), "") from None

    def upload(self, files: Sequence[tuple[Path, str]]) -> None:
        """Copy files of this machine to objects; large ones go in parts."""
        fs, root = self._open()
        self._side_by_side(
            lambda file: self._put(lambda: fs.put_file(str(file[0]), f"{root}/{file[1]}")), files
        )

    def copy(self, names: Sequence[tuple[str, str]]) -> None:
        """Copy objects to others, within the service."""
        fs, root = self._open()
        self._side_by_side(
            lambda pair: self._try(lambda: copy_file(fs, f"{root}/{pair[0]}", f"{root}/{pair[1]}")),
            names,
        )

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects, also such as are gone already."""
        self._side_by_side(self._remove, names)

    def _remove(self, name: str) -> None:
        fs, root = self._open()
        with suppress(FileNotFoundError):
            self._try(lambda: fs.rm_file(f"{root}/{name}"))

    # --- within ----------------------------------------------------------------------

    def _side_by_side(self, do: Callable[[Any], T], things: Sequence[Any]) -> list[T]:
        if len(things) <= 1:
            return [do(thing) for thing in things]
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            return list(pool.map(do, things))

    def _put(self, ask: Callable[[], T]) -> T:
        """Return what a put gives; what it can miss is the bucket, which services word variously.

        Some name nothing but the address that they were sent.
        """
        try:
            return self._try(ask)
        except FileNotFoundError as error:
            raise ObjectError(
                f"the bucket or container does not exist: {said(error)}",
                "make it with the service's own tools, or check the address",
            ) from None

    def _try(self, ask: Callable[[], T]) -> T:
        """Return what a request gives; try again what fails for the moment."""
        for n in range(_TRIES):
            try:
                return ask()
            except (*_LASTING, NotImplementedError, TypeError) as error:
                if isinstance(error, PermissionError):
                    raise _refused(error) from None
                raise
            # Every service raises errors of its own library.
            except Exception as error:
                if is_full(error):
                    raise
                if _status(error) in (401, 403) or str(error).startswith("Forbidden"):  # gcsfs
                    raise _refused(error) from None
                if _status(error) == 404:  # adlfs: a put without a container
                    raise FileNotFoundError(said(error)) from None
                if not _is_passing(error) or n == _TRIES - 1:
                    raise ObjectError(
                        said(error),
                        "check the address, the network and your credentials, then run it again: "
                        "what is done stays done",
                    ) from None
            time.sleep(_PAUSE_S * 2**n)
        raise AssertionError("unreachable")


def _refused(error: Exception) -> ObjectError:
    return ObjectError(
        f"the service refuses it: {said(error)}",
        "check your credentials: they must let you list, read, put and delete",
    )


def _status(error: Exception) -> object:
    """Return the HTTP status that azure-core and gcsfs give; others word it."""
    return getattr(error, "status_code", getattr(error, "code", None))


def _is_passing(error: Exception) -> bool:
    """Return whether an error of a service's library may not come again."""
    if _status(error) in _PASSING_STATUS:
        return True
    words = f"{type(error).__name__} {error}"
    return is_transient(error) or _PASSING.search(words) is not None


def is_full(error: BaseException) -> bool:
    """Return whether an error means that a disk of this machine has no room left."""
    return isinstance(error, OSError) and error.errno in _FULL


def _info(info: Mapping[str, Any]) -> ObjectInfo:
    written = next((info[k] for k in _TIMES if info.get(k)), None)
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    written_s = written.timestamp() if isinstance(written, datetime) else float(written or 0.0)
    return ObjectInfo(int(info.get("size") or 0), written_s)


_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
"""What file systems call the time at which an object was written."""
