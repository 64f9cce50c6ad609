"""Locks and leases of a store behind a URL, that have no kernel to ask."""

import gc
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import pytest
from buckets import BUCKET, in_memory, leases, names
from emulators import EVERYWHERE
from machines import FakeTime
from processes import finish, run_code
from store_toys import artifact, step
from toy import by_rows, executor

from reactions.store import Store, heartbeats, object_locks
from reactions.store.heartbeats import BEAT_S, SILENT_S, Holder, pulse
from reactions.store.objects import Objects

KEY = "a" * 64
LOCK = f"locks/{KEY}.lock"


@pytest.fixture
def store(address):
    return Store(address)


@pytest.fixture
def time(monkeypatch):
    fake = FakeTime(monkeypatch)
    monkeypatch.setattr(object_locks, "watch", fake.watch)
    return fake


class Elsewhere:
    """Another machine's process, as far as a bucket shows it."""

    def __init__(self, store, shares=False):
        self._objects = store.layout.place._objects
        self.holder = Holder(1, "f" * 12, "elsewhere", "1" * 32, shares)
        self._n = 0
        self.key = KEY

    def beat(self, name=LOCK):
        self._n += 1
        self._objects.write(name, f"{self.holder.text()}{self._n}\n{self.key}".encode())


def takes(store, **options):
    with store.lock(KEY, **options) as lock:
        return "not" if lock is None else "alone" if lock.is_alone else "shared"


@EVERYWHERE
def test_one_holds_a_lock_and_gives_it_back(store):
    busy = []
    with store.lock(KEY) as lock, store.lock(KEY, part="0-2") as part:
        assert lock.is_alone
        assert part
        with Store(store.address).lock(KEY, busy.append) as refused:
            assert refused is None
        pulse.beat()
        assert names(store)[:2] == [f"locks/{KEY}.0-2.lock", LOCK]
    assert len(busy) == 1
    assert not [name for name in names(store) if name.startswith("locks")]


@EVERYWHERE
def test_a_lock_is_shared_after_the_first_has_prepared(store):
    with ExitStack() as first, ExitStack() as second:
        lock = first.enter_context(store.lock(KEY, shared=True))
        assert takes(store, shared=True) == "not"
        assert lock.share()
        other = second.enter_context(Store(store.address).lock(KEY, shared=True))
        assert not other.is_alone
        assert takes(store) == "not"
        first.close()
        assert takes(store, shared=True) == "shared"
        pulse.beat()  # the others put it there again
        assert takes(store) == "not"
        assert LOCK in names(store)
    assert LOCK not in names(store)


def test_a_lock_held_elsewhere_is_respected_until_it_is_silent(store, time):
    other = Elsewhere(store)
    other.beat()
    store.prepare()
    assert takes(store) == "not"
    for _ in range(3):
        time.now_s += SILENT_S - 1
        other.beat()
        assert takes(store) == "not"
    time.now_s += SILENT_S
    assert takes(store) == "alone"
    assert LOCK not in names(store)


def test_who_was_taken_for_dead_does_not_take_a_lock_back(store):
    store.warn = (warnings := []).append
    with store.lock(KEY, shared=True) as lock:
        other = Elsewhere(store)
        other.beat()
        pulse.beat()
        assert not lock.share()
    assert other.holder.token.encode() in store.layout.place._objects.read(LOCK)
    assert len(warnings) == 1


@pytest.mark.parametrize("finds_out", ["by a beat", "at the end"])
def test_who_lost_a_lock_says_so(store, finds_out):
    store.warn = (warnings := []).append
    with store.lock(KEY) as lock:
        other = Elsewhere(store)
        other.beat()
        if finds_out == "by a beat":
            pulse.beat()
            assert lock.is_lost
            assert not pulse.holds(lock._holder.token)
        store.put(step(0), artifact())  # publishing asks for no lock: twins are harmless
    assert len(warnings) == 1
    assert f"took over {KEY[:12]}" in warnings[0]
    assert other.holder.token.encode() in store.layout.place._objects.read(LOCK)


def test_who_shares_a_lock_gives_way_to_one_that_took_it_alone(store):
    store.warn = (warnings := []).append
    with store.lock(KEY, shared=True) as lock:
        assert lock.share()
        sharer, taker = Elsewhere(store, shares=True), Elsewhere(store)
        sharer.beat()
        pulse.beat()
        assert not lock.is_lost
        taker.beat()
        pulse.beat()
        assert lock.is_lost
    assert len(warnings) == 1
    assert taker.holder.text().encode() in store.layout.place._objects.read(LOCK)


def test_a_lock_that_a_cleaning_took_for_dead_is_put_there_again(store):
    with store.lock(KEY) as lock:
        store.layout.place._objects.remove([LOCK])
        pulse.beat()
        assert not lock.is_lost
        assert takes(Store(store.address)) == "not"


def test_a_beat_is_one_try(s3):
    store = Store(f"s3://{BUCKET}/some/prefix")
    with store.lock(KEY):
        s3.door = lambda method, path: 503
        del s3.seen[:]
        pulse.beat()
        assert [method for method, _ in s3.seen] == ["GET"]  # the next beat is the next try
        s3.door = lambda method, path: None
        pulse.beat()
        assert [method for method, _ in s3.seen] == ["GET", "GET", "PUT"]


def test_a_process_of_this_machine_that_died_is_not_waited_for(store):
    other = Elsewhere(store)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    other.holder = Holder(process.pid, heartbeats.this_machine(), "here", "2" * 32)
    other.beat()
    store.prepare()
    assert takes(store) == "alone"


def test_what_is_leased_elsewhere_stays_until_its_process_is_silent(store, time, monkeypatch):
    store.put(step(0), artifact())
    other = Elsewhere(store)
    lease = "leases/1-x.ffffffffffff.lease"

    def beating(seconds):
        time.now_s += seconds
        other.beat(lease)

    other.key = step(0).key
    other.beat(lease)
    slept = time.sleep
    monkeypatch.setattr(time, "sleep", beating)
    assert [i.key for i in store.gc(older_than_s=0).in_use] == [step(0).key]
    assert time.now_s <= 2 * BEAT_S
    monkeypatch.setattr(time, "sleep", slept)
    time.now_s += SILENT_S
    freed = store.gc(older_than_s=0)
    assert [i.key for i in freed.entries] == [step(0).key]
    assert [path.name for path in freed.debris] == [lease.rpartition("/")[2]]
    assert lease not in leases(store)


def test_a_lease_goes_with_its_store(store):
    store.put(step(0), artifact())
    reader = Store(store.address)
    artifact_of_step = reader.lookup(step(0).key)
    assert len(leases(store)) == 1
    del artifact_of_step, reader
    pulse.beat()
    assert not leases(store)


def test_the_garbage_collector_waits_for_no_request(store, monkeypatch):
    """It may run in the thread that carries out a request that a heartbeat is waiting for."""
    store.put(step(0), artifact())
    reader = Store(store.address)
    artifact_read = reader.lookup(step(0).key)
    inside, go, over = threading.Event(), threading.Event(), threading.Event()
    write = reader.layout.place._objects.write_once

    def held_up(name, data):
        inside.set()
        assert go.wait(120)
        write(name, data)

    monkeypatch.setattr(reader.layout.place._objects, "write_once", held_up)
    beat = threading.Thread(target=pulse.beat)
    beat.start()
    assert inside.wait(120)
    box = [reader, artifact_read]
    del reader, artifact_read, store

    def collect():
        box.clear()
        gc.collect()
        over.set()

    collector = threading.Thread(target=collect)
    collector.start()
    assert over.wait(120)
    go.set()
    beat.join(120)
    collector.join(120)


# --- plans ---


def test_several_runs_share_a_step(monkeypatch):
    """Each shard is made once, whoever makes it."""
    address, ran = in_memory(monkeypatch), []

    def run():
        artifacts = executor(Store(address), device="cpu,cpu").run([by_rows(ran, 12, 2)])
        rows = next(iter(artifacts.values())).arrays["x"]
        assert rows[:].ravel().tolist() == list(range(12))

    both = [threading.Thread(target=run) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    assert sorted(ran) == [(i, i + 2) for i in range(0, 12, 2)]
    store = Store(address)
    assert list(store.verify()) == []
    assert not [n for n in names(store) if n.startswith(("partial", "locks"))]


def test_a_run_that_is_killed_is_finished_by_the_next(s3):
    url = f"s3://{BUCKET}/killed"
    code = f"""
        import os, signal, sys
        from toy import by_rows, executor
        from reactions.store import Store
        die = lambda start: start == 6 and os.kill(os.getpid(), signal.SIGKILL)
        executor(Store({url!r})).run([by_rows([], 10, 2, hook=die)])
    """
    finish(run_code(code), -9)
    store, ran = Store(url), []
    assert [name for name in names(store) if name.startswith("locks")]
    artifacts = executor(store).run([by_rows(ran, 10, 2)])
    assert next(iter(artifacts.values())).arrays["x"][:].ravel().tolist() == list(range(10))
    assert ran == [(6, 8), (8, 10)]  # the one in flight, and what was never begun
    assert list(store.verify()) == []


@contextmanager
def closing(hold):
    try:
        yield
    finally:
        hold.release()


def test_a_lease_that_others_see_already_is_not_put_again(store, monkeypatch):
    """One service takes one put a second of an object; a run looks up several results in one."""
    puts, write = [], Objects.write

    def counted(self, name, data):
        if name.startswith("leases/"):
            puts.append(data.decode().splitlines()[2:])
        write(self, name, data)

    monkeypatch.setattr(Objects, "write", counted)
    store.prepare()
    with closing(store._hold(["a" * 64, "b" * 64])):
        pass
    for key in ("a", "b", "a"):
        with closing(store._hold([key * 64])):
            assert store.layout.place.leased(store.layout.leases) == {"a" * 64, "b" * 64}
    assert len(puts) == 1
    store._leases.settle()
    assert puts[1:] == [[]]
    with closing(store._hold(["a" * 64])):
        assert puts[2:] == [["a" * 64]]
        # After a silence others may have taken this process for dead.
        store._leases._lease._shown_s -= 3 * BEAT_S
        with closing(store._hold(["a" * 64])):
            assert puts[3:] == [["a" * 64]]
