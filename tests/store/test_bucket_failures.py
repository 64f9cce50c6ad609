"""Buckets that fail, processes that die, and two that do the same at once."""

import pickle
import signal
import sys
import textwrap
import threading

import numpy as np
import pytest
from buckets import BUCKET, SECRETS, names
from emulators import EVERYWHERE
from processes import finish, run_code
from store_toys import artifact, rows, step

from reactions.core.errors import MissingError, StoreError, UsageError
from reactions.core.step import Artifact
from reactions.store import Store, orphans, services
from reactions.store.objects import Objects
from reactions.store.services import normal_url

WHOLE = step(seed=7)
BY_ROWS = step(seed=8, n_rows=4, shard_rows=2)
URL = f"s3://{BUCKET}/some/prefix"


def contents(store, key):
    entry = store.lookup(key)
    return None if entry is None else {n: a[:].tobytes() for n, a in entry.arrays.items()}


EXPECTED = {n: np.ascontiguousarray(a).tobytes() for n, a in artifact().arrays.items()}


def no_orphans(store, monkeypatch):
    """Clean as if an hour had passed, and return objects that no record names."""
    with monkeypatch.context() as patch:
        patch.setattr(orphans, "GRACE_S", -10.0)
        store.gc()
    files_named = {
        shard.file
        for manifest in store._manifests()
        for array in manifest.arrays.values()
        for shard in array.shards
    }
    files = {name.rpartition("/")[2] for name in names(store) if name.startswith("entries")}
    return files - {"manifest.json"} == files_named


# --- killed in the middle ---


class Killed(BaseException):
    """What cannot be cleaned up after."""


WRITES = ("upload", "copy", "create", "write", "remove")


def die_at(monkeypatch, n):
    """End everything that this process does to a bucket at the nth change of it."""
    n_left, dying = [n], threading.current_thread()
    for name in WRITES:
        method = getattr(Objects, name)

        def counted(self, *args, method=method):
            if threading.current_thread() is not dying:  # heartbeats
                return method(self, *args)
            n_left[0] -= 1
            if n_left[0] < 0:
                raise Killed
            return method(self, *args)

        monkeypatch.setattr(Objects, name, counted)
    return n_left


def work(store):
    store.put(WHOLE, artifact())
    shards = store.partial(BY_ROWS)
    for start, stop in shards.missing():
        store.add_shard(shards, start, stop, rows(start, stop))
    store.complete(shards)


@pytest.mark.parametrize("address", ["memory"], indirect=True)
def test_whenever_a_process_dies_nothing_half_made_is_ever_read(address, monkeypatch):
    """And the next run completes, with what was finished before."""
    n_points = 0
    for n in range(100):
        store = Store(f"{address}/{n}")
        with monkeypatch.context() as patch:
            n_left = die_at(patch, n)
            try:
                work(store)
            except Killed:
                n_points += 1
        reader = Store(store.address)
        assert contents(reader, WHOLE.key) in (None, EXPECTED)
        entry = reader.lookup(BY_ROWS.key)
        assert entry is None or entry.arrays["x"][:].ravel().tolist() == [0, 1, 2, 3]
        assert list(reader.verify()) == []
        work(reader)
        assert contents(reader, WHOLE.key) == EXPECTED
        assert reader.lookup(BY_ROWS.key).arrays["x"][:].ravel().tolist() == [0, 1, 2, 3]
        assert list(reader.verify()) == []
        assert no_orphans(reader, monkeypatch)
        if n_left[0] >= 0:
            break
    assert n_points == n > 10


def spawn(code, **options):
    """Run code in another process that has the store behind ``URL``."""
    prelude = f"""
        import os, signal, sys
        from store_toys import artifact, rows, step
        from reactions.store import Store, objects
        store = Store({URL!r})
    """
    return run_code(textwrap.dedent(prelude) + textwrap.dedent(code), **options)


def test_a_process_killed_before_the_record_leaves_nothing_to_read(s3, monkeypatch):
    program = """
        objects.Objects.create = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
        store.put(step(seed=7), artifact())
    """
    finish(spawn(program), -signal.SIGKILL)
    store = Store(URL)
    assert len([name for name in names(store) if name.endswith(".npy")]) == 2
    assert store.lookup(WHOLE.key) is None
    assert store.ls() == []
    assert list(store.verify()) == []
    assert store.gc().debris == ()  # another process may be about to put the record
    store.put(WHOLE, artifact())
    assert contents(store, WHOLE.key) == EXPECTED
    assert no_orphans(store, monkeypatch)


def test_two_processes_publish_the_same_step_at_once(s3, monkeypatch):
    """One record wins, and names files of its own maker alone."""
    s3.door = Meeting(2, "manifest.json")
    code = """
        import numpy as np
        made = artifact()
        made.arrays["x"][:] = int(sys.stdin.readline())
        store.put(step(seed=7), made)
        print(store.lookup(step(seed=7).key).arrays["x"][:][0, 0])
    """
    both = [spawn(code, stdin=f"{n}\n") for n in range(2)]
    outs = [finish(process)[0] for process in both]
    assert s3.door.met
    assert len(set(outs)) == 1  # both read the same
    store = Store(URL)
    assert len([name for name in names(store) if name.endswith(".npy")]) == 2
    assert list(store.verify()) == []


class Meeting:
    """Lets no request that puts a record pass before n of them are there."""

    def __init__(self, n, suffix):
        self._barrier, self._suffix, self.met = threading.Barrier(n, timeout=120), suffix, False

    def __call__(self, method, path):
        if method == "PUT" and path.partition("?")[0].endswith(self._suffix) and not self.met:
            self._barrier.wait()
            self.met = True


def test_without_conditional_puts_a_twin_is_harmless(s3, monkeypatch):
    """The last record wins; who reads the files of the first goes on."""
    first, second = Store(URL), Store(URL)
    first.prepare()
    with monkeypatch.context() as patch:
        # As if the service knew no conditions, and both had looked before either put its record.
        patch.setattr(Objects, "create", lambda self, name, data: self.write(name, data) or True)
        first.put(WHOLE, artifact())
        reading = first.lookup(WHOLE.key)
        second.put(WHOLE, artifact())
    assert contents(second, WHOLE.key) == EXPECTED
    assert list(second.verify()) == []
    assert len([name for name in names(second) if name.endswith(".npy")]) == 4
    assert not no_orphans(second, monkeypatch)  # they are in use
    first.layout.place.copies.prune(older_than_s=0, max_bytes=None, dry_run=False)
    assert reading.arrays["x"][:].tobytes() == EXPECTED["x"]
    del reading
    first._leases.settle()
    assert no_orphans(second, monkeypatch)
    assert contents(second, WHOLE.key) == EXPECTED


def test_a_service_without_conditional_puts_is_asked_first(s3, monkeypatch):
    store = Store(URL)
    fs = store.layout.place._objects._open()[0]
    real = fs.pipe_file

    def unconditional(path, data, mode="overwrite"):
        if mode == "create":
            raise NotImplementedError
        return real(path, data)

    monkeypatch.setattr(fs, "pipe_file", unconditional)
    assert store.layout.place._objects.create("x", b"1")
    assert not store.layout.place._objects.create("x", b"2")
    assert store.layout.place._objects.read("x") == b"1"
    store.warn = (warnings := []).append
    with store.lock("a" * 64) as lock, store.lock("a" * 64) as refused:
        assert lock
        assert refused is None
    assert [f"{URL} does not know conditional puts" in text for text in warnings] == [True]


@EVERYWHERE
def test_the_answer_to_a_conditional_put_may_be_lost(address, monkeypatch):
    """What this process has put itself is not taken for another's."""
    store = Store(address)
    fs, paths_lost = store.layout.place._objects._open()[0], []
    create = fs.pipe_file

    def losing(path, data, **options):
        create(path, data, **options)
        if options.get("mode") == "create" and path.endswith("manifest.json") and not paths_lost:
            paths_lost.append(path)
            raise TimeoutError("the answer was lost")

    monkeypatch.setattr(fs, "pipe_file", losing)
    store.put(WHOLE, artifact())
    assert paths_lost
    assert contents(store, WHOLE.key) == EXPECTED
    assert list(store.verify()) == []


# --- a server that fails ---


@pytest.mark.parametrize("answer", [503, 500, "cut"])
def test_a_server_that_fails_at_times_is_asked_again(s3, answer, monkeypatch):
    n_failed = [0]

    def door(method, path):
        if len(s3.seen) % 4 == 0 and not (answer == "cut" and method != "GET"):
            n_failed[0] += 1
            return answer
        return None

    s3.door = door
    store = Store(URL)
    work(store)
    assert contents(store, WHOLE.key) == EXPECTED
    assert store.lookup(BY_ROWS.key).arrays["x"][:].ravel().tolist() == [0, 1, 2, 3]
    assert list(store.verify()) == []
    assert n_failed[0] > 3


@pytest.mark.parametrize(
    ("answer", "message", "fix"),
    [(503, "SlowDown|slow", "the network"), (403, "refuses", "credentials")],
)
def test_a_server_that_keeps_failing_is_an_error_without_secrets(s3, answer, message, fix):
    store = Store(URL)
    s3.door = lambda method, path: answer
    for use in (
        lambda: store.put(WHOLE, artifact()),
        lambda: store.has(WHOLE.key),
        lambda: store.lookup(WHOLE.key),
        store.ls,
        store.gc,
        lambda: list(store.verify()),
        lambda: store.partial(BY_ROWS).finished,
    ):
        with pytest.raises(StoreError) as caught:
            use()
        text = str(caught.value)
        assert URL in text
        assert fix in caught.value.fix
        assert not any(secret in text for secret in SECRETS.values())


def test_what_services_quote_of_credentials_is_not_printed(monkeypatch):
    monkeypatch.setenv("MY_SECRET_THING", "hunter2hunter2")
    error = services.said(
        ValueError("no: hunter2hunter2 at https://user:pw@host/x?X-Amz-Signature=abc is wrong")
    )
    assert error == "no: ... at https://...@host/x?... is wrong"


def test_nothing_of_credentials_is_kept_or_sent(s3):
    store = Store(URL)
    work(store)
    sent = pickle.dumps(store.lookup(WHOLE.key).arrays["x"])
    stored = b"".join(store.layout.place._objects.read(name) for name in names(store))
    for path in store.root.rglob("*"):
        stored += path.read_bytes() if path.is_file() else b""
    for secret in SECRETS.values():
        assert secret.encode() not in sent + stored


def test_a_bucket_that_is_not_there_is_an_error_when_it_is_written_to(s3):
    store = Store("s3://no-such-bucket/x")
    with pytest.raises(StoreError, match="does not exist"):
        store.put(WHOLE, artifact())


# --- sizes ---


def test_a_large_file_goes_in_parts(s3, monkeypatch):
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda size, **_: 5 << 20)
    store = Store(URL)
    big = np.arange(3 << 19, dtype=np.float64)[:, None]  # 12 MiB
    store.put(WHOLE, Artifact({"x": big}))
    assert sum(method == "PUT" and "partNumber=" in path for method, path in s3.seen) == 3
    assert np.array_equal(store.lookup(WHOLE.key).arrays["x"][:], big)
    assert list(store.verify()) == []


def test_more_shards_than_a_listing_gives_at_a_time(s3):
    store = Store(URL)
    sharded_step = step(seed=9, n_rows=1200, shard_rows=1)
    for start in range(1200):
        name = f"some/prefix/partial/{sharded_step.key}/{start}-{start + 1}/shard.json"
        s3.backend.put_object(BUCKET, name, b"{}")
    s3.backend.put_object(
        BUCKET, f"some/prefix/partial/{sharded_step.key}/7-9/x.npy", b""
    )  # no record
    assert store.partial(sharded_step, verify=False).finished == [(i, i + 1) for i in range(1200)]


# --- addresses ---


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://host/x", "'http' is not among what a store is kept in"),
        ("hf://x/y", "'hf' is not among"),
        ("s4://key:secret@bucket/x", "'s4' is not among what a store is kept in"),
        ("s3://key:secret@bucket/x", "holds a name or password"),
        ("s3://", "names no bucket"),
        ("s3://bucket/*", "wildcards"),
        ("simplecache::s3://bucket/x", "not among"),
    ],
)
def test_a_url_that_cannot_hold_a_store_is_refused(url, what):
    with pytest.raises(UsageError) as caught:
        Store(url)
    assert what in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.fix


def test_one_store_has_one_url():
    assert normal_url(" S3://bucket//a/b/ ") == "s3://bucket/a/b"


def test_offline_mode_leaves_it_alone(monkeypatch):
    monkeypatch.setenv("MOLSPACE_OFFLINE", "1")
    with pytest.raises(MissingError, match="offline mode is on"):
        Store(URL)


@pytest.mark.parametrize(
    ("protocol", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")]
)
def test_a_missing_package_is_named(protocol, package, monkeypatch):
    import fsspec

    def missing(_protocol):
        raise ImportError(f"Please install {package} to access it")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    monkeypatch.setitem(sys.modules, "gcsfs.core", None)
    with pytest.raises(MissingError, match=f"needs the package {package}") as caught:
        Store(f"{protocol}://bucket/x")
    assert "pip install" in caught.value.fix
    assert "MOLSPACE_CACHE" in caught.value.fix
