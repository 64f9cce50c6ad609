import errno
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from store_toys import artifact, everything, rows, step

from reactions.core.errors import StepError
from reactions.core.paths import cache_root
from reactions.core.step import Artifact
from reactions.store import ShardedRows, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def test_default_roots(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("MOLSPACE_CACHE", raising=False)
    assert cache_root() == tmp_path / ".cache" / "molspace"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/xdg/molspace")
    monkeypatch.setenv("MOLSPACE_CACHE", "~/mine")
    assert cache_root() == tmp_path / "mine"
    assert Store().root == tmp_path / "mine"


def test_looking_up_creates_nothing(store):
    assert store.lookup(step().key) is None
    assert not store.has(step().key)
    assert store.ls() == []
    assert list(store.verify()) == []
    assert store.explain(step()) == "no earlier train step"
    store.gc(older_than_s=0)
    assert not store.root.exists()


def _base(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return array


def test_large_arrays_are_memory_mapped(store):
    # Small ones are read: each map would keep a file descriptor open.
    store.put(step(), Artifact({"x": np.arange(600_000.0).reshape(-1, 2), "y": np.ones((3, 2))}))
    artifact_read = Store(store.root).lookup(step().key)
    x, y = (artifact_read.arrays[name][:] for name in "xy")
    assert isinstance(_base(x), mmap.mmap)
    assert _base(y) is None
    assert not x.flags.writeable
    assert not y.flags.writeable
    assert np.array_equal(x.ravel(), np.arange(600_000.0))
    assert np.array_equal(y, np.ones((3, 2)))


def test_what_is_put_is_found(store):
    store.put(step(), artifact(meta={"loss": [0.5, 0.25]}))
    assert store.has(step().key)
    artifact_read = Store(store.root).lookup(step().key)
    assert artifact_read.meta == {"loss": [0.5, 0.25]}
    assert set(artifact_read.arrays) == {"x", "0.bias"}
    x = artifact_read.arrays["x"]
    assert isinstance(x, ShardedRows)
    assert (x.shape, x.dtype) == ((3, 2), np.float32)
    assert np.array_equal(x.to_array(), artifact().arrays["x"])
    assert not x[:].flags.writeable
    assert np.array_equal(artifact_read.arrays["0.bias"].to_array(), np.ones(4))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 5), np.float16),
        np.zeros((3, 0), np.float32),
        np.array([True, False]),
        np.array(["a", "längér"]),
        np.arange(24, dtype=">i4").reshape(4, 3, 2),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(20.0).reshape(10, 2)[::2],
    ],
    ids=["no rows", "no columns", "bool", "text", "big endian", "fortran", "strided"],
)
def test_any_array_comes_back_equal(store, array):
    store.put(step(), Artifact({"x": array}))
    back = store.lookup(step().key).arrays["x"]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back.to_array(), array)
    assert np.array_equal(np.load(next(store.root.rglob("0.npy"))), array)
    assert list(store.verify()) == []


def test_large_arrays_are_written_in_chunks(store, monkeypatch):
    monkeypatch.setattr("reactions.store.files._CHUNK_BYTES", 100)
    array = np.arange(3000.0).reshape(300, 10)
    store.put(step(), Artifact({"x": array}))
    assert np.array_equal(store.lookup(step().key).arrays["x"].to_array(), array)
    assert list(store.verify()) == []


def test_the_first_of_two_results_stays(store):
    store.put(step(), artifact(3))
    store.put(step(), artifact(5))
    assert len(store.lookup(step().key).arrays["x"]) == 3
    assert everything(store.root / "tmp") == []


def test_only_finished_names_are_visible(store):
    store.put(step(), artifact())
    key = step().key
    assert everything(store.root) == [
        "entries.index",
        *(f"entries/{key[:2]}/{key}/{name}" for name in ("0.npy", "1.npy", "manifest.json")),
        "store.json",
    ]


# --- shards --------------------------------------------------------------------------


def test_shards_become_one_entry(store):
    sharded = step(n_rows=10, shard_rows=4)
    shards = store.partial(sharded)
    assert shards.missing() == [(0, 4), (4, 8), (8, 10)]
    for start, stop in shards.missing():
        store.add_shard(shards, start, stop, rows(start, stop, unit="u"))
    assert store.lookup(sharded.key) is None
    store.complete(shards)
    artifact_read = store.lookup(sharded.key)
    assert np.array_equal(artifact_read.arrays["x"].to_array().ravel(), np.arange(10))
    assert artifact_read.meta == {"unit": "u"}
    assert everything(store.root / "partial") == []
    assert list(store.verify()) == []


def test_another_run_resumes_with_another_shard_size(store):
    shards = store.partial(step(n_rows=10, shard_rows=4))
    store.add_shard(shards, 4, 8, rows(4, 8))
    finer = Store(store.root).partial(step(n_rows=10, shard_rows=3))
    assert finer.finished == [(4, 8)]
    assert finer.missing() == [(0, 3), (3, 4), (8, 10)]
    for start, stop in finer.missing():
        store.add_shard(finer, start, stop, rows(start, stop))
    store.complete(finer)
    x = store.lookup(step().key).arrays["x"]
    assert np.array_equal(x.to_array().ravel(), np.arange(10))


def test_no_rows_make_one_empty_shard(store):
    shards = store.partial(step(n_rows=0, shard_rows=4))
    assert shards.missing() == [(0, 0)]
    store.add_shard(shards, 0, 0, rows(0, 0))
    assert shards.missing() == []
    store.complete(shards)
    assert store.lookup(step().key).arrays["x"].shape == (0, 1)


@pytest.mark.parametrize("damage", ["flip", "shorten", "manifest", "other key"])
def test_a_damaged_shard_is_made_again(store, damage):
    sharded = step(n_rows=8, shard_rows=4)
    shards = store.partial(sharded)
    store.add_shard(shards, 0, 4, rows(0, 4))
    store.add_shard(shards, 4, 8, rows(4, 8))
    folder = store.root / "partial" / sharded.key / "4-8"
    if damage == "flip":
        data = bytearray((folder / "0.npy").read_bytes())
        data[-1] ^= 1
        (folder / "0.npy").write_bytes(data)
    elif damage == "shorten":
        os.truncate(folder / "0.npy", 40)
    elif damage == "manifest":
        (folder / "shard.json").write_text("{")
    else:
        text = (folder / "shard.json").read_text()
        (folder / "shard.json").write_text(text.replace(sharded.key, "0" * 64))
    warnings = []
    reopened = Store(store.root, warn=warnings.append).partial(sharded)
    assert reopened.missing() == [(4, 8)]
    assert len(warnings) == 1
    assert "dropped rows 4-8 of 'toy'" in warnings[0]


def test_overlapping_shards_of_an_unlocked_twin_are_dropped(store):
    first, second = (store.partial(step(n_rows=8, shard_rows=n)) for n in (4, 3))
    store.add_shard(first, 0, 4, rows(0, 4))
    store.add_shard(second, 3, 6, rows(3, 6))
    assert store.partial(step(n_rows=8, shard_rows=4)).finished == [(0, 4)]


def test_shards_of_an_unlocked_twin_that_differ_are_dropped(store, tmp_path):
    sharded, twin = step(n_rows=8, shard_rows=4), Store(tmp_path / "twin")
    store.add_shard(store.partial(sharded), 0, 4, rows(0, 4, seen="one"))
    twin.add_shard(twin.partial(sharded), 4, 8, rows(4, 8, seen="other"))
    (twin_shard,) = twin.root.glob("partial/*/4-8")
    twin_shard.rename(store.root / twin_shard.relative_to(twin.root))
    with pytest.raises(StepError, match="unlike earlier ones"):
        store.complete(store.partial(sharded, verify=False))
    assert store.partial(step(n_rows=8, shard_rows=4)).finished == [(0, 4)]


def test_rows_beyond_the_steps_are_dropped(store):
    store.add_shard(store.partial(step(n_rows=8, shard_rows=4)), 4, 8, rows(4, 8))
    assert store.partial(step(n_rows=6, shard_rows=4)).finished == []


@pytest.mark.parametrize(
    "odd",
    [
        Artifact({"x": np.zeros((4, 1), np.float32)}),
        Artifact({"x": np.zeros((4, 2), np.int64)}),
        Artifact({"y": np.zeros((4, 1), np.int64)}),
        rows(4, 8, seen=4),
    ],
    ids=["type", "width", "name", "meta"],
)
def test_shards_must_agree(store, odd):
    shards = store.partial(step(n_rows=8, shard_rows=4))
    store.add_shard(shards, 0, 4, rows(0, 4))
    with pytest.raises(StepError, match="unlike earlier ones"):
        store.add_shard(shards, 4, 8, odd)
    assert shards.finished == [(0, 4)]


def test_shards_are_copied_where_there_are_no_links(store, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    shards = store.partial(step(n_rows=4, shard_rows=4))
    store.add_shard(shards, 0, 4, rows(0, 4))
    store.complete(shards)
    assert np.array_equal(store.lookup(step().key).arrays["x"].to_array().ravel(), range(4))
    assert list(store.verify()) == []


# --- platforms -----------------------------------------------------------------------


def test_all_works_without_locks(store, monkeypatch):
    monkeypatch.setattr("reactions.store.locks._fcntl", None)
    with store.lock(step().key):
        store.put(step(), artifact())
    assert store.lookup(step().key) is not None
    assert len(store.gc(older_than_s=0).entries) == 1


def test_importing_the_store_needs_neither_fcntl_nor_torch():
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'fcntl' else find(name, *a)\n"
        "import reactions.store\n"
        "assert 'torch' not in sys.modules\n"
        "assert reactions.store.locks._fcntl is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
