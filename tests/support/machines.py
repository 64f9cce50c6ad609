"""Processes that pose as other machines which share a folder with this one."""

import subprocess
import sys
import textwrap
from types import SimpleNamespace

from processes import SUPPORT

import reactions.store.files
import reactions.store.heartbeats
import reactions.store.leases
import reactions.store.locks
from reactions.store.heartbeats import Watch

# Takes any lock: so do file systems that keep locks to the machine that takes them.
_HERE_ALONE = SimpleNamespace(LOCK_SH=1, LOCK_EX=2, LOCK_NB=4, flock=lambda fd, how: None)


def pose_as(name, *, has_locks, put=setattr):
    """Make this process one of another machine, where kernel locks do not reach others."""
    machine = f"{sum(name.encode()):012x}"
    modules = [getattr(reactions.store, m) for m in ("files", "heartbeats", "leases", "locks")]
    for module in modules:
        put(module, "this_machine", lambda: machine)
    for module in (reactions.store.heartbeats, reactions.store.leases):
        put(module, "this_host", lambda: name)
    put(reactions.store.locks, "_fcntl", _HERE_ALONE if has_locks else None)


def beat(path):
    """Touch all that is held, until the file system's clock shows it."""
    before = path.stat().st_mtime_ns
    while path.stat().st_mtime_ns == before:
        reactions.store.heartbeats.pulse.beat()


class FakeTime:
    """A watch over other holders, whose time passes when it is told to."""

    def __init__(self, monkeypatch):
        self.now_s = 0.0
        self.watch = Watch(lambda: self.now_s)
        monkeypatch.setattr(reactions.store.locks, "watch", self.watch)
        monkeypatch.setattr(reactions.store.leases, "watch", self.watch)
        # What waits for signs of life lets time pass.
        monkeypatch.setattr(reactions.store.heartbeats, "time", self)

    def monotonic(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


class Machine:
    """Another machine's process: it runs code that ends in ``yield``, and then obeys.

    Args:
        root: of the store.
        code: the body of a generator, with ``store`` and ``KEY``; it yields a path to be touched.
        has_locks: whether kernel locks work there at all.
    """

    def __init__(self, root, code, *, has_locks=True):
        source = f"""
            import sys
            from pathlib import Path
            sys.path[:0] = [{str(SUPPORT)!r}]
            from machines import beat, pose_as
            pose_as("elsewhere", has_locks={has_locks})
            from reactions.store import Store
            KEY = "a" * 64
            store = Store(Path({str(root)!r}))
            def body():
            {{}}
            running = body()
            path = next(running)
            print("ready", flush=True)
            for order in sys.stdin:
                if order == "beat\\n":
                    beat(path)
                else:
                    next(running, None)
                print("done", flush=True)
        """
        body = textwrap.indent(textwrap.dedent(code), "    ")
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(source).replace("{}", body)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def do(self, order):
        """Have it beat, or go on."""
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def kill(self):
        """End it as a power cut would."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
