"""Who holds a file, and whether that process still lives, though it may be on another machine.

The kernel's locks say so for processes of this machine alone, and not on every file system. So
whoever holds a file names itself in it, and touches it every few seconds. Others watch: what
changes between two looks is alive, what stays as it is for long enough is not. Only changes are
compared, and times that this process measured itself: machines' clocks may disagree.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from time import monotonic
from uuid import getnode, uuid4

BEAT_S = 5.0
"""How often a holder touches what it holds."""

SILENT_S = 30.0
"""How long a holder has to be silent before others take over: several beats, for machines stall."""

_WAIT_S = 2.0

_MOST_THREADS = 16
"""Where each of a lock's two requests takes a tenth of a second, for 400 locks in a pause."""


@lru_cache(maxsize=1)
def this_machine() -> str:
    """Return 12 hex digits that processes share which see each other's locks and process ids.

    A container with process ids of its own counts as a machine, and so does a machine that was
    started again.
    """
    facts = [socket.gethostname(), f"{getnode():x}"]
    with suppress(OSError):  # Linux alone has these
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Without the second the first would make one machine of all containers of a node.
        facts = [boot, str(Path("/proc/self/ns/pid").readlink())]
    return sha256("\n".join(facts).encode("utf-8", "replace")).hexdigest()[:12]


def this_host() -> str:
    """Return this machine's name, for people, as one word of plain letters."""
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40] or "unnamed"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a file.

    Attributes:
        pid: its process id.
        machine: where it runs, as ``this_machine`` has it.
        host: the machine's name.
        token: of this hold alone.
        shares: others may hold the file beside it.
    """

    pid: int
    machine: str
    host: str
    token: str
    shares: bool = False

    @classmethod
    def new(cls) -> Holder:
        """Return a record of this process, for a hold that begins now."""
        return cls(os.getpid(), this_machine(), this_host(), uuid4().hex)

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """Read what ``text`` wrote; None for anything else.

        Earlier versions write the process id alone: their locks are the kernel's.
        """
        match = re.fullmatch(
            r"(\d{1,10}) ([0-9a-f]{12}) ([A-Za-z0-9-]+) ([0-9a-f]{32}) (alone|shared)\n?", text
        )
        if match is None:
            return None
        pid, machine, host, token, manner = match.groups()
        return cls(int(pid), machine, host, token, manner == "shared")

    def text(self) -> str:
        """Return one line that names the process."""
        manner = "shared" if self.shares else "alone"
        return f"{self.pid} {self.machine} {self.host} {self.token} {manner}\n"

    @property
    def is_here(self) -> bool:
        """Whether this machine's kernel knows the process."""
        return self.machine == this_machine()

    @property
    def is_dead(self) -> bool:
        """Whether this machine's kernel says that there is no such process."""
        if not self.is_here:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is another user's, and lives
            pass
        return False


class Life(Enum):
    """What is known of a holder."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    DEAD = "dead"


class Watch:
    """Tells from what changes between looks whether holders live.

    Args:
        clock: seconds from any origin.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last_looks: dict[str, tuple[Hashable, float, Life]] = {}

    def look(self, name: str, sign: Hashable) -> Life:
        """Return what is known of the holder of ``name``, after one more look.

        Args:
            name: of what is held.
            sign: what the holder changes with every beat, such as a time of the file.
        """
        now_s = self._clock()
        with self._lock:
            last_sign, since_s, life = self._last_looks.get(name, (None, now_s, Life.UNKNOWN))
            if last_sign is None or last_sign != sign:
                life = Life.UNKNOWN if last_sign is None else Life.ALIVE
                since_s = now_s
            elif now_s - since_s >= SILENT_S:
                life = Life.DEAD
            self._last_looks[name] = (sign, since_s, life)
            return life

    def forget(self, name: str) -> None:
        """Forget what was seen of a file that is gone."""
        with self._lock:
            self._last_looks.pop(name, None)


@dataclass(eq=False, slots=True)
class _Beat:
    """What is called for one holder.

    Attributes:
        call: shows that the holder lives.
        done_s: when it last did, or when the hold began.
        due_s: when it is called next.
        busy: held while it is called.
    """

    call: Callable[[], None]
    done_s: float
    due_s: float
    busy: threading.RLock = field(default_factory=threading.RLock)


class Pulse:
    """Calls what holders registered, every few seconds, in threads of its own.

    A beat that goes over a network may take long, and a process may hold hundreds of locks. So
    there is always a thread that is idle, or as many as there may be. The most
    overdue beat is next.

    Args:
        beat_s: how often each is called.
        clock: seconds from any origin.
    """

    def __init__(self, beat_s: float = BEAT_S, clock: Callable[[], float] = monotonic) -> None:
        self._beat_s = beat_s
        self._clock = clock
        self._reset()
        if hasattr(os, "register_at_fork"):  # a child holds nothing, and has no such threads
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # Reentrant, and so are those of beats: the garbage collector may begin or end a hold in a
        # thread that has one of them.
        self._lock = threading.RLock()
        self._beats: dict[str, _Beat] = {}
        self._n_threads = self._n_busy = 0

    def start(self, token: str, beat: Callable[[], None]) -> None:
        """Call ``beat`` from now on; an error of it is passed over."""
        with self._lock:
            now_s = self._clock()
            if not self._n_threads:
                self._add_thread()  # first: where it cannot be, nobody holds anything
            self._beats[token] = _Beat(beat, now_s, now_s + self._beat_s)

    def stop(self, token: str) -> None:
        """Call it no more; a call that is under way is waited for, unless it takes long."""
        beat = self._beats.pop(token, None)
        # Not for ever: the garbage collector may end a hold in the very thread that a beat is
        # waiting for, such as that of a network library.
        if beat is not None and beat.busy.acquire(timeout=_WAIT_S):
            beat.busy.release()

    def drop(self, token: str) -> None:
        """Call it no more, without waiting: for what the garbage collector calls."""
        self._beats.pop(token, None)

    def holds(self, token: str) -> bool:
        """Return whether this process holds what has this token."""
        return token in self._beats

    def beat(self) -> None:
        """Call all of them once, now."""
        for token, beat in list(self._beats.items()):
            self._call(token, beat)

    def _call(self, token: str, beat: _Beat) -> None:
        # Not under the lock of all: a beat may go over a network, and take long.
        if beat.busy.acquire(blocking=False):
            try:
                if token in self._beats:
                    beat.call()
                    beat.done_s = self._clock()
            except Exception:  # whatever it is: others have to live on, and it is tried again soon
                beat.due_s = min(beat.due_s, self._clock() + self._beat_s / 5)
            finally:
                beat.busy.release()

    def next_due(self) -> tuple[str, _Beat] | None:
        """Return the most overdue beat, if one is due; its next time is set."""
        with self._lock:
            now_s = self._clock()
            due = [
                (beat.done_s, token)
                for token, beat in list(self._beats.items())
                if beat.due_s <= now_s
            ]
            if not due:
                return None
            token = min(due)[1]
            if (beat := self._beats.get(token)) is None:
                return None
            beat.due_s = now_s + self._beat_s
            return token, beat

    def _help(self) -> None:
        """Have another thread look what is due, if all are busy and there are beats for it."""
        with self._lock:
            is_enough = self._n_threads >= min(len(self._beats), _MOST_THREADS)
            if self._n_busy == self._n_threads and not is_enough:
                with suppress(RuntimeError):  # no more threads for now: those there are go on
                    self._add_thread()

    def _add_thread(self) -> None:
        """Start a thread.

        Raises:
            RuntimeError: the system allows no more.
        """
        threading.Thread(target=self._run, name="heartbeats", daemon=True).start()
        self._n_threads += 1

    def _run(self) -> None:
        never = threading.Event()
        while True:
            if (due := self.next_due()) is None:
                never.wait(self._beat_s / 10)
                continue
            with self._lock:
                self._n_busy += 1
            try:
                self._help()
                self._call(*due)
            finally:
                with self._lock:
                    self._n_busy -= 1


watch = Watch()
"""What this process has seen of other holders."""

pulse = Pulse()
"""What this process holds."""


def watch_until_known(look: Iterable[Callable[[], Life]]) -> None:
    """Look again and again until it is known of every holder whether it lives.

    Takes as long as a beat where all of them live, little more than ``SILENT_S`` at most.
    """
    unknown = list(look)
    until_s = time.monotonic() + SILENT_S + BEAT_S
    while unknown := [look_at for look_at in unknown if look_at() is Life.UNKNOWN]:
        if time.monotonic() >= until_s:
            break
        time.sleep(BEAT_S / 5)
