"""Files and names of other authors, read within stated limits; and small files, replaced whole.

What is text by nature (a lab file, a ``.rxn``, a list of ids, a ``space.json``) is small, and lies
in a regular file: a pipe without an end, ``/dev/zero`` or a file of gigabytes given in its place
is refused before it is read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import uuid
from pathlib import Path

from reactions.core.errors import DataError, MissingError, MolspaceError, StoreError, UsageError
from reactions.core.transient import is_transient, run_again


def expand_user(text: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` and ``~NAME`` replaced by a home folder.

    Raises:
        UsageError: no user has that name, or the text holds a null.
    """
    if "\0" in os.fspath(text):
        raise UsageError("a path cannot hold a null character", path=os.fspath(text))
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(
            f"cannot tell where '{text}' is",
            why="no user of this machine has that name",
            fix="give the whole path; a name that begins with ~ is written ./~NAME",
            path=os.fspath(text),
        ) from None


def whole_path(path: Path) -> Path:
    """Return an absolute path without ``..``, by which a file is called the same from anywhere."""
    whole = path.absolute()
    if ".." not in whole.parts:
        return whole
    short = Path(os.path.normpath(whole))
    # Behind a link to a folder .. is not the folder that is written before it.
    with contextlib.suppress(OSError):
        if short.samefile(whole):
            return short
    return whole.parent.resolve() / whole.name


def exists(path: Path) -> bool:
    """Return whether there is anything at a path; False for what no file system could hold."""
    return _mode(path) is not None


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; False for what no file system could hold."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_dir(path: Path) -> bool:
    """Return whether a path is a folder; False for what no file system could hold."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether what a folder lists is a folder, or a link to one."""
    # Of a link to itself DirEntry.is_dir raises; of others it needs no look at the file.
    return is_dir(Path(entry.path)) if entry.is_symlink() else entry.is_dir()


def leads_nowhere(path: Path) -> bool:
    """Return whether a path is a link to a file that is not there, or a circle of links."""
    return path.is_symlink() and not exists(path)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (OSError, ValueError) as error:
        if is_transient(error):  # a file that is there must not seem to be missing
            raise run_again(os.fspath(path), error) from error
        return None  # missing, too long, a circle of links; a null character


def read_small_file(path: Path, limit_bytes: int) -> bytes:
    """Return the bytes of a regular file that is small by nature.

    Args:
        path: of the file.
        limit_bytes: the most that it may have.

    Raises:
        MissingError: it is not there.
        DataError: it is larger, is not a regular file (a folder, a pipe, a device), or cannot be
            read; nothing beyond the limit is read.
    """
    try:
        check_regular(path, path.stat().st_mode)  # opening a device can do something already
        # Without O_NONBLOCK a pipe put in its place since then would wait for a writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        with open(handle, "rb") as stream:  # noqa: PTH123
            state = os.fstat(handle)
            check_regular(path, state.st_mode)
            # One byte beyond the limit: files in /proc have a size of 0, and others grow.
            data = b"" if state.st_size > limit_bytes else stream.read(limit_bytes + 1)
            size_bytes = max(state.st_size, len(data))
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError(f"there is nothing at '{path}'", path=str(path)) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if size_bytes > limit_bytes:
        raise DataError(
            f"'{path}' is too large",
            why=f"it has {size_bytes:,} bytes; a file of this kind may have {limit_bytes:,}",
            fix="check that it is the file you mean",
            path=str(path),
            size_bytes=size_bytes,
            limit_bytes=limit_bytes,
        )
    return data


def read_text_file(path: Path, limit_bytes: int) -> str:
    """Return the text of a regular UTF-8 file that is small by nature, without a byte-order mark.

    Line breaks become line feeds, as when a file is opened as text.

    Args:
        path: of the file.
        limit_bytes: the most that it may have.

    Raises:
        MissingError: it is not there.
        DataError: it is larger, is not a regular file, is not UTF-8, or cannot be read.
    """
    try:
        text = read_small_file(path, limit_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{path}' is not UTF-8 text", why=f"byte {error.start} is not valid", path=str(path)
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def replace_file(path: Path, text: str, *, folder: Path | None = None, prefix: str = ".") -> None:
    """Write a text file in one move: who reads it meanwhile sees the old text or the new one.

    Args:
        path: the file; folders above it are made.
        text: written as UTF-8.
        folder: where it is written first, on the same file system; beside the file by default.
        prefix: of the name that it has until then.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = (folder or path.parent) / f"{prefix}{uuid.uuid4().hex}"
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def writable_folder(folder: Path, purpose: str, fix: str) -> None:
    """Make a folder for files, or find out whether the one that is there can be written to.

    Args:
        folder: where; parents are made, too.
        purpose: for the error: "figures".
        fix: likewise.

    Raises:
        StoreError: it cannot be made or written to, or is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Tried, not asked: permissions do not say which folders of the system take no files.
        with tempfile.TemporaryFile(dir=folder):
            why = ""
    except FileExistsError:
        why = "a file has this name"
    except NotADirectoryError:
        why = "a part of the path is a file"
    except PermissionError:
        why = "it may not be written to"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    if why:
        raise StoreError(f"cannot use '{folder}' for {purpose}", why=why, fix=fix, path=str(folder))


_BINARY = getattr(os, "O_BINARY", 0)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_regular(path: Path, mode: int) -> None:
    """Refuse what may never end or act when it is opened (DataError); ``mode`` is its st_mode."""
    if stat.S_ISREG(mode):
        return
    kind = next((name for test, name in _KINDS if test(mode)), "something else")
    raise DataError(
        f"cannot read '{path}'",
        why=f"it is {kind}, not a regular file",
        fix="name a file in it"
        if stat.S_ISDIR(mode)
        else "copy what it gives into a file first, and name that",
        path=str(path),
    )


def _unreadable(path: Path, error: OSError | ValueError) -> MolspaceError:
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        why = "the name is too long for the file system"
    else:
        why = getattr(error, "strerror", None) or str(error)
    return DataError(f"cannot read '{path}'", why=why, path=str(path))
