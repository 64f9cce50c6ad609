"""Cleaning a store while processes use it, and after they were killed."""

import os
import shutil
import signal
import threading

import numpy as np
import pytest
from processes import finish, run_code
from store_toys import artifact, step

from reactions.core.errors import StoreError
from reactions.store import Store, disk, leases, locks, maintenance


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "cache")
    for seed in range(3):
        store.put(step(seed), artifact())
    return store


def keys(store):
    return {info.key for info in store.ls()}


# --- what is in use stays ---


def test_entries_in_use_stay_whether_they_are_there_yet_or_not(store):
    user = Store(store.root)
    with user.using([step(0).key, step(7).key]):
        user.put(step(7), artifact())
        freed = store.gc(older_than_s=0)
        assert {info.key for info in freed.entries} == {step(1).key, step(2).key}
        assert {info.key for info in freed.in_use} == {step(0).key, step(7).key}
        assert store.gc(older_than_s=0, dry_run=True).in_use == freed.in_use
        assert keys(store) == {step(0).key, step(7).key}
    store.gc(older_than_s=0)
    assert keys(store) == set()


def test_an_entry_stays_until_its_last_user_is_done(store):
    first, other = store.lookup(step(0).key), store.lookup(step(0).key)
    with store.using([step(0).key]):
        del first
        store.gc(older_than_s=0)
    store.gc(older_than_s=0)
    assert np.array_equal(other.arrays["x"][:], artifact().arrays["x"])
    del other
    assert {info.key for info in store.gc(older_than_s=0).entries} == {step(0).key}


def test_a_thousand_entries_are_held_by_one_file(store):
    names = [f"{i:064x}" for i in range(1000)]
    with store.using(names), store.using(names[500:]):
        (path,) = leases.lease_files(store.root / "leases")
        assert leases.leased(store.root / "leases") == set(names)
    assert leases.leased(store.root / "leases") == set()
    with store.using(names[:10]):  # the places are used again
        assert leases.leased(store.root / "leases") == set(names[:10])
    assert path.stat().st_size == 65_000


def test_a_store_that_cannot_be_written_to_is_read_as_safely(store, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    reader = Store(store.root)
    with monkeypatch.context() as patch:
        patch.setattr(reader._leases, "hold", refuse)
        artifact_read = reader.lookup(step(0).key)
        with reader.using([step(1).key]):  # nothing can be done for these
            assert {i.key for i in store.gc(older_than_s=0).in_use} == {step(0).key}
    assert np.array_equal(artifact_read.arrays["x"][:], artifact().arrays["x"])
    assert keys(store) == {step(0).key}


def test_a_full_disk_holds_all_or_nothing(store, monkeypatch):
    pwrite, calls = os.pwrite, []

    def full(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return pwrite(*args)

    monkeypatch.setattr(os, "pwrite", full)
    with store.using(["a" * 64, "b" * 64]):
        assert leases.leased(store.root / "leases") == set()
    with store.using(["c" * 64, "d" * 64]):
        assert leases.leased(store.root / "leases") == {"c" * 64, "d" * 64}


def test_looking_up_leaves_nothing_behind(store):
    def listing():
        return sorted(p.name for p in store.root.rglob("*") if p.suffix == ".lease")

    reader = Store(store.root)
    artifact_read = reader.lookup(step(0).key)
    assert len(listing()) == 1
    del artifact_read, reader
    assert listing() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_does_not_give_back_what_its_parent_holds(store):
    code = f"""
        import os, sys
        from pathlib import Path
        from reactions.store import Store, leases
        root = Path({str(store.root)!r})
        store = Store(root)
        with store.using(["a" * 64]):
            if (child := os.fork()) == 0:
                with store.using(["b" * 64]):
                    assert leases.leased(root / "leases") == {{"a" * 64, "b" * 64}}
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert leases.leased(root / "leases") == {{"a" * 64}}
    """
    finish(run_code(code))


def test_removing_waits_for_who_is_taking_a_lease(store):
    """Between the check and the removal of an entry nobody gets a lease on it."""
    order = []
    with leases.mutex(store.root / "leases", exclusive=False):
        cleaner = threading.Thread(
            target=lambda: (store.gc(older_than_s=0), order.append("removed"))
        )
        cleaner.start()
        cleaner.join(0.1)
        order.append("leased")
    cleaner.join(120)
    assert order == ["leased", "removed"]


# --- leftovers of killed processes ---


def test_what_a_killed_process_leaves_goes_and_what_a_living_one_holds_stays(store):
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from reactions.store import Store
        store = Store(Path({str(store.root)!r}))
        with store.using(["a" * 64]), store.lock("b" * 64):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    finish(run_code(code), -signal.SIGKILL)
    (lease,) = leases.lease_files(store.root / "leases")
    lock = store.root / "locks" / f"{'b' * 64}.lock"
    assert lock.exists()
    with store.using([step(0).key]), store.lock(step(1).key) as held_lock:
        assert held_lock
        assert set(store.gc(dry_run=True).debris) == {lease, lock}
        assert lease.exists()
        freed = store.gc()
        assert set(freed.debris) == {lease, lock}
        assert not lease.exists()
        assert not lock.exists()
        assert len(leases.lease_files(store.root / "leases")) == 1
        assert (store.root / "locks" / f"{step(1).key}.lock").exists()
    assert store.gc().debris == ()


# --- two cleaners ---


def test_two_cleaners_do_not_disturb_each_other(store, monkeypatch):
    debris = store.root / "tmp" / "old"
    debris.mkdir()
    (debris / "0.npy").write_bytes(b"x")
    os.utime(debris, (0, 0))
    rmtree = shutil.rmtree

    def overtaken(path, **kwargs):
        monkeypatch.setattr(shutil, "rmtree", rmtree)
        rmtree(path)
        return rmtree(path, **kwargs)  # raises: the other one was faster

    monkeypatch.setattr(shutil, "rmtree", overtaken)
    assert store.gc().debris == (debris,)
    monkeypatch.setattr(shutil, "rmtree", overtaken)
    assert len(store.gc(older_than_s=0).entries) == 3


def test_what_vanishes_between_listing_and_looking_is_passed_over(store, monkeypatch):
    children = disk.children
    for module in (disk, maintenance):
        monkeypatch.setattr(
            module, "children", lambda folder: [*children(folder), folder / "gone-already"]
        )
    monkeypatch.setattr(maintenance, "is_debris", lambda path: True)
    store.gc(older_than_s=0)
    assert keys(store) == set()


def test_a_folder_that_cannot_be_removed_is_an_error(store, monkeypatch):
    bad = store.root / "quarantine" / "bad"
    bad.mkdir(parents=True)

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(StoreError, match="cannot write to the store"):
        store.gc()


def test_cleaning_in_a_loop_beside_a_run(tmp_path):
    """Nothing that a run makes goes while it lasts, and neither of them fails."""
    root, flag = tmp_path / "cache", tmp_path / "flag"
    code = f"""
        import sys
        from pathlib import Path
        from toy import by_rows, counting, executor, whole
        from reactions.store import Store
        store = Store(Path({str(root)!r}))
        ran = []
        rows = [by_rows(ran, 12, 2, seed=seed) for seed in range(3)]
        sums = [counting(ran, f"sum {{i}}", i, [("a", r)]) for i, r in enumerate(rows)]

        def look(context):
            assert all(store.has(step.key) for step in [*rows, *sums])
            Path({str(flag)!r}).touch()

        executor(store).run([whole("top", look, sums)])
        assert len(ran) == 3 * 6 + 3, len(ran)
    """
    with run_code(code) as run:
        store, rounds = Store(root), 0
        while not flag.exists() and run.is_running:
            removed = store.gc(older_than_s=0, dry_run=rounds % 2 == 1).entries
            assert flag.exists() or removed == ()
            rounds += 1
        finish(run)


def test_a_waiting_lock_is_harmless_where_locks_do_not_work(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_fcntl", None)
    store = Store(tmp_path / "cache")
    store.put(step(), artifact())
    with store.using([step().key]):  # as fresh as it is, its owner may be alive
        assert store.gc(older_than_s=0).in_use[0].key == step().key
    store.gc(older_than_s=0)
    assert keys(store) == set()


def test_what_is_given_back_while_another_thread_has_the_lock_waits_for_no_one(tmp_path):
    """The garbage collector may do it in a thread that the other one is waiting for."""
    disk_leases = leases.DiskLeases(tmp_path)
    lease = disk_leases.hold(["a" * 64])
    lock_taken, end = threading.Event(), threading.Event()

    def busy():
        with disk_leases._lock:
            lock_taken.set()
            end.wait(120)

    other = threading.Thread(target=busy)
    other.start()
    lock_taken.wait(120)
    lease.release()
    assert leases.leased(tmp_path) == {"a" * 64}  # not yet
    end.set()
    other.join()
    disk_leases.hold(["b" * 64])
    assert "a" * 64 not in leases.leased(tmp_path)


def test_what_is_given_back_in_the_middle_of_a_lease_of_the_same_key_takes_nothing(tmp_path):
    """The garbage collector may do it at any point of the thread that takes the lease."""
    key = "a" * 64
    disk_leases = leases.DiskLeases(tmp_path)
    garbage = [disk_leases.hold([key])]

    class Collected(dict):
        def get(self, *given):
            n = super().get(*given)
            garbage.clear()
            return n

    disk_leases._counts = Collected(disk_leases._counts)
    lease = disk_leases.hold([key])
    assert leases.leased(tmp_path) == {key}
    lease.release()
    assert leases.leased(tmp_path) == set()
