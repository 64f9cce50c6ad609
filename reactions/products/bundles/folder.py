"""Bundles' directories: put in place in one move, and brought back after a kill in between.

A new bundle is written to a staging folder beside its place, ``.molspace-new.<random>``, and then
exchanged with what is there in one system call (Linux, macOS). Where that does not work, the old
one moves to ``.molspace-old.<random>/<name>`` first, and the next process that looks, reader or
writer, moves it back if the new one did not follow. Folders are locked while they are in use, so
that ``molspace cache gc`` recognises what a killed process left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reactions.core.errors import BundleError
from reactions.products.part_kinds import is_part_file

RECORD = "bundle.json"
PROJECTORS = "projectors.safetensors"
NEW = ".molspace-new."
OLD = ".molspace-old."

# Windows has no fcntl: there folders are not locked.
_fcntl: Any = importlib.import_module("fcntl") if find_spec("fcntl") else None


@contextlib.contextmanager
def staging_folder(directory: Path) -> Iterator[Path]:
    """Lend a new, locked folder beside a bundle's place; what is left of it is removed after."""
    staging = Path(tempfile.mkdtemp(prefix=NEW, dir=directory.parent))
    with locked_folder(staging):
        try:
            # mkdtemp lets only the owner in; others may read a bundle.
            staging.chmod(0o755)
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Mark a folder as in use by a living process, where the platform can."""
    fd = None
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        if _fcntl is not None:
            # The kernel releases it with the descriptor, also when the process is killed.
            _fcntl.flock(fd, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


def check_replaceable(directory: Path) -> None:
    """Refuse to replace what is not ours: it would be deleted (BundleError)."""
    if not directory.is_dir():
        raise BundleError(
            f"{directory} is a file, and a bundle is a folder",
            fix="choose another name, or an empty or new folder",
        )
    present = {path.name for path in directory.iterdir()}
    foreign = sorted(name for name in present - {RECORD, PROJECTORS} if not is_part_file(name))
    if foreign or (present and RECORD not in present):
        raise BundleError(
            f"{directory} holds something other than a bundle",
            why=f"there is {', '.join(foreign[:3])}" if foreign else f"there is no {RECORD}",
            fix="choose an empty or new directory",
        )


def replace(staging: Path, directory: Path) -> None:
    """Move a directory into place; the old one is gone, or back, when this returns or raises.

    Two processes may do so at once: the second replaces the first one's.

    Raises:
        OSError: it cannot be moved; what was there is there again.
    """
    old: list[Path] = []
    try:
        # Once more whenever another process has put its own there after ours made room.
        while True:
            try:
                # Takes the place of nothing, or of an empty folder.
                staging.rename(directory)
                break
            except OSError as error:
                # POSIX allows either for a folder that is not empty.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    if old and old[-1].exists():
                        old[-1].rename(directory)
                    raise
            if _exchange(staging, directory):
                break  # what was there is in staging now, which our caller removes
            aside = Path(tempfile.mkdtemp(prefix=OLD, dir=directory.parent))
            old.append(aside / directory.name)
            with contextlib.suppress(FileNotFoundError):
                directory.rename(old[-1])
        _flush_folder(directory.parent)
    finally:
        for path in old:
            if directory.exists():  # else what we moved is the only one
                shutil.rmtree(path.parent, ignore_errors=True)


def restore(directory: Path) -> None:
    """Move a bundle back that a killed process had moved aside, unless there is another by now."""
    with contextlib.suppress(OSError):  # a place that is only read keeps it where it is
        if os.path.lexists(directory):
            return
        name = glob.escape(directory.name)
        asides = [
            *directory.parent.glob(f"{OLD}*/{name}"),
            *directory.parent.glob(f".{name}.old.*/bundle"),  # of earlier versions
        ]
        bundles = [path for path in asides if (path / RECORD).is_file()]
        if bundles:
            newest = max(bundles, key=lambda path: path.parent.stat().st_mtime_ns)
            newest.rename(directory)  # refused if a new one came meanwhile
            newest.parent.rmdir()


def restore_all(parent: Path) -> None:
    """``restore`` whatever was moved aside in a folder."""
    with contextlib.suppress(OSError):
        for path in [*parent.glob(f"{OLD}*/*"), *parent.glob(".*.old.*/bundle")]:
            if path.parent.name.startswith(OLD):
                restore(parent / path.name)
            else:
                restore(parent / path.parent.name[1:].rpartition(".old.")[0])


def write_file(path: Path, data: bytes) -> None:
    """Write a file and flush it to the disk."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(path: Path) -> None:
    with contextlib.suppress(OSError):  # some network file systems refuse it
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


_AT_FDCWD = {"linux": -100, "darwin": -2}  # stands for the working folder
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two directories in one step; return whether that works here."""
    at_cwd = _AT_FDCWD.get(sys.platform)
    call = None
    with contextlib.suppress(OSError, AttributeError, TypeError):
        # From the C library of this process: Python has no function for it.
        library = ctypes.CDLL(None, use_errno=True)
        call = library.renameat2 if sys.platform == "linux" else library.renameatx_np
    if call is None or at_cwd is None:
        return False
    call.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )
    done: int = call(at_cwd, os.fsencode(first), at_cwd, os.fsencode(second), _EXCHANGE)
    return done == 0  # whatever the reason, plain renames say what is wrong
