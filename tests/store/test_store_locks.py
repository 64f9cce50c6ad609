"""Locks of entries: held alone, shared, of parts; free when a process dies."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import ExitStack

import pytest

from reactions.store import Store, locks

KEY = "a" * 64


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def lock_files(store):
    return sorted(path.name for path in (store.root / "locks").iterdir())


def test_the_first_holds_a_shared_lock_alone_until_it_shares_it(store):
    with ExitStack() as first, ExitStack() as second:
        lock = first.enter_context(store.lock(KEY, shared=True))
        assert lock.is_alone
        with store.lock(KEY, shared=True) as refused:
            assert refused is None
        assert lock.share()
        other = second.enter_context(Store(store.root).lock(KEY, shared=True))
        assert not other.is_alone
        busy = []
        with store.lock(KEY, busy.append) as refused_whole:
            assert refused_whole is None
        assert busy == [os.getpid()]
        first.close()
        assert lock_files(store) == [f"{KEY}.lock"]  # the other one still holds it
        with store.lock(KEY) as refused_whole:
            assert refused_whole is None
    assert lock_files(store) == []


def test_a_shared_lock_can_be_taken_by_another_at_the_moment_it_is_shared(store, monkeypatch):
    lock = ExitStack()
    lock_held = lock.enter_context(store.lock(KEY, shared=True))
    monkeypatch.setattr(locks, "try_lock", lambda fd, **options: False)
    assert not lock_held.share()
    lock.close()


def test_parts_have_locks_of_their_own(store):
    with store.lock(KEY, part="0-2") as first, store.lock(KEY, part="2-4") as second:
        assert first
        assert second
        assert lock_files(store) == [f"{KEY}.0-2.lock", f"{KEY}.2-4.lock"]
        with store.lock(KEY, part="0-2") as second_lock, store.lock(KEY) as whole_lock:
            assert second_lock is None
            assert whole_lock
    assert lock_files(store) == []


@pytest.mark.parametrize("part", ["", "0-2"])
def test_what_a_killed_process_held_is_free_at_once(store, part):
    code = f"""
        import os, signal
        from pathlib import Path
        from reactions.store import Store
        with Store(Path({str(store.root)!r})).lock({KEY!r}, part={part!r}, shared=True) as lock:
            assert lock.share()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert len(lock_files(store)) == 1
    with store.lock(KEY, part=part, shared=True) as lock:
        assert lock.is_alone
    assert lock_files(store) == []


def test_what_is_shared_is_in_use_for_gc(store):
    """Also where leases cannot be written: unfinished work of a living process stays."""
    shards = store.root / "partial" / KEY
    with store.lock(KEY, shared=True) as lock:
        assert lock.share()
        shards.mkdir(parents=True)
        os.utime(shards, (0, 0))
        assert store.gc().debris == ()
    assert store.gc().debris == (shards,)


def test_without_locks_all_hold_them(store, monkeypatch):
    monkeypatch.setattr(locks, "_fcntl", None)
    with store.lock(KEY, shared=True) as lock:
        assert lock.is_alone
        assert lock.share()
        with store.lock(KEY, shared=True) as other:
            assert other


def test_a_lock_file_that_another_client_of_nfs_put_away_is_lost(store, monkeypatch):
    warnings = []
    store.warn = warnings.append
    fstat = os.fstat

    def stale(fd):
        raise OSError(errno.ESTALE, "Stale file handle")

    with store.lock("a" * 64) as lock:
        assert lock is not None
        monkeypatch.setattr(locks.os, "fstat", stale)
    monkeypatch.setattr(locks.os, "fstat", fstat)
    assert lock.is_lost
    assert len(warnings) == 1
