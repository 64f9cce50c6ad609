"""Locks and leases as objects of a bucket, which has no kernel to ask.

Who creates the object has the lock, since the service lets one process alone create it. Holders
write their objects anew every few seconds; see ``heartbeats`` for who is taken for dead, and when.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from reactions.core.types import Digest
from reactions.store.heartbeats import BEAT_S, Holder, Life, pulse, watch
from reactions.store.leases import Leases, new_name
from reactions.store.objects import Objects
from reactions.store.places import OnBusy


class ObjectLock:
    """A lock that this process holds.

    Attributes:
        is_alone: no other process holds it beside this one.
        is_lost: another has taken it over, to whom this process seemed dead.
    """

    def __init__(self, objects: Objects, name: str, holder: Holder, *, is_alone: bool) -> None:
        self._objects = objects
        self._name = name
        self._holder = holder
        self._n_beats = 0
        self.is_alone = is_alone
        self.is_lost = False
        pulse.start(holder.token, self._beat)

    def share(self) -> bool:
        """Let others hold the lock beside this process; False when another has taken it over."""
        if self._owner() != self._holder.token:
            self.is_lost = True
            return False
        self.is_alone = False
        self._holder = replace(self._holder, shares=True)
        self._objects.write(self._name, self._sign())
        return True

    def close(self) -> None:
        """Give it back. Others that share it put it there again with their next beat."""
        pulse.stop(self._holder.token)
        with suppress(Exception):  # else it is taken for dead in a while
            data = _read(self._objects, self._name)
            self._note_owner(data)
            if _is_of(self._holder, data):
                self._objects.remove([self._name])

    def _owner(self) -> str | None:
        """Return the token of who wrote the object last; None where there is none."""
        holder = _holder(_read(self._objects, self._name))
        return None if holder is None else holder.token

    def _beat(self) -> None:
        data = self._objects.read_once(self._name)
        self._note_owner(data)
        if self.is_lost:
            pulse.drop(self._holder.token)
        elif data is not None or self._holder.shares:
            self._objects.write_once(self._name, self._sign())
        # What was removed, for this process was silent for long, may be put there again, unless
        # another has taken it just now.
        elif not self._objects.create(self._name, self._sign()):
            self._note_owner(self._objects.read_once(self._name))

    def _note_owner(self, data: bytes | None) -> None:
        """Take note that another has the lock, to whom this process seemed dead."""
        other = _holder(data)
        if other is not None and other.token != self._holder.token:
            self.is_lost |= not (other.shares and self._holder.shares)

    def _sign(self) -> bytes:
        self._n_beats += 1
        return f"{self._holder.text()}{self._n_beats}\n".encode()


@contextmanager
def object_locked(
    objects: Objects, name: str, on_busy: OnBusy | None, *, shared: bool
) -> Iterator[ObjectLock | None]:
    """Hold a lock unless another has it; never waits. See ``locks.locked``."""
    holder, is_alone = Holder.new(), True
    while not objects.create(name, holder.text().encode()):
        if (data := _read(objects, name)) is None:
            continue  # given back in between
        other, life = _holder(data), life_of(objects, name, data)
        if life is Life.DEAD:
            # Read again, for another may just have taken it over.
            if _read(objects, name) == data:
                objects.remove([name])
                watch.forget(f"{objects.url}/{name}")
            continue
        if shared and life is Life.ALIVE and other is not None and other.shares:
            holder, is_alone = replace(holder, shares=True), False
            objects.write(name, holder.text().encode())
            break
        if on_busy is not None:
            on_busy(other.pid if other is not None and other.is_here else None)
        yield None
        return
    lock = ObjectLock(objects, name, holder, is_alone=is_alone)
    try:
        yield lock
    finally:
        lock.close()


def life_of(objects: Objects, name: str, data: bytes | None = None) -> Life:
    """Return what is known of the holder of a lock or a lease, after one more look.

    Args:
        objects: of the store.
        name: of the object.
        data: what it holds, if it was read just now.
    """
    data = _read(objects, name) if data is None else data
    if data is None:
        return Life.DEAD
    holder = _holder(data)
    if holder is not None and pulse.holds(holder.token):
        return Life.ALIVE
    if holder is not None and holder.is_dead:
        return Life.DEAD
    return watch.look(f"{objects.url}/{name}", data)


class ObjectLeases(Leases):
    """The leases of one process, in one object.

    Args:
        folder: where people see it.
        objects: of the store.
        prefix: of the object's name.
    """

    def __init__(self, folder: Path, objects: Objects, prefix: str) -> None:
        super().__init__(folder)
        self._objects = objects
        self._prefix = prefix

    def _mutex(self) -> AbstractContextManager[None]:
        # None: who removes an entry hides it first, and looks at the leases again.
        return nullcontext()

    def _open(self) -> None:
        self._lease = _Lease(self._objects, f"{self._prefix}/{new_name(uuid.uuid4().hex)}")
        weakref.finalize(self, self._lease.end).atexit = False

    def _write(self, slot: int, key: Digest) -> None:
        if key:
            self._lease.keys[slot] = key
        else:
            self._lease.keys.pop(slot, None)

    def _flush(self, *, exactly: bool) -> None:
        self._lease.write(exactly=exactly)


class _Lease:
    """The object; apart from ``ObjectLeases``, which its heartbeats must not keep alive."""

    def __init__(self, objects: Objects, name: str) -> None:
        self._objects = objects
        self._name = name
        self._holder = Holder.new()
        self._n_beats = 0
        self._pid = os.getpid()
        self._has_ended = False
        self.keys: dict[int, Digest] = {}
        self._writing = threading.Lock()
        self._shown: frozenset[Digest] = frozenset()  # what others see, as of the last put
        self._shown_s = -math.inf
        pulse.start(self._holder.token, self._beat)
        atexit.register(self._remove)

    def write(self, *, exactly: bool) -> None:
        """Let others see which keys are leased now.

        Google Cloud Storage takes one put a second of an object, and a run looks up several results
        in one: a key that others see already, as it was leased a moment ago, is not put again.

        Args:
            exactly: keys that were given back are to be seen as such, too.
        """
        if not self._has_ended:
            self._put(self._objects.write, unless_shown=not exactly)

    def _beat(self) -> None:
        if self._has_ended:
            self._remove()
        else:
            self._put(self._objects.write_once)

    def _put(self, write: Callable[[str, bytes], None], *, unless_shown: bool = False) -> None:
        # One after the other: a beat that is late must not put back an earlier list of keys.
        with self._writing:
            keys = list(self.keys.values())
            # After a silence others may have removed the object.
            is_fresh = time.monotonic() - self._shown_s < 2 * BEAT_S
            if unless_shown and is_fresh and self._shown.issuperset(keys):
                return
            self._shown, self._n_beats = frozenset(), self._n_beats + 1
            lines = [self._holder.text().strip(), str(self._n_beats), *keys]
            write(self._name, "\n".join(lines).encode())
            self._shown, self._shown_s = frozenset(keys), time.monotonic()

    def end(self) -> None:
        # The garbage collector calls this, in any thread, even in one that requests are waiting
        # for: so the object is removed with the next beat.
        self._has_ended = True

    def _remove(self) -> None:
        pulse.drop(self._holder.token)
        atexit.unregister(self._remove)
        if self._pid == os.getpid():  # not in a fork, whose parent still needs it
            with suppress(Exception):  # the process may be ending: then it is taken for dead
                self._objects.remove([self._name])


def leased(objects: Objects, prefix: str) -> set[Digest]:
    """Return the keys that living processes lease."""
    keys: set[Digest] = set()
    for name, data in objects.read_all(sorted(objects.find(prefix))):
        if life_of(objects, name, data) is not Life.DEAD:
            keys.update(data.decode("utf-8", "replace").splitlines()[2:])
    return keys


def _read(objects: Objects, name: str) -> bytes | None:
    try:
        return objects.read(name)
    except FileNotFoundError:
        return None


def _is_of(holder: Holder, data: bytes | None) -> bool:
    other = _holder(data)
    return other is not None and other.token == holder.token


def _holder(data: bytes | None) -> Holder | None:
    return Holder.parse((data or b"").decode("utf-8", "replace").partition("\n")[0])
