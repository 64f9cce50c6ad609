import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from toy_steps import make_step

from reactions.core.step import Artifact
from reactions.store import Store, files, locks

HOUR_S = 3600.0


def step(seed, *, n_rows=None):
    return make_step(
        "train",
        f"toy {seed}",
        {"seed": seed},
        (),
        lambda *_: Artifact({}),
        n_rows=n_rows,
        shard_rows=2,
    )


def artifact(n=100):
    return Artifact({"x": np.arange(float(n))[:, None]})


@pytest.fixture
def store(tmp_path):
    """Entries 0 to 3, last used 4, 3, 2 and 1 hours ago."""
    store = Store(tmp_path / "cache")
    for seed in range(4):
        store.put(step(seed), artifact())
        used(store, seed, (4 - seed) * HOUR_S)
    return store


def folder(store, seed):
    key = step(seed).key
    return store.root / "entries" / key[:2] / key


def used(store, seed, ago_s):
    used_s = time.time() - ago_s
    os.utime(folder(store, seed) / "manifest.json", (used_s, used_s))


def seeds_left(store):
    return [seed for seed in range(4) if store.has(step(seed).key)]


def test_ls(store):
    infos = store.ls()
    assert [(i.kind, i.label) for i in infos] == [("train", f"toy {seed}") for seed in range(4)]
    sizes = [sum(p.stat().st_size for p in folder(store, n).iterdir()) for n in range(4)]
    assert [i.size_bytes for i in infos] == sizes
    assert all(i.last_used.tzinfo and i.created.tzinfo for i in infos)
    assert infos[0].last_used < infos[3].last_used
    (folder(store, 1) / "manifest.json").write_text("")
    assert [i.label for i in store.ls()] == ["toy 0", "toy 2", "toy 3"]


def test_looking_up_counts_as_use(store):
    before = store.ls()[0].last_used
    store.has(step(0).key)
    assert store.ls()[0].last_used == before
    store.lookup(step(0).key)
    assert store.ls()[0].last_used > before


# --- verify --------------------------------------------------------------------------


def test_verify_finds_what_lookup_cannot(store):
    assert list(store.verify()) == []
    path = folder(store, 2) / "0.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert store.lookup(step(2).key) is not None
    (problem,) = store.verify()
    assert (problem.key, problem.label) == (step(2).key, "toy 2")
    assert problem.what == "0.npy does not have the recorded digest"
    assert seeds_left(store) == [0, 1, 2, 3]


def test_verify_can_repair(store):
    (folder(store, 0) / "manifest.json").unlink()
    (folder(store, 1) / "0.npy").unlink()
    (folder(store, 2) / "manifest.json").write_text("{")
    folder(store, 3).rename(folder(store, 3).with_name(step(9).key))
    problems = list(store.verify(repair=True))
    assert [problem.what.split(" (")[0] for problem in sorted(problems, key=lambda p: p.what)] == [
        "0.npy cannot be read",
        f"it says it is {step(3).key[:12]}",
        "its manifest is malformed",
        "its manifest is missing",
    ]
    assert len(list((store.root / "quarantine").iterdir())) == 4
    assert list(store.verify()) == []
    assert seeds_left(store) == []


# --- gc ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criteria", "remaining"),
    [
        ({}, [0, 1, 2, 3]),
        ({"older_than_s": 2.5 * HOUR_S}, [2, 3]),
        ({"older_than_s": 0}, []),
        ({"keep": {1, 3}}, [1, 3]),
        ({"keep": set()}, []),
        ({"keep": {0}, "older_than_s": 2.5 * HOUR_S}, [0, 2, 3]),
        ({"max_bytes": 0}, []),
        ({"max_bytes": 10**9}, [0, 1, 2, 3]),
        ({"max_entries": 2}, [2, 3]),
        ({"max_entries": 2, "keep": {0}}, [0, 3]),
    ],
)
def test_gc_removes_what_its_criteria_say(store, criteria, remaining):
    sizes = {info.label: info.size_bytes for info in store.ls()}
    if "keep" in criteria:
        criteria = {**criteria, "keep": {step(seed).key for seed in criteria["keep"]}}
    if "max_entries" in criteria:
        n = criteria.pop("max_entries") if isinstance(criteria, dict) else 0
        criteria = {**criteria, "max_bytes": n * max(sizes.values())}
    would = store.gc(**criteria, dry_run=True)
    assert seeds_left(store) == [0, 1, 2, 3]
    freed = store.gc(**criteria)
    assert seeds_left(store) == remaining
    labels_removed = [f"toy {seed}" for seed in range(4) if seed not in remaining]
    assert [info.label for info in freed.entries] == labels_removed  # least recently used first
    assert freed.size_bytes == sum(sizes[label] for label in labels_removed)
    assert would == freed
    assert freed.in_use == ()
    assert list((store.root / "tmp").iterdir()) == []


def test_gc_spares_what_is_being_read(store):
    reader = Store(store.root)
    artifact_read = reader.lookup(step(0).key)
    freed = store.gc(max_bytes=0)
    assert [info.label for info in freed.in_use] == ["toy 0"]
    assert seeds_left(store) == [0]
    assert np.array_equal(artifact_read.arrays["x"].to_array(), artifact().arrays["x"])
    del artifact_read
    store.gc(max_bytes=0)
    assert seeds_left(store) == []


def test_rows_outlive_their_artifact(store):
    x = store.lookup(step(0).key).arrays["x"]
    assert store.gc(max_bytes=0).in_use[0].label == "toy 0"
    assert len(x[:]) == 100


def test_gc_removes_debris(store):
    old = [store.root / "tmp" / "old", store.root / "quarantine" / "bad"]
    young = store.root / "tmp" / "young"
    for path in (*old, young):
        path.mkdir(parents=True)
        (path / "0.npy").write_bytes(b"x" * 10)
    os.utime(old[0], (0, 0))
    assert store.gc(dry_run=True).size_bytes == 20
    freed = store.gc()
    assert set(freed.debris) == set(old)
    assert freed.size_bytes == 20
    assert [path.exists() for path in (*old, young)] == [False, False, True]
    assert seeds_left(store) == [0, 1, 2, 3]


def unfinished(store, seed, idle_s):
    shards = store.partial(step(seed, n_rows=4))
    store.add_shard(shards, 0, 2, Artifact({"x": np.zeros((2, 1))}))
    path = store.root / "partial" / step(seed).key
    os.utime(path, (time.time() - idle_s,) * 2)
    return path


def test_unfinished_work_is_kept_a_week(store):
    recent, old = unfinished(store, 10, HOUR_S), unfinished(store, 11, 8 * 24 * HOUR_S)
    assert store.gc(dry_run=True).debris == (old,)
    assert old.exists()
    assert store.gc().debris == (old,)
    assert recent.exists()
    assert not old.exists()
    store.gc(older_than_s=60, keep={step(10).key})
    assert recent.exists()
    store.gc(older_than_s=60)
    assert not recent.exists()


def test_unfinished_work_that_was_finished_goes(store):
    path = unfinished(store, 1, 0)
    assert store.gc().debris == (path,)


def test_work_in_progress_stays(store):
    path = unfinished(store, 10, 30 * 24 * HOUR_S)
    lock_taken, release = threading.Event(), threading.Event()

    def work():
        with Store(store.root).lock(step(10).key):
            lock_taken.set()
            release.wait(120)

    worker = threading.Thread(target=work)
    worker.start()
    lock_taken.wait(120)
    assert store.gc().debris == ()
    assert path.exists()
    release.set()
    worker.join()
    assert store.gc().debris == (path,)


def test_a_folder_being_written_is_not_debris(store):
    with files.temporary_folder(store.root / "tmp") as path:
        os.utime(path, (0, 0))
        assert store.gc().debris == ()
        assert path.exists()
    assert not path.exists()


def test_the_first_write_sweeps_up(store):
    debris = store.root / "tmp" / "old"
    debris.mkdir()
    os.utime(debris, (0, 0))
    fresh = Store(store.root)
    fresh.lookup(step(0).key)
    assert debris.exists()
    fresh.put(step(5), artifact())
    assert not debris.exists()


# --- locks ---------------------------------------------------------------------------


def test_a_lock_file_removed_by_its_last_holder_is_not_a_lock(tmp_path, monkeypatch):
    path = tmp_path / "locks" / "a.lock"
    try_lock, calls = locks.try_lock, []

    def removed_meanwhile(fd):
        if not calls:
            path.unlink()
        calls.append(fd)
        return try_lock(fd)

    monkeypatch.setattr(locks, "try_lock", removed_meanwhile)
    with locks.locked(path) as lock:
        assert lock
        assert len(calls) == 2
        assert path.read_text().split()[0] == str(os.getpid())
    assert not path.exists()


def test_a_repair_that_fails_says_so(store, monkeypatch):
    (folder(store, 0) / "0.npy").unlink()
    (folder(store, 0) / "manifest.json").write_text("{")
    (folder(store, 1) / "0.npy").unlink()
    rename = Path.rename

    def refuse(self, target):
        if self == folder(store, 0):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    warnings = []
    store.warn = warnings.append
    assert [problem.is_repaired for problem in store.verify()] == [False, False]
    monkeypatch.setattr(Path, "rename", refuse)
    repaired = {problem.key: problem.is_repaired for problem in store.verify(repair=True)}
    assert repaired == {step(0).key: False, step(1).key: True}
    assert sorted(warning.split(":")[0] for warning in warnings) == sorted(
        [
            f"the damaged entry {step(0).key[:12]} cannot be put aside, and is not used",
            f"put aside the damaged entry {step(1).key[:12]}",
        ]
    )
