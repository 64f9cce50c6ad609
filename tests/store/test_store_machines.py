"""A folder that several machines share: who holds what, and for how long that is believed."""

import os
from contextlib import nullcontext

import pytest
from machines import FakeTime, Machine, beat, pose_as
from store_toys import artifact, step

from reactions.store import Store, disk, heartbeats, leases, locks
from reactions.store.heartbeats import SILENT_S, Holder, Life, Watch

KEY = "a" * 64

HOLD = """
    with store.lock(KEY, shared={shared}) as lock:
        {share}
        yield store.root / "locks" / f"{{KEY}}.lock"
"""
ALONE = HOLD.format(shared=False, share="pass")
SHARED = HOLD.format(shared=True, share="assert lock.share()")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def takes(store, **options):
    """Return how a lock is held that is asked for now: alone, shared, or not."""
    with store.lock(KEY, **options) as lock:
        return "not" if lock is None else "alone" if lock.is_alone else "shared"


def lock_files(store):
    return list((store.root / "locks").iterdir())


# --- what changes is alive ---


def test_only_changes_and_our_own_time_count():
    now_s = [1e9]
    watch = Watch(lambda: now_s[0])
    # The other machine's clock is a day fast, then a year slow: neither matters.
    for passed_s, sign, life in [
        (0, 86_400, Life.UNKNOWN),
        (SILENT_S - 1, 86_400, Life.UNKNOWN),
        (0.5, -31_536_000, Life.ALIVE),
        (SILENT_S - 1, -31_536_000, Life.ALIVE),
        (1, -31_536_000, Life.DEAD),
        (500, -31_536_000, Life.DEAD),
        (0, 5, Life.ALIVE),  # it only stalled
    ]:
        now_s[0] += passed_s
        assert watch.look("x", sign) is life
    watch.forget("x")
    assert watch.look("x", 5) is Life.UNKNOWN


def test_a_holder_is_read_back_and_nothing_else_is():
    holder = Holder.new()
    assert Holder.parse(holder.text()) == holder
    assert holder.is_here
    assert not holder.is_dead
    for text in ("", "123", "1 x y z alone", holder.text() + "more", holder.text()[:-8]):
        assert Holder.parse(text) is None


def test_containers_of_one_node_are_machines_of_their_own(monkeypatch):
    """They share a kernel, often a name, and each has a process 1."""

    def machine(namespace, host):
        with monkeypatch.context() as patched:
            patched.setattr(heartbeats.Path, "readlink", namespace)
            patched.setattr(heartbeats.socket, "gethostname", lambda: host)
            return heartbeats.this_machine.__wrapped__()

    def hidden(path):
        raise PermissionError("/proc is not all there")

    assert machine(lambda path: "pid:[1]", "pod") != machine(lambda path: "pid:[2]", "pod")
    assert machine(lambda path: "pid:[1]", "a") == machine(lambda path: "pid:[1]", "b")
    assert machine(hidden, "a") != machine(hidden, "b")


# --- locks ---


@pytest.mark.parametrize("has_locks", [True, False])
def test_a_lock_held_elsewhere_is_respected_until_it_is_silent(store, monkeypatch, has_locks):
    pose_as("here", has_locks=has_locks, put=monkeypatch.setattr)
    time = FakeTime(monkeypatch)
    with Machine(store.root, ALONE, has_locks=has_locks) as other:
        busy = []
        with store.lock(KEY, busy.append) as lock:
            assert lock is None
        assert busy == [None]  # a process id would say nothing here
        for _ in range(5):
            other.do("beat")
            time.sleep(0.9 * SILENT_S)
            assert takes(store) == "not"
        other.kill()
        time.sleep(0.9 * SILENT_S)
        assert takes(store) == "not"
        time.sleep(0.1 * SILENT_S)
        assert takes(store) == "alone"
        assert lock_files(store) == []


def test_who_lost_a_lock_says_so(store, monkeypatch):
    """Another machine took this process for dead: it stalled."""
    monkeypatch.setattr(locks, "_fcntl", None)
    time = FakeTime(monkeypatch)
    store.warn = (warnings := []).append
    with store.lock(KEY) as lock:
        with monkeypatch.context() as other_machine:
            pose_as("elsewhere", has_locks=False, put=other_machine.setattr)
            other_machine.setattr(heartbeats.pulse, "holds", lambda token: False)
            assert takes(store) == "not"
            time.sleep(SILENT_S)
            assert takes(store) == "alone"
        assert not lock.is_lost
        heartbeats.pulse.beat()
        assert lock.is_lost
        assert not heartbeats.pulse.holds(lock._holder.token)
    assert [f"took over {KEY[:12]}" in text for text in warnings] == [True]


@pytest.mark.parametrize("has_locks", [True, False])
def test_a_lock_that_is_given_back_elsewhere_is_free_at_once(store, monkeypatch, has_locks):
    pose_as("here", has_locks=has_locks, put=monkeypatch.setattr)
    FakeTime(monkeypatch)
    with Machine(store.root, ALONE, has_locks=has_locks) as other:
        assert takes(store) == "not"
        other.do("go on")
        assert takes(store) == "alone"


def test_two_machines_share_a_lock(store, monkeypatch):
    pose_as("here", has_locks=True, put=monkeypatch.setattr)
    FakeTime(monkeypatch)
    with Machine(store.root, SHARED) as other:
        assert takes(store, shared=True) == "not"  # it is not known yet whether it lives
        other.do("beat")
        with store.lock(KEY, shared=True) as lock:
            assert not lock.is_alone
            other.do("go on")  # the other one leaves first: ours is not removed
            assert len(lock_files(store)) == 1
        assert lock_files(store) == []


def test_the_kernel_alone_decides_on_this_machine(store, monkeypatch):
    """A process that died here left its name: it is not waited for."""
    path = store.root / "locks" / f"{KEY}.lock"
    path.parent.mkdir(parents=True)
    for text in (Holder.new().text(), str(os.getpid()), ""):
        path.write_text(text)
        assert takes(store) == "alone"
        assert lock_files(store) == []


def test_without_kernel_locks_a_dead_process_of_this_machine_is_not_waited_for(store, monkeypatch):
    monkeypatch.setattr(locks, "_fcntl", None)
    FakeTime(monkeypatch)
    with Machine(store.root, ALONE, has_locks=False) as other:
        machine = "0" * 9 + f"{sum(b'elsewhere'):03x}"
        for module in (heartbeats, locks):
            monkeypatch.setattr(module, "this_machine", lambda: machine)
        assert takes(store) == "not"
        other.kill()
        assert takes(store) == "alone"


def test_a_lock_without_a_name_is_given_time(store, monkeypatch):
    """Its maker may be about to write it; or it is of an earlier version, which locks nothing."""
    monkeypatch.setattr(locks, "_fcntl", None)
    time = FakeTime(monkeypatch)
    path = store.root / "locks" / f"{KEY}.lock"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert takes(store) == "not"
    time.sleep(SILENT_S)
    assert takes(store) == "alone"


def test_of_two_that_take_over_one_gets_the_lock(store, monkeypatch):
    """The slower one finds the name of the faster in the file, and puts it back."""
    path = store.root / "locks" / f"{KEY}.lock"
    path.parent.mkdir(parents=True)
    path.write_text(Holder.new().text())
    faster = path.read_text()
    locks._put_away(path, Holder.new().text())
    assert path.read_text() == faster
    locks._put_away(path, faster)
    assert lock_files(store) == []


# --- cleaning ---


USE = """
    store.put(step(), artifact())
    with store.using([step().key]):
        yield next((store.root / "leases").glob("*.lease"))
"""
USE = "    from store_toys import artifact, step\n" + USE


@pytest.mark.parametrize("has_locks", [True, False])
def test_what_a_live_process_elsewhere_uses_stays(store, monkeypatch, has_locks):
    pose_as("here", has_locks=has_locks, put=monkeypatch.setattr)
    time = FakeTime(monkeypatch)
    with Machine(store.root, USE, has_locks=has_locks) as other:
        (path,) = leases.lease_files(store.root / "leases")
        assert "-elsewhere." in path.name
        slept = time.sleep
        monkeypatch.setattr(time, "sleep", lambda s: (slept(s), other.do("beat")))
        assert [info.key for info in store.gc(older_than_s=0).in_use] == [step().key]
        assert time.now_s < SILENT_S  # it was seen to live
        monkeypatch.setattr(time, "sleep", slept)
        other.kill()
        time.now_s += SILENT_S
        freed = store.gc(older_than_s=0)
        assert [info.key for info in freed.entries] == [step().key]
        assert path in freed.debris
        assert not path.exists()


def test_the_first_cleaning_waits_for_signs_of_life(store, monkeypatch):
    pose_as("here", has_locks=True, put=monkeypatch.setattr)
    time = FakeTime(monkeypatch)
    with Machine(store.root, USE) as other:
        other.kill()
    assert [info.key for info in store.gc(older_than_s=0).entries] == [step().key]
    assert SILENT_S <= time.now_s < 2 * SILENT_S


def test_a_lease_taken_while_its_entry_is_removed_brings_it_back(store, monkeypatch):
    """Where the mutex does not reach the other machine."""
    store.put(step(), artifact())
    move, user = disk.move_aside, Store(store.root)
    holds = []

    def overtaken(*args):
        monkeypatch.setattr(leases, "mutex", lambda *_, **__: nullcontext())
        holds.append(user._hold([step().key]))
        return move(*args)

    monkeypatch.setattr(disk, "move_aside", overtaken)
    assert [info.key for info in store.gc(older_than_s=0).in_use] == [step().key]
    assert store.lookup(step().key) is not None
    holds[0].release()


def test_a_folder_that_another_machine_writes_is_kept_a_day(store, monkeypatch):
    store.prepare()
    folder = store.root / "tmp" / f"{'0' * 32}.{'0' * 12}"
    folder.mkdir(parents=True)
    hours = folder.stat().st_mtime - 5 * 3600
    os.utime(folder, (hours, hours))
    assert store.gc().debris == ()
    os.utime(folder, (hours - 86_400, hours - 86_400))
    assert store.gc().debris == (folder,)


def test_what_is_held_is_touched_and_no_longer_than_that(store):
    with store.lock(KEY), store.using([KEY]):
        (lease,) = leases.lease_files(store.root / "leases")
        (lock,) = lock_files(store)
        for path in (lock, lease):
            os.utime(path, (0, 0))
        heartbeats.pulse.beat()
        assert min(lock.stat().st_mtime, lease.stat().st_mtime) > 1e9
        beat(lock)
    assert not lock.exists()
