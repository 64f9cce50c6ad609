import errno
import fcntl
import json
import os
from pathlib import Path

import numpy as np
import pytest
from store_toys import artifact, everything, rows, step
from toy import counting, executor

from reactions.core.errors import StoreError
from reactions.run.backend import Work
from reactions.run.worker import Worker
from reactions.store import Store, disk


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


# --- damage --------------------------------------------------------------------------


def _entry(store) -> Path:
    return next((store.root / "entries").glob("*/*"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda e: (e / "0.npy").unlink(), "0.npy cannot be read"),
        (lambda e: os.truncate(e / "1.npy", 100), "1.npy has 100 bytes instead of"),
        (lambda e: (e / "manifest.json").unlink(), "its manifest is missing"),
        (lambda e: (e / "manifest.json").write_text('{"format": 1'), "malformed"),
        (lambda e: (e / "manifest.json").write_bytes(b"\xff\xfe\x00"), "malformed"),
        (lambda e: (e / "manifest.json").write_text("[]"), "malformed"),
        (lambda e: (e / "manifest.json").write_text('{"format": 9}'), "its format is 9, not 1"),
        (lambda e: _edit(e, "key", "0" * 64), "it belongs to another step"),
        (lambda e: _edit(e, "arrays", {"x": {"dtype": "<f4", "shape": [2], "shards": []}}), "add"),
        (lambda e: _edit(e, "arrays", {"x": {"dtype": "nope", "shape": [0], "shards": []}}), "mal"),
        (lambda e: _escape(e), "not a plain file name"),
        (lambda e: (e / "manifest.json").write_text("[" * 100_000), "malformed"),
        (lambda e: (e / "manifest.json").write_text('{"a":' * 100_000), "malformed"),
        (lambda e: (e / "manifest.json").write_text('{"format": [1]}'), "its format is [1]"),
        (lambda e: os.truncate(e / "manifest.json", 8 << 30), "not a file of at most"),
        (lambda e: _edit(e, "meta", {"loss": []}), "was changed after it was written"),
        (lambda e: _edit(e, "meta", [1, 2]), "malformed"),
        (lambda e: _edit(e, "meta", {"a": float("nan")}), "malformed"),
        (lambda e: _edit(e, "label", 7), "malformed"),
        (lambda e: _edit(e, "label", "another"), "was changed after it was written"),
        (lambda e: _edit(e, "kind", ["train"]), "malformed"),
        (lambda e: _edit(e, "created", "yesterday"), "isoformat"),
        (lambda e: _edit(e, "created", 7), "malformed"),
        (lambda e: _edit(e, "preimage", []), "was changed after it was written"),
        (lambda e: _edit(e, "preimage", {"inputs": {"a": ["b"]}}), "malformed"),
        (lambda e: _edit(e, "preimage", {"params": 7}), "malformed"),
        (lambda e: _edit(e, "arrays", []), "malformed"),
        (lambda e: _edit(e, "arrays", {}), "was changed after it was written"),
        (lambda e: _change(e, dtype="|O"), "no array is stored as object"),
        (lambda e: _change(e, dtype="f4,f4"), "no array is stored as"),
        (lambda e: _change(e, dtype={"names": ["a"], "formats": ["f4"]}), "malformed"),
        (lambda e: _change(e, shape=[3, 10**12]), "too short for 3 rows"),
        (lambda e: _change(e, shape=[3, 10**30]), "malformed"),
        (lambda e: _change(e, shape=[3, -2]), "malformed"),
        (lambda e: _change(e, shape=[3.0, 2]), "malformed"),
        (lambda e: _change(e, shape=[3, True]), "malformed"),
        (lambda e: _change_shard(e, rows=float("inf")), "malformed"),
        (lambda e: _change_shard(e, rows="3"), "malformed"),
        (lambda e: _change_shard(e, size_bytes=None), "malformed"),
        (lambda e: _change_shard(e, file=[]), "malformed"),
    ],
)
def test_a_damaged_entry_is_put_aside(store, damage, reason):
    store.put(step(), artifact())
    damage(_entry(store))
    warnings = []
    reopened = Store(store.root, warn=warnings.append)
    assert reopened.lookup(step().key) is None
    assert len(warnings) == 1
    assert warnings[0].startswith(f"put aside the damaged entry {step().key[:12]}: ")
    assert reason in warnings[0]
    assert not reopened.has(step().key)
    reopened.put(step(), artifact())
    assert reopened.lookup(step().key) is not None
    assert len(list((store.root / "quarantine").iterdir())) == 1


def _edit(entry, name, value):
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest[name] = value
    (entry / "manifest.json").write_text(json.dumps(manifest))


def _change(entry, **fields):
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["arrays"]["x"].update(fields)
    (entry / "manifest.json").write_text(json.dumps(manifest))


def _change_shard(entry, **fields):
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["arrays"]["x"]["shards"][0].update(fields)
    (entry / "manifest.json").write_text(json.dumps(manifest))


def _escape(entry):
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["arrays"]["x"]["shards"][0]["file"] = "../../secret.npy"
    (entry / "manifest.json").write_text(json.dumps(manifest))


def test_an_entry_without_a_digest_is_of_an_earlier_version(store):
    store.put(step(), artifact(meta={"a": 1}))
    path = _entry(store) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    path.write_text(json.dumps(manifest))
    assert store.lookup(step().key).meta == {"a": 1}


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 10**9), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1000000000000), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), ",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 2), }",
        "{'descr': '<f4', 'fortran_order': 7, 'shape': 3, }",
        "(" * 50,
        "\x00\xff",
    ],
)
def test_a_hostile_array_is_damage(store, header):
    store.put(step(), artifact())
    path = _entry(store) / "1.npy"
    size = path.stat().st_size
    text = header.encode("latin1").ljust(117) + b"\n"
    path.write_bytes((b"\x93NUMPY\x01\x00" + bytes([118, 0]) + text).ljust(size, b"\0")[:size])
    with pytest.raises(StoreError, match="molspace cache verify --repair"):
        store.lookup(step().key).arrays["x"][:]


def test_a_folder_without_manifest_does_not_block_its_name(store):
    store.put(step(1), artifact())
    folder = store.root / "entries" / step().key[:2] / step().key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "junk").write_text("")
    store.put(step(), artifact())
    assert store.lookup(step().key) is not None


def test_an_entry_that_gc_is_removing_is_a_miss(store):
    store.put(step(), artifact())
    warnings = []
    with (_entry(store) / "manifest.json").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert Store(store.root, warn=warnings.append).lookup(step().key) is None
    assert warnings == []
    assert store.lookup(step().key) is not None


def test_damage_found_while_reading_is_an_error(store):
    store.put(step(), artifact())
    path = _entry(store) / "1.npy"
    path.write_bytes(b"\0" * path.stat().st_size)
    artifact_read = store.lookup(step().key)
    with pytest.raises(StoreError, match="molspace cache verify --repair"):
        artifact_read.arrays["x"][:]


def test_a_file_of_another_shape_is_an_error(store):
    store.put(step(), artifact())
    path = _entry(store) / "1.npy"
    np.save(path, np.zeros((2, 3), np.float32))
    with pytest.raises(StoreError, match=r"it holds float32 \(2, 3\), not float32 \(3, 2\)"):
        store.lookup(step().key).arrays["x"][:]


@pytest.fixture
def stuck(store, monkeypatch):
    """A store that has become read-only, with one damaged entry."""
    store.put(step(), artifact())
    os.truncate(_entry(store) / "1.npy", 100)

    def refuse(self, *_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("rename", "mkdir"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(os, "utime", refuse)
    return Store(store.root)


def test_a_damaged_entry_of_a_read_only_store_is_a_miss(stuck):
    assert stuck.lookup(step().key) is None


def test_who_makes_what_is_missing_gets_an_error_with_the_fix(stuck):
    with pytest.raises(StoreError, match="cannot be put aside") as caught:
        stuck.lookup_or_refuse(step().key)
    assert "1.npy has 100 bytes instead of" in caught.value.why
    assert "Read-only file system" in caught.value.why
    assert "cache verify --repair" in caught.value.fix


def test_a_run_refuses_at_once_what_it_cannot_replace(stuck, monkeypatch):
    pauses = []
    monkeypatch.setattr(disk.time, "sleep", pauses.append)
    with pytest.raises(StoreError, match="cannot be put aside"):
        executor(stuck).run([step()])
    last = counting([], "last", inputs=[("source", step())])
    worker = Worker(stuck, "cpu", load_encoder=None)
    with pytest.raises(StoreError, match="cannot be put aside"):
        worker.perform(Work.of([last]), print)
    assert pauses == []


# --- versions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda s: s.lookup(step().key),
        lambda s: s.has(step().key),
        lambda s: s.put(step(), artifact()),
        lambda s: s.partial(step(n_rows=4, shard_rows=4)),
        lambda s: s.ls(),
        lambda s: s.explain(step()),
        lambda s: list(s.verify()),
        lambda s: s.gc(),
    ],
)
def test_a_store_of_another_version_is_refused(store, use):
    store.put(step(), artifact())
    (store.root / "store.json").write_text('{"format": 7}')
    before = everything(store.root)
    with pytest.raises(StoreError) as caught:
        use(Store(store.root))
    assert "has format 7, this version reads format 1" in caught.value.what
    assert "MOLSPACE_CACHE" in caught.value.fix
    assert caught.value.fields["found"] == 7
    assert everything(store.root) == before


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[]", "nonsense", "[" * 50_000, " " * 70_000])
def test_an_unreadable_version_is_refused(store, text):
    store.root.mkdir()
    (store.root / "store.json").write_text(text)
    with pytest.raises(StoreError, match="cannot tell the version"):
        store.lookup(step().key)


# --- disk errors ---------------------------------------------------------------------


def _failing(call, number, after):
    """Fail ``call`` with an errno after it has worked some times."""
    n_left = [after]

    def fail(*args, **kwargs):
        if n_left[0] == 0:
            raise OSError(number, os.strerror(number))
        n_left[0] -= 1
        return call(*args, **kwargs)

    return fail


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "Input/output error"),
    ],
)
@pytest.mark.parametrize("after", range(4))
def test_a_failing_disk_leaves_nothing_half_written(store, monkeypatch, number, reason, after):
    store.put(step(1), artifact())
    before = everything(store.root)
    monkeypatch.setattr(os, "fsync", _failing(os.fsync, number, after))
    if after < 3:  # two arrays and the manifest
        with pytest.raises(StoreError, match="cannot write to the store") as caught:
            store.put(step(), artifact())
        assert reason in caught.value.why
        assert caught.value.fix
        assert caught.value.fields["errno"] == number
        assert everything(store.root) == before
        assert store.lookup(step().key) is None
    else:  # folders are flushed where the platform can
        store.put(step(), artifact())
        assert store.lookup(step().key) is not None
    assert list((store.root / "tmp").iterdir()) == []


def test_no_space_for_a_shard_keeps_the_others(store, monkeypatch):
    sharded = step(n_rows=8, shard_rows=4)
    shards = store.partial(sharded)
    store.add_shard(shards, 0, 4, rows(0, 4))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _failing(os.fsync, errno.ENOSPC, 0))
        with pytest.raises(StoreError, match="no space left"):
            store.add_shard(shards, 4, 8, rows(4, 8))
    assert store.partial(sharded).missing() == [(4, 8)]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_root_that_cannot_be_made(store, monkeypatch, number):
    monkeypatch.setattr(Path, "mkdir", _failing(Path.mkdir, number, 0))
    with pytest.raises(StoreError, match="cannot write to the store") as caught:
        store.put(step(), artifact())
    assert "MOLSPACE_CACHE" in caught.value.fix
    assert not store.root.exists()


def test_a_file_where_the_root_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="cannot write to the store"):
            Store(root).put(step(), artifact())


def test_unreadable_stores_say_so(store, monkeypatch):
    store.put(step(), artifact())
    monkeypatch.setattr(Path, "read_bytes", _failing(Path.read_bytes, errno.EACCES, 0))
    with pytest.raises(StoreError, match="cannot read the store") as caught:
        store.lookup(step().key)
    assert "permission denied" in caught.value.why


def test_shards_that_cannot_be_listed_are_a_store_error(store, monkeypatch):
    shards = store.partial(step(n_rows=8, shard_rows=4))
    monkeypatch.setattr(os, "listdir", _failing(os.listdir, errno.EIO, 0))
    with pytest.raises(StoreError, match="cannot read the store"):
        shards.missing()
