"""Which entries living processes use: ``gc`` leaves them alone.

Each open store has one lease file, in which it lists the keys that it reads or is about to
make. The process holds a kernel lock on the file for as long as it lives, so what a killed
process left behind is recognised. One file holds any number of keys: an open descriptor for
each entry would soon be more than a process may have (256 by default on macOS).
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from reactions.core.types import Digest
from reactions.store.heartbeats import Life, pulse, this_host, this_machine, watch
from reactions.store.locks import is_idle, lock_waiting, made_elsewhere, try_lock

_MUTEX = "mutex"
SUFFIX = ".lease"
_SLOT_BYTES = 65
"""A key of 64 characters and a line feed; a free slot holds spaces."""

# A process locks its lease file before the mutex is free again: an unlocked one is left over,
# except where locks do not work.
_UNLOCKED_GRACE_S = 86400.0


class Leases(ABC):
    """The leases of one store in one process; usable by several threads.

    Args:
        folder: where lease files lie; made with the first lease.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Not reentrant: the garbage collector may release a Hold in the thread that has the lock,
        # in the middle of a change; that waits until the change is whole.
        self._lock = threading.Lock()
        self._pid = 0
        self._counts: dict[Digest, int] = {}
        self._slots: dict[Digest, int] = {}
        self._free: list[int] = []
        self._n_slots = 0
        self._is_open = False
        self._given_back: deque[tuple[int, tuple[Digest, ...]]] = deque()

    def hold(self, keys: Iterable[Digest]) -> Hold:
        """Lease keys until the returned object is released or no longer referred to.

        Once this returns, an entry that is there stays there.

        Raises:
            OSError: the store cannot be written to.
        """
        keys = tuple(dict.fromkeys(keys))
        with self._lock:
            self._free_given_back()
            if self._pid != os.getpid():  # first use, or a fork: the parent's file is not ours
                self._pid, self._is_open = os.getpid(), False
                self._counts, self._slots, self._free, self._n_slots = {}, {}, [], 0
            with self._mutex():
                if not self._is_open:
                    self._open()
                    self._is_open = True
                leased: list[Digest] = []
                try:
                    for key in keys:
                        self._take(key)
                        leased.append(key)
                    self._flush(exactly=False)
                except OSError:
                    self._given_back.append((self._pid, tuple(leased)))
                    self._free_given_back()
                    raise
            self._free_given_back()  # by collections meanwhile
        return Hold(self, self._pid, keys)

    def settle(self) -> None:
        """Let others see now what was given back.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            self._free_given_back()
            if self._is_open and self._pid == os.getpid():
                self._flush(exactly=True)

    @abstractmethod
    def _mutex(self) -> AbstractContextManager[None]:
        """Keep removals away while keys are listed."""

    @abstractmethod
    def _open(self) -> None:
        """Make the lease file."""

    @abstractmethod
    def _write(self, slot: int, key: Digest) -> None:
        """Put a key, or "" for none, into a slot of the file."""

    @abstractmethod
    def _flush(self, *, exactly: bool) -> None:
        """Make what was written visible to others: all keys, or all and no others."""

    def _take(self, key: Digest) -> None:
        if key not in self._counts:
            slot = self._free.pop() if self._free else self._n_slots
            try:
                self._write(slot, key)
            except OSError:
                if slot < self._n_slots:
                    self._free.append(slot)
                raise
            self._n_slots = max(self._n_slots, slot + 1)
            self._slots[key] = slot
        self._counts[key] = self._counts.get(key, 0) + 1

    def _give_back(self, pid: int, keys: Iterable[Digest]) -> None:
        """Give keys back, now or with the next call.

        Never waits: the garbage collector may call it in a thread that a request of another
        thread, which has the lock, is waiting for.
        """
        self._given_back.append((pid, tuple(keys)))
        if self._lock.acquire(blocking=False):
            try:
                self._free_given_back()
            finally:
                self._lock.release()

    def _free_given_back(self) -> None:
        while self._given_back:
            pid, keys = self._given_back.popleft()
            if pid != os.getpid() or pid != self._pid:
                continue
            # Without the mutex: that gc sees a key a moment too long does no harm.
            for key in keys:
                self._counts[key] -= 1
                if self._counts[key] == 0:
                    del self._counts[key]
                    slot = self._slots.pop(key)
                    with suppress(OSError):  # the entry only stays longer than it must
                        self._write(slot, "")
                    self._free.append(slot)


class DiskLeases(Leases):
    """Leases in a file of a folder."""

    _fd: int

    def _mutex(self) -> AbstractContextManager[None]:
        return mutex(self._folder, exclusive=False)

    def _open(self) -> None:
        path = self._folder / new_name(token := uuid.uuid4().hex)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try_lock(fd)
        self._fd = fd
        pulse.start(token, lambda: os.utime(fd))
        weakref.finalize(self, _close, fd, path, os.getpid(), token)

    def _write(self, slot: int, key: Digest) -> None:
        text = key.encode("utf-8", "replace")[: _SLOT_BYTES - 1].ljust(_SLOT_BYTES - 1) + b"\n"
        os.pwrite(self._fd, text, slot * _SLOT_BYTES)

    def _flush(self, *, exactly: bool) -> None:
        """Nothing to do: what is written is visible."""


def new_name(token: str) -> str:
    """Return a name for a lease file of this process."""
    return f"{os.getpid()}-{token}-{this_host()}.{this_machine()}{SUFFIX}"


class Hold:
    """Keys that are leased for as long as this object lives, or until ``release``."""

    def __init__(self, leases: Leases, pid: int, keys: tuple[Digest, ...]) -> None:
        self._leases = leases
        self._pid = pid
        self._keys = keys

    def release(self) -> None:
        """Give the keys back; a second call does nothing."""
        keys, self._keys = self._keys, ()
        self._leases._give_back(self._pid, keys)

    def __del__(self) -> None:
        self.release()


def _close(fd: int, path: Path, pid: int, token: str) -> None:
    pulse.drop(token)
    with suppress(OSError):
        if os.getpid() == pid:  # not in a fork, whose parent still needs it
            path.unlink()
    with suppress(OSError):
        os.close(fd)


@contextmanager
def mutex(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Keep leases and removals apart: leases are taken shared, removals made exclusive.

    Held only for as long as it takes to list a few keys, or to rename a folder.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(exist_ok=True)
    fd = os.open(folder / _MUTEX, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        lock_waiting(fd, shared=not exclusive)
        yield
    finally:
        os.close(fd)


def leased(folder: Path) -> set[Digest]:
    """Return the keys that living processes hold; to be called with the mutex held."""
    keys: set[Digest] = set()
    for path in lease_files(folder):
        if not is_left_over(path):
            with suppress(OSError):
                keys.update(path.read_text(encoding="utf-8").split())
    return keys


def lease_files(folder: Path) -> list[Path]:
    """Return all lease files, of living processes and of others."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def is_left_over(path: Path) -> bool:
    """Return whether the process of a lease file is gone; to be called with the mutex held.

    That of another machine is taken to live until ``life_of`` has found it silent.
    """
    if made_elsewhere(path):
        return life_of(path) is Life.DEAD
    return is_idle(path, grace_s=0.0, unlocked_grace_s=_UNLOCKED_GRACE_S)


def life_of(path: Path) -> Life:
    """Return what is known of the process of another machine's lease file, after one more look."""
    try:
        fd = os.open(path, os.O_RDONLY)  # network file systems then ask the server for its times
    except FileNotFoundError:
        return Life.DEAD
    except OSError:
        return Life.UNKNOWN
    try:
        if try_lock(fd, shared=True) is False:
            return Life.ALIVE
        return watch.look(str(path), os.fstat(fd).st_mtime_ns)
    finally:
        os.close(fd)
