"""A store behind a URL does what one in a folder does."""

import errno
import json
import os
import pickle
import threading
import time

import numpy as np
import pytest
from buckets import names
from emulators import EVERYWHERE
from store_toys import artifact, rows, step

from reactions.core.errors import StoreError
from reactions.core.step import Artifact
from reactions.store import Store, copies, files, manifest
from reactions.store.bucket import Bucket

WHOLE = step(seed=7)
BY_ROWS = step(seed=8, n_rows=5, shard_rows=2)


@pytest.fixture
def store(address):
    return Store(address)


def elsewhere(store, monkeypatch, tmp_path):
    """The same store on a machine that has no copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    return Store(store.address)


def fill(store):
    """Make one entry whole, and one of shards."""
    store.put(WHOLE, artifact(meta={"loss": [1.5]}), seconds=2.0)
    shards = store.partial(BY_ROWS)
    for start, stop in shards.missing():
        store.add_shard(shards, start, stop, rows(start, stop), seconds=1.0)
    assert store.complete(shards)


@EVERYWHERE
def test_it_gives_what_a_folder_gives(store, tmp_path, monkeypatch):
    local = Store(tmp_path / "folder")
    for filled in (local, store):
        assert filled.lookup(WHOLE.key) is None
        fill(filled)
    for reader in (store, elsewhere(store, monkeypatch, tmp_path)):
        for key in (WHOLE.key, BY_ROWS.key):
            expected, artifact_read = local.lookup(key), reader.lookup(key)
            assert artifact_read.meta == expected.meta
            assert list(artifact_read.arrays) == list(expected.arrays)
            for name, array in artifact_read.arrays.items():
                assert array[:].tobytes() == expected.arrays[name][:].tobytes()
                assert array[:].dtype == expected.arrays[name][:].dtype
                assert array[:1].flags.writeable == expected.arrays[name][:1].flags.writeable
        listed = [(i.key, i.label, i.seconds) for i in reader.ls()]
        assert listed == [(i.key, i.label, i.seconds) for i in local.ls()]
        assert reader.explain(WHOLE) == "hit"
        assert reader.explain(step(seed=9)) == local.explain(step(seed=9))
        assert list(reader.verify()) == []
    assert not [name for name in names(store) if name.startswith(("partial", "locks"))]


def test_it_begins_and_ends_as_a_folder_does(store):
    assert names(store) == []  # looking things up makes nothing
    assert store.gc().entries == ()
    store.prepare()
    assert names(store) == ["store.json"]
    del store


def test_its_address_is_what_other_processes_open_it_by(store, tmp_path):
    assert store.address.endswith("/some/prefix")
    assert Store(store.address + "/").root == store.root
    assert Store(tmp_path).address == str(tmp_path)
    assert pickle.loads(pickle.dumps(store.layout)).address == store.address


def test_rows_are_read_in_another_process_by_address(store):
    fill(store)
    array = pickle.loads(pickle.dumps(store.lookup(BY_ROWS.key).arrays["x"]))
    assert array[1:4].ravel().tolist() == [1, 2, 3]


def test_a_file_is_fetched_once_and_found_by_its_digest(store, tmp_path, monkeypatch):
    fill(store)
    reader = elsewhere(store, monkeypatch, tmp_path)
    fetched = []
    download = copies.Objects.download
    monkeypatch.setattr(
        copies.Objects, "download", lambda s, n, p: (fetched.append(n), download(s, n, p))
    )
    artifact_read = reader.lookup(BY_ROWS.key)
    assert fetched == []  # rows are fetched when they are read
    assert artifact_read.arrays["x"][2:3].item() == 2
    assert len(fetched) == 1  # its shard alone
    Store(reader.address).lookup(BY_ROWS.key).arrays["x"][:]
    assert len(fetched) == 3


def large(n=600):
    return Artifact({"x": np.arange(n * 32, dtype=np.float32).reshape(n, 32)})


@pytest.fixture
def ranges(store, tmp_path, monkeypatch):
    """A reader for which anything above 10 kB is large, and what it asks for: (start, stop)."""
    store.put(WHOLE, large())
    monkeypatch.setattr(copies, "WHOLE_BYTES", 10_000)
    monkeypatch.setattr(copies, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(copies, "_REQUEST_BYTES", 16_384)
    reader, ranges_asked = elsewhere(store, monkeypatch, tmp_path), []
    read_object = copies.Objects.read

    def counted(self, name, start=None, stop=None):
        if name.endswith(".npy"):
            ranges_asked.append((start, stop))
        return read_object(self, name, start, stop)

    monkeypatch.setattr(copies.Objects, "read", counted)
    return reader, ranges_asked


@EVERYWHERE
def test_of_a_large_file_the_blocks_are_fetched_that_are_read(ranges):
    reader, ranges_asked = ranges
    x, expected = reader.lookup(WHOLE.key).arrays["x"], large().arrays["x"]
    assert np.array_equal(x[100:130], expected[100:130])
    assert ranges_asked[1:] == [
        (12_288, 20_480)
    ]  # after the header: rows 100 to 130 begin at 12,928
    assert np.array_equal(x[90:131], expected[90:131])
    assert ranges_asked[2:] == [(8192, 12_288)]
    assert np.array_equal(x[:], expected)
    assert ranges_asked[3:] == [
        (0, 8192),
        (20_480, 36_864),
        (36_864, 53_248),
        (53_248, 69_632),
        (69_632, 76_928),
    ]
    assert not x[:].flags.writeable
    del ranges_asked[:]
    reopened = Store(reader.address).lookup(WHOLE.key).arrays["x"]
    assert np.array_equal(reopened[:], expected)
    assert ranges_asked == []  # it was kept once it was whole
    del x, reopened
    assert list((reader.root / "tmp").iterdir()) == []


def full_until(monkeypatch, method, n_copies, root):
    """Let the disk be full as long as there are more copies than so many."""
    usual = getattr(copies.Objects, method)

    def fetch(self, name, *place):
        if name.endswith(".npy") and len(list((root / "copies").glob("*/*.npy"))) > n_copies:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(self, name, *place)

    monkeypatch.setattr(copies.Objects, method, fetch)


def test_copies_give_way_when_the_disk_is_full(store, tmp_path, monkeypatch):
    for seed in range(5):
        store.put(step(seed=seed), rows(seed, seed + 1))
    reader = elsewhere(store, monkeypatch, tmp_path)
    for seed in range(3):
        assert reader.lookup(step(seed=seed).key).arrays["x"][:].item() == seed
    for seed, path in enumerate(sorted((reader.root / "copies").glob("*/*.npy"))):
        os.utime(path, (seed, seed))
    full_until(monkeypatch, "download", 1, reader.root)
    assert reader.lookup(step(seed=3).key).arrays["x"][:].item() == 3
    assert len(list((reader.root / "copies").glob("*/*.npy"))) == 2
    full_until(monkeypatch, "download", -1, reader.root)
    artifact_read = reader.lookup(step(seed=4).key)
    with pytest.raises(StoreError, match="cannot read the store") as caught:
        artifact_read.arrays["x"][:]
    assert "no space left" in caught.value.why
    assert "gc --copies" in caught.value.fix


@pytest.mark.parametrize("is_shard", [False, True])
def test_results_find_room_where_copies_were(store, monkeypatch, is_shard):
    store.put(WHOLE, artifact())
    assert list((store.root / "copies").glob("*/*.npy"))
    usual = files.write_rows

    def write_rows(path, array):
        if len(list((store.root / "copies").glob("*/*.npy"))) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(path, array)

    monkeypatch.setattr(manifest, "write_rows", write_rows)
    if is_shard:
        store.add_shard(store.partial(BY_ROWS), 0, 2, rows(0, 2))
        assert store.partial(BY_ROWS).finished == [(0, 2)]
    else:
        store.put(step(seed=3), rows(3, 4))
        assert store.lookup(step(seed=3).key).arrays["x"][:].item() == 3


def test_blocks_find_room_where_copies_were(ranges, store, monkeypatch):
    reader, _ = ranges
    store.put(step(seed=3), rows(3, 4))
    assert reader.lookup(step(seed=3).key).arrays["x"][:].item() == 3
    x = reader.lookup(WHOLE.key).arrays["x"]
    assert x[0:1].shape == (1, 32)
    full_until(monkeypatch, "read", 0, reader.root)
    assert np.array_equal(x[:], large().arrays["x"])


@pytest.mark.parametrize("at", [0, 50, 40_000])
def test_a_large_file_that_is_damaged_is_refused_when_it_is_whole(ranges, store, at):
    reader, _ = ranges
    (name,) = [name for name in names(store) if name.endswith(".npy")]
    objects = store.layout.place._objects
    data = bytearray(objects.read(name))
    data[at] ^= 1
    objects.write(name, bytes(data))
    artifact_read = reader.lookup(WHOLE.key)
    with pytest.raises(StoreError, match="molspace cache verify --repair"):
        artifact_read.arrays["x"][:]
    assert [p.what for p in reader.verify()] == [
        f"{name.rpartition('/')[2]} does not have the recorded digest"
    ]


@EVERYWHERE
def test_damage_is_found_put_aside_and_made_anew(store, tmp_path, monkeypatch):
    fill(store)
    objects = store.layout.place._objects
    damaged, shortened = sorted(
        name for name in names(store) if name.endswith(("-0.npy", "-000000000002.npy"))
    )[::-1]
    objects.write(damaged, objects.read(damaged)[:-1] + b"\1")
    objects.write(shortened, b"short")
    warnings = []
    reader = elsewhere(store, monkeypatch, tmp_path)
    reader.warn = warnings.append
    problems = {p.what.split(maxsplit=1)[1] for p in reader.verify()}
    assert "does not have the recorded digest" in problems
    assert len(problems) == 2
    fixed = list(reader.verify(repair=True))
    assert all(p.is_repaired for p in fixed)
    assert len(warnings) == 2
    assert reader.ls() == []
    fill(reader)
    assert list(reader.verify()) == []
    assert len(reader.gc().debris) == 2  # what was put aside
    assert not [name for name in names(store) if name.startswith("quarantine")]


def test_a_short_file_is_a_miss(store):
    fill(store)
    name = next(name for name in names(store) if name.endswith("-0.npy"))
    store.layout.place._objects.write(name, b"short")
    assert store.lookup(WHOLE.key) is None
    assert not store.has(WHOLE.key)


@EVERYWHERE
def test_what_a_running_step_saves_is_found_elsewhere(store, tmp_path, monkeypatch):
    store.prepare()
    state = store.checkpoint(WHOLE.key)
    assert state.read(pytest.fail) is None
    for n in (1, 2):
        state.write({"x": np.full(3, n)})
    other = elsewhere(store, monkeypatch, tmp_path).checkpoint(WHOLE.key)
    assert other.read(pytest.fail)["x"].tolist() == [2, 2, 2]
    other.discard()
    assert state.read(pytest.fail) is None


def test_a_store_of_another_version_is_refused(store):
    store.prepare()
    store.layout.place._objects.write("store.json", json.dumps({"format": 7}).encode())
    with pytest.raises(StoreError, match="has format 7") as caught:
        Store(store.address).lookup(WHOLE.key)
    assert store.address in caught.value.what


# --- cleaning ---


def test_gc_removes_the_least_recently_used(store, monkeypatch):
    for seed in range(3):
        store.put(step(seed), artifact())
    sizes = {i.key: i.size_bytes for i in store.ls()}
    usage = Bucket.usage
    ages = {step(seed).key: seed for seed in range(3)}

    def aged(self, folders, record):
        times = usage(self, folders, record)
        return {f: (n, s - 3600 * ages[f.name]) for f, (n, s) in times.items()}

    monkeypatch.setattr(Bucket, "usage", aged)
    would = store.gc(max_bytes=sizes[step(0).key], dry_run=True)
    assert [i.key for i in would.entries] == [step(2).key, step(1).key]
    assert len(store.ls()) == 3
    artifact_read = store.lookup(step(2).key)
    freed = store.gc(max_bytes=sizes[step(0).key])
    assert [i.key for i in freed.entries] == [step(1).key]
    assert [i.key for i in freed.in_use] == [step(2).key]
    assert np.array_equal(artifact_read.arrays["x"][:], artifact().arrays["x"])
    del artifact_read
    store.gc(older_than_s=1800)
    assert [i.key for i in store.ls()] == [step(0).key]
    # Nothing else of the others is left.
    entries = [name for name in names(store) if name.startswith(("entries", "used"))]
    assert all(step(0).key in name for name in entries)


def test_looking_up_counts_as_use(store, address):
    store.put(WHOLE, artifact())
    before = store.ls()[0].last_used
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s and store.ls()[0].last_used == before:
        Store(address).lookup(WHOLE.key)  # S3 has whole seconds
    assert store.ls()[0].last_used > before


def test_an_entry_leased_while_it_is_removed_stays(store, monkeypatch):
    """The record is hidden, and put back when somebody leased the entry just before."""
    store.put(WHOLE, artifact())
    user, holds = Store(store.address), []
    remove = copies.Objects.remove

    def overtaken(self, gone):
        if not holds:
            holds.append(user._hold([WHOLE.key]))
        remove(self, gone)

    monkeypatch.setattr(copies.Objects, "remove", overtaken)
    assert [i.key for i in store.gc(older_than_s=0).in_use] == [WHOLE.key]
    assert store.lookup(WHOLE.key) is not None
    holds[0].release()


def test_copies_go_by_themselves(store):
    fill(store)
    local_copies = store.layout.place.copies
    assert local_copies.prune(older_than_s=None, max_bytes=10**9, dry_run=False) == (0, 0)
    n_files, size_bytes = local_copies.prune(older_than_s=0, max_bytes=None, dry_run=True)
    assert (n_files > 2, size_bytes > 0) == (True, True)
    assert local_copies.prune(older_than_s=None, max_bytes=0, dry_run=False) == (
        n_files,
        size_bytes,
    )
    assert store.lookup(BY_ROWS.key).arrays["x"][:].ravel().tolist() == [0, 1, 2, 3, 4]


def test_a_damaged_copy_is_fetched_again(store, tmp_path, monkeypatch):
    store.put(WHOLE, artifact())
    reader = elsewhere(store, monkeypatch, tmp_path)
    expected = {name: array[:].tobytes() for name, array in reader.lookup(WHOLE.key).arrays.items()}
    copied_files = list((tmp_path / "elsewhere").rglob("*.npy"))
    assert copied_files
    for copy in copied_files:
        copy.chmod(0o600)
        copy.write_bytes(b"")  # as a power cut may leave it
    reopened = Store(store.address).lookup(WHOLE.key)
    assert {name: array[:].tobytes() for name, array in reopened.arrays.items()} == expected


def test_shards_are_joined_in_several_threads(store):
    steps = [step(seed=20 + i, n_rows=6, shard_rows=1) for i in range(6)]
    failed = []

    def make(by_rows):
        try:
            shards = store.partial(by_rows)
            for start, stop in shards.missing():
                store.add_shard(shards, start, stop, rows(start, stop))
            assert store.complete(shards)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=make, args=(by_rows,)) for by_rows in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert all(len(store.lookup(by_rows.key).arrays["x"]) == 6 for by_rows in steps)
    assert list(store.verify()) == []
