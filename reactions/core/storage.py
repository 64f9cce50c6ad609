"""Files by path or URL: listed, stamped and read in pieces, wherever they lie."""

from __future__ import annotations

import glob
import itertools
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from reactions.core import remote
from reactions.core.errors import DataError, MissingError
from reactions.core.file_digests import SETTLED_NS
from reactions.core.file_names import as_stored
from reactions.core.local_files import check_regular, exists, expand_user, is_dir, is_file
from reactions.core.transient import is_transient, run_again

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z0-9+.-]+)*://")
"""At least two letters: one would be a drive."""
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
_BRACES = re.compile(r"\{([^{}]*)\}")
MAX_FILES = 1_000_000
"""What braces may expand to: a slip of the keyboard is no reason to fill the memory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file.

    Attributes:
        name: relative to the folder it was found in; its last part otherwise.
        url: absolute path or URL.
        size_bytes: its size.
        stamp: changes when the file changes; "" where nothing tells.
    """

    name: str
    url: str
    size_bytes: int
    stamp: str


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
            DataError: it cannot be read, or is shorter than it was.
        """
        found = read(self.url, self.offset, self.size_bytes)
        if self.size_bytes is not None and len(found) != self.size_bytes:
            raise DataError(
                f"'{self}' changed",
                why=f"{len(found)} of {self.size_bytes} bytes are left",
                fix="run it again: changed files are scanned anew",
                path=str(self),
            )
        return found


def is_url(text: str) -> bool:
    """Return whether a text is a URL, such as ``s3://bucket/key``, rather than a path."""
    return _URL.match(text) is not None


def absolute(text: str, base: Path) -> str:
    """Return an absolute path or URL; relative paths start at ``base``."""
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return text if is_url(text) else str((base / expand_user(text)).absolute())


def label(url: str) -> str:
    """Return a short name for a path, URL or pattern: its last part without wildcards."""
    parts = _URL.sub("", url).split("/")
    plain = [part for part in parts if part and not any(c in part for c in "{}*?[")]
    return (plain[-1].partition(".")[0] or plain[-1]) if plain else url


def expand(pattern: str) -> list[str]:
    """Expand braces as a shell does: ``{0000..0009}`` keeps its zeros, ``{a,b}`` lists.

    Raises:
        DataError: there would be more than ``MAX_FILES``.
    """
    pieces: list[list[str]] = []
    end = 0
    for match in _BRACES.finditer(pattern):
        inner = match.group(1)
        numbers = _RANGE.fullmatch(inner)
        if numbers is None and "," not in inner:
            continue  # braces that mean themselves
        pieces.append([pattern[end : match.start()]])
        end = match.end()
        if numbers is None:
            pieces.append(inner.split(","))
            continue
        first, last = numbers.groups()
        width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
        step = 1 if int(first) <= int(last) else -1
        span = range(int(first), int(last) + step, step)
        if len(span) > MAX_FILES:
            raise _too_many(pattern)
        pieces.append([f"{number:0{width}d}" for number in span])
    pieces.append([pattern[end:]])
    n = 1
    for piece in pieces:
        n *= len(piece)
    if n > MAX_FILES:
        raise _too_many(pattern)
    return ["".join(combination) for combination in itertools.product(*pieces)]


def find(pattern: str) -> list[Entry]:
    """Return the files that an absolute path, URL or pattern names, in order.

    Braces are expanded in order; what wildcards match is sorted.

    Raises:
        MissingError: one of them is not there, or nothing matches.
        DataError: a remote place cannot be reached.
    """
    literal = not is_url(pattern) and exists(as_stored(Path(pattern)))
    return list(
        itertools.chain.from_iterable(map(_find, [pattern] if literal else expand(pattern)))
    )


def _find(url: str) -> Iterator[Entry]:
    if is_url(url):
        for found, size_bytes, stamp in remote.find(url):
            yield Entry(found.rpartition("/")[2], found, size_bytes, stamp)
        return
    paths = [as_stored(Path(url))]
    if not exists(paths[0]) and any(c in url for c in "*?["):
        _check_folder(url)
        # Path.glob takes no absolute patterns.
        matches = map(Path, glob.glob(_stored_pattern(url), recursive=True))  # noqa: PTH207
        paths = sorted(path for path in matches if is_file(path))
    if not paths:
        raise MissingError(
            f"no file matches '{url}'", fix="check the path, and the wildcards in it", path=url
        )
    for path in paths:
        try:
            yield _entry(path.name, str(path), path.stat())
        except FileNotFoundError:
            raise MissingError(
                f"there is nothing at '{path}'", fix="check the path", path=str(path)
            ) from None
        except OSError as error:
            raise _unreadable(str(path), error) from error


def _check_folder(pattern: str) -> None:
    """Check that the folder before the first wildcard can be listed: glob skips what cannot be."""
    folder = re.split(r"[*?[]", pattern, maxsplit=1)[0].rpartition("/")[0] or "/"
    try:
        with os.scandir(folder):
            pass
    except OSError as error:
        if is_transient(error):
            raise run_again(folder, error) from error


def _stored_pattern(pattern: str) -> str:
    """Return a pattern whose folders before the first wildcard are spelt as they are stored."""
    plain = len(list(itertools.takewhile(lambda c: c not in "*?[", pattern)))
    folder, slash, _ = pattern[:plain].rpartition("/")
    stored = str(as_stored(Path(folder))) if folder else folder
    return f"{stored}{slash}{pattern[len(folder) + len(slash) :]}"


def is_folder(url: str) -> bool:
    """Return whether an absolute path or URL is a folder.

    Raises:
        DataError: a remote place cannot be reached.
    """
    return remote.is_folder(url) if is_url(url) else is_dir(as_stored(Path(url)))


def walk(folder: str) -> list[Entry]:
    """Return all files below a folder, sorted by relative name; hidden ones are left out.

    Links to folders are followed, but not in circles.

    Raises:
        DataError: a folder cannot be read.
    """
    if is_url(folder):
        found = [Entry(*fields) for fields in remote.walk(folder)]
        return [entry for entry in found if "/." not in f"/{entry.name}"]
    folder = str(as_stored(Path(folder)))
    try:
        return sorted(_walk(folder, "", frozenset()), key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(str(error.filename or folder), error) from error


def _walk(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[Entry]:
    stat = Path(folder).stat()
    if (own := (stat.st_dev, stat.st_ino)) in above:
        return
    with os.scandir(folder) as children:
        for child in children:
            if child.name.startswith("."):
                continue
            if child.is_dir():
                yield from _walk(child.path, f"{prefix}{child.name}/", above | {own})
            elif child.is_file():
                yield _entry(prefix + child.name, child.path, child.stat())
            elif child.is_symlink():  # to nothing: a file that cannot be read, for now
                yield Entry(prefix + child.name, child.path, 0, "")


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
    steady = time.time_ns() - stat.st_mtime_ns > SETTLED_NS
    # With ctime, for `cp -p` keeps all the others.
    changed = f"{stat.st_mtime_ns}:{stat.st_ctime_ns}"
    stamp = f"{stat.st_size}:{changed}:{stat.st_ino}" if steady else ""
    return Entry(name, path, stat.st_size, stamp)


def open_binary(url: str) -> BinaryIO:
    """Open a path or URL for reading.

    Raises:
        MissingError: it is not there.
        DataError: it cannot be read.
    """
    if is_url(url):
        return remote.open_binary(url)
    try:
        check_regular(Path(url), Path(url).stat().st_mode)
        return Path(url).open("rb")
    except FileNotFoundError:
        raise MissingError(f"there is nothing at '{url}'", path=url) from None
    except OSError as error:
        raise _unreadable(url, error) from error


def read(url: str, start: int = 0, size_bytes: int | None = None) -> bytes:
    """Return a file's bytes, or a range of them; fewer where the file is shorter.

    Raises:
        MissingError: it is not there.
        DataError: it cannot be read.
    """
    if is_url(url):
        return remote.read(url, start, size_bytes)
    with open_binary(url) as stream:
        try:
            stream.seek(start)
            return stream.read() if size_bytes is None else stream.read(size_bytes)
        except OSError as error:
            raise _unreadable(url, error) from error


def _unreadable(path: str, error: OSError) -> DataError:
    why = (error.strerror or str(error)).lower()
    return DataError(f"cannot read '{path}'", why=why, path=path)


def _too_many(pattern: str) -> DataError:
    return DataError(f"'{pattern}' names more than {MAX_FILES:,} files", path=pattern)
