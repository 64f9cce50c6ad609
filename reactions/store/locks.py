"""Advisory locks on files: the kernel's, and where those do not reach, records with heartbeats.

A kernel lock (``flock``) is free at once when its process dies. But not every network file system
has them, and some keep them to one machine. So a lock file also names its holder, which touches it
every few seconds (see ``heartbeats``):

- A kernel lock that another holds is respected.
- One that we get says that no process of this machine holds it. A holder elsewhere is respected
  until it has been silent for long enough.
- Where there are no kernel locks, who makes the file has the lock, and the same holds for all.

Locks only save work. Should two processes hold one after all (a machine that stalls is taken for
dead), both do the same work, and the second discards its result.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reactions.store.clocks import age_s
from reactions.store.heartbeats import Holder, Life, pulse, this_machine, watch

# Windows has no fcntl: there are no kernel locks.
_fcntl: Any = importlib.import_module("fcntl") if find_spec("fcntl") else None

_RECORD_BYTES = 200
_MACHINE = re.compile(r"\.([0-9a-f]{12})(\.lease)?")


def try_lock(fd: int, *, shared: bool = False) -> bool | None:
    """Take a kernel lock on an open file or folder without waiting.

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


def open_to_lock(path: Path) -> int:
    """Open a file or folder so that it can be locked.

    Raises:
        OSError: it cannot be opened.
    """
    with suppress(OSError):  # NFS locks for one process alone only what is open for writing
        return os.open(path, os.O_RDWR)
    return os.open(path, os.O_RDONLY)


def made_elsewhere(path: Path) -> bool:
    """Return whether another machine's process made a file or folder, as its name says."""
    match = _MACHINE.fullmatch("".join(path.suffixes[-2:])) or _MACHINE.fullmatch(path.suffix)
    return match is not None and match[1] != this_machine()


def is_idle(path: Path, *, grace_s: float, unlocked_grace_s: float) -> bool:
    """Return whether no living process holds a file or folder.

    Args:
        path: what ``temporary_folder`` may have locked.
        grace_s: it must be at least this old: a maker may not have locked it yet.
        unlocked_grace_s: the same, where locks do not work, or another machine made it.
    """
    try:
        old_s = age_s(path)
        if old_s < grace_s:
            return False
        fd = open_to_lock(path)
    except OSError:
        return False
    try:
        free = try_lock(fd)
    finally:
        os.close(fd)
    if free and made_elsewhere(path):
        free = None
    return old_s >= unlocked_grace_s if free is None else free


class Lock:
    """A lock file that this process holds.

    Attributes:
        is_alone: no other process holds it beside this one.
        is_lost: another has taken it over, to whom this process seemed dead.
    """

    def __init__(self, path: Path, fd: int, *, is_alone: bool, by_kernel: bool) -> None:
        self._path = path
        self._fd = fd
        self._by_kernel = by_kernel
        self._holder = replace(Holder.new(), shares=not is_alone)
        self.is_alone = is_alone
        self.is_lost = False
        self._write()
        pulse.start(self._holder.token, self._beat)

    def share(self) -> bool:
        """Let others hold the lock beside this process.

        Returns:
            False when another took it for itself in between: then it is lost.
        """
        self.is_alone = False
        self._holder = replace(self._holder, shares=True)
        self._write()
        return try_lock(self._fd, shared=True) is not False

    def is_last(self) -> bool:
        """Return whether no other process holds the lock any more; the lock is lost otherwise."""
        if self._by_kernel and not self.is_alone and try_lock(self._fd) is False:
            return False
        holder = _read_holder(self._fd)
        if self._by_kernel:
            return holder is None or holder.is_here
        return holder is not None and holder.token == self._holder.token

    def close(self) -> None:
        """Touch the file no more."""
        pulse.stop(self._holder.token)
        with suppress(OSError):
            self._look()

    def _beat(self) -> None:
        self._look()
        if self.is_lost:
            pulse.drop(self._holder.token)
        else:
            os.utime(self._fd)

    def _look(self) -> None:
        # Who takes over the lock of a holder that seems dead puts its file away first. A file
        # that is shared may also be gone because the last of others has left.
        self.is_lost |= not self._holder.shares and not _same_file(self._fd, self._path)

    def _write(self) -> None:
        with suppress(OSError):  # a full disk: the kernel's lock still holds
            text = self._holder.text().encode()
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))


@contextmanager
def locked(
    path: Path, on_busy: Callable[[int | None], None] | None = None, *, shared: bool = False
) -> Iterator[Lock | None]:
    """Hold the lock file ``path``, unless another holds it; never waits.

    A holder on another machine, or where there are no kernel locks, that died is respected until
    calls over ``heartbeats.SILENT_S`` seconds have found it silent.

    Args:
        path: made when missing, removed by the last process that holds it.
        on_busy: called with the holder's process id, if it is of this machine, when another
            holds it.
        shared: hold it beside others that share it; the first to take it holds it alone until
            it calls ``Lock.share``.

    Yields:
        The lock, or None when another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        fd, is_new = _open(path)
        try:
            kernel = try_lock(fd)
            text = "" if is_new else _read(fd)
            is_alone, is_free = kernel is not False, True
            if kernel is False:
                is_free = shared and bool(try_lock(fd, shared=True))
            elif not is_new:
                life = _life(path, fd, text, by_kernel=kernel is True)
                if life is Life.DEAD and Holder.parse(text) is not None:
                    _put_away(path, text)
                    continue
                holder = Holder.parse(text)
                joins = shared and life is Life.ALIVE and holder is not None and holder.shares
                is_alone, is_free = not joins, joins or life is Life.DEAD
            if not is_free:
                if on_busy is not None:
                    on_busy(_pid(text))
                yield None
                return
            if _same_file(fd, path):  # else the holder removed it meanwhile: look again
                lock = Lock(path, fd, is_alone=is_alone, by_kernel=kernel is not None)
                try:
                    yield lock
                finally:
                    lock.close()
                    # Removed while held: a process that opened it before looks at the name again.
                    if lock.is_last() and _same_file(fd, path):
                        with suppress(OSError):
                            path.unlink()
                return
        finally:
            os.close(fd)


def life_of(path: Path) -> Life:
    """Return what is known of the holder of a lock file, after one more look.

    Where the kernel's locks decide, it is ``DEAD`` as soon as nobody holds the file.
    """
    try:
        fd = open_to_lock(path)
    except OSError:  # gone
        return Life.DEAD
    try:
        kernel = try_lock(fd)
        if kernel is False:
            return Life.ALIVE
        return _life(path, fd, _read(fd), by_kernel=kernel is True)
    finally:
        os.close(fd)


def _open(path: Path) -> tuple[int, bool]:
    """Open a lock file, and say whether this process made it."""
    while True:
        with suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
        with suppress(FileNotFoundError):  # removed between these two
            return os.open(path, os.O_RDWR), False


def _life(path: Path, fd: int, text: str, *, by_kernel: bool) -> Life:
    """Return what is known of a holder whose kernel lock does not keep us out.

    Args:
        path: of the lock file.
        fd: the same, opened just now: network file systems then ask the server for its times.
        text: that it holds.
        by_kernel: there are kernel locks, and we have this one.
    """
    holder = Holder.parse(text)
    if by_kernel and (holder is None or holder.is_here):
        return Life.DEAD
    if holder is not None and pulse.holds(holder.token):
        return Life.ALIVE
    if holder is not None and holder.is_dead:
        return Life.DEAD
    return watch.look(str(path), (text, os.fstat(fd).st_mtime_ns))


def _put_away(path: Path, text: str) -> None:
    """Remove the lock file of a dead holder, unless another has just done so and taken the lock."""
    # Renamed first: of several that try, one gets the file, and sees whose it is.
    aside = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.lock")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if aside.read_text(encoding="utf-8", errors="replace") != text:
            with suppress(OSError):
                path.hardlink_to(aside)
        aside.unlink()
    watch.forget(str(path))


def _read(fd: int) -> str:
    with suppress(OSError):
        return os.pread(fd, _RECORD_BYTES, 0).decode(errors="replace")
    return ""


def _read_holder(fd: int) -> Holder | None:
    return Holder.parse(_read(fd))


def _pid(text: str) -> int | None:
    holder = Holder.parse(text)
    if holder is not None:
        return holder.pid if holder.is_here else None
    return int(text) if text.isdigit() else None  # as earlier versions write it


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ESTALE:  # on NFS: another client put our file away
            return False
        raise


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
