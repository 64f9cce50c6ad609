"""Reuse reads the manifests of equal steps alone, whatever else a store holds."""

import json
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_steps import make_step

from reactions.core.hashing import digest
from reactions.core.step import Artifact, Step
from reactions.data.scan_cache import ScanTable, TableCache
from reactions.store import Store
from reactions.store.disk import Disk
from reactions.store.index import Index
from reactions.store.manifest import EntryManifest
from reactions.store.places import StorePlace
from reactions.store.reuse import reuse_rows

N_OTHERS = 2000


class Numbers:
    """A corpus that knows what it holds: each item is a number."""

    modality = "image"

    def __init__(self, *numbers: int) -> None:
        self.name = "numbers"
        self.numbers = numbers
        self.digest = digest("numbers", numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def items(self, start: int, stop: int) -> list:
        raise AssertionError("no item is opened")

    def tags(self):
        return ((str(number), f"raw:{number}") for number in self.numbers)


def step_of(corpus: Numbers, space: str = "IB", kind: str = "embed") -> Step:
    params = {"space": space, "corpus": corpus.digest}
    options = {"n_rows": len(corpus), "shard_rows": 2}
    return make_step(kind, "toy", params, (), lambda *_: None, **options)


def embed(store: Store, corpus: Numbers, space: str = "IB") -> int:
    """Make a step's entry, and return how many of its rows were there before."""
    step = step_of(corpus, space)
    shards = store.partial(step)
    n_reused = reuse_rows(store, shards, step, corpus)
    for start, stop in shards.missing():
        rows = np.array(corpus.numbers[start:stop], np.float32)[:, None]
        store.add_shard(shards, start, stop, Artifact({"x": rows}))
    store.complete(shards)
    entry = store.lookup(step.key)
    assert entry is not None
    np.testing.assert_array_equal(entry.arrays["x"][:][:, 0], corpus.numbers)
    return n_reused


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the manifests that are read, of entries and of shards."""
    names: list[str] = []
    read_manifest = EntryManifest.read

    def counted(path: Path, place: StorePlace) -> EntryManifest:
        names.append(str(path))
        return read_manifest(path, place)

    monkeypatch.setattr(EntryManifest, "read", counted)
    load = Disk.load_all

    def counted_too(self: Disk, folders: Iterable[Path], record: str) -> Iterator[Any]:
        for folder, data in load(self, folders, record):
            names.append(str(folder / record))
            yield folder, data

    monkeypatch.setattr(Disk, "load_all", counted_too)
    return names


def publish_unlisted(store: Store, step: Step) -> None:
    """Publish an entry without an index, as earlier versions do."""
    folder = store.layout.entry(step.key)
    folder.mkdir(parents=True)
    manifest = EntryManifest(step.key, step.kind, step.label, step.preimage, {}, {})
    (folder / "manifest.json").write_text(json.dumps(manifest.to_json()))


def others(n: int) -> list[Step]:
    """Steps of other spaces and corpora, and steps that no corpus went into."""
    steps = [step_of(Numbers(i), f"space {i % 7}") for i in range(n // 2)]
    return steps + [
        make_step("train", "toy", {"seed": i}, (), lambda *_: None) for i in range(n - len(steps))
    ]


def test_a_large_store_opens_only_the_manifests_concerned(store, opened):
    embed(store, Numbers(1, 2, 3, 4))
    for step in others(N_OTHERS):
        publish_unlisted(store, step)
        store.index.add(step.key, step.kind, step.preimage)  # as ``put`` does
    del opened[:]
    corpus = Numbers(1, 2, 3, 5)
    assert embed(store, corpus) == 2
    first, last = step_of(Numbers(1, 2, 3, 4)).key, step_of(corpus).key
    assert all(first in path or last in path for path in opened)
    assert sum(path.endswith(f"{first}/manifest.json") for path in opened) == 1


def test_what_is_put_is_listed(store, opened):
    for step in others(20):
        store.put(step, Artifact({"x": np.zeros((1, 1), np.float32)}))
    assert Index(store.layout).keys("embed", step_of(Numbers(1, 2)).preimage) == []
    assert opened == []


def test_a_store_of_an_earlier_version_is_listed_once(store, opened):
    embed(store, Numbers(1, 2, 3, 4))
    for step in others(N_OTHERS):
        publish_unlisted(store, step)
    (store.root / "entries.index").unlink()
    del opened[:]
    assert embed(store, Numbers(1, 2, 9)) == 2
    assert len(opened) > N_OTHERS
    del opened[:]
    assert embed(Store(store.root), Numbers(3, 4, 8)) == 2
    assert len(opened) < 10


def test_entries_that_another_version_adds_are_found(store, opened):
    embed(store, Numbers(1, 2))
    other = Store(store.root.parent / "other")
    corpus = Numbers(3, 4)
    embed(other, corpus)
    embed(other, Numbers(6, 7), "CLAP")
    key = step_of(corpus).key
    for folder in (other.root / "entries").glob("*/*"):
        shutil.copytree(folder, store.layout.entry(folder.name))
    for file in (other.root / "corpora").iterdir():
        shutil.copy(file, store.root / "corpora")
    assert key not in (store.root / "entries.index").read_text()
    assert embed(store, Numbers(1, 2, 3, 4, 5)) == 4
    assert key in (store.root / "entries.index").read_text()


def test_shards_of_an_earlier_version_are_found(store):
    corpus = Numbers(1, 2, 3, 4)
    step = step_of(corpus)
    shards = store.partial(step)
    reuse_rows(store, shards, step, corpus)
    store.add_shard(shards, 0, 2, Artifact({"x": np.array([[1], [2]], np.float32)}))
    (store.root / "entries.index").unlink()
    # Where earlier versions keep what a corpus held.
    (path,) = (store.root / "corpora").glob("rows-*.npy")
    tables = TableCache(store.root / "corpora")
    tables.put(path.stem, corpus.digest, ScanTable({"mark": np.load(path)}))
    path.unlink()
    assert embed(store, Numbers(1, 2, 5)) == 2


@pytest.mark.parametrize("damage", ["", "\0\xff\n", "x" * 64 + " " + "-" * 64 + "\n"])
def test_a_damaged_index_costs_time_alone(store, damage):
    embed(store, Numbers(1, 2, 3, 4))
    path = store.root / "entries.index"
    path.write_text(damage + path.read_text()[:70], encoding="latin-1")  # and half a line
    assert embed(store, Numbers(1, 2, 9)) == 2
    assert embed(store, Numbers(3, 4, 8)) == 2


def test_what_the_index_says_is_held_against_the_manifest(store):
    embed(store, Numbers(1, 2, 3, 4), "CLAP")
    path = store.root / "entries.index"
    embed(store, Numbers(7, 8), "IB")
    lines = dict(line.split() for line in path.read_text().splitlines())
    lie = lines[step_of(Numbers(7, 8), "IB").key]
    path.write_text("".join(f"{key} {lie}\n" for key in lines))
    assert embed(store, Numbers(1, 2, 5), "IB") == 0


def test_many_add_to_the_index_at_once(store):
    store.prepare()
    steps = others(400)
    with ThreadPoolExecutor(8) as pool:
        for step in steps:
            index = Index(store.layout)  # as in processes of their own
            pool.submit(index.add, step.key, step.kind, step.preimage)
    lines = (store.root / "entries.index").read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(step.key for step in steps)


def test_gc_drops_the_lines_of_what_is_gone(store):
    embed(store, Numbers(1, 2))
    embed(store, Numbers(1, 2, 3))
    kept_key = step_of(Numbers(1, 2)).key
    index = store.root / "entries.index"
    before = index.read_text()
    store.gc(keep={kept_key}, dry_run=True)
    assert index.read_text() == before
    store.gc(keep={kept_key})
    assert [line.split()[0] for line in index.read_text().splitlines()] == [kept_key]
    assert embed(store, Numbers(1, 2, 4)) == 2
