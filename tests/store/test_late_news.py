"""A network file system that does not show at once what another machine has made."""

import os
from pathlib import Path

import pytest
from store_toys import artifact, step
from toy import by_rows, counting, executor
from toy_steps import make_step

from reactions.core.errors import StepError
from reactions.run.backend import Work
from reactions.run.worker import Worker
from reactions.store import Partial, Store, disk


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "SETTLING_S", (0.0,) * 6)
    return Store(tmp_path / "store")


class Forgetful:
    """A client that remembers names that were not there until it opens the folder they are in."""

    def __init__(self, monkeypatch, *names):
        self._absent = set(names)
        opened, listed, stat = os.open, os.listdir, os.stat

        def open_(path, *args, **options):
            self._check(path)
            self._absent = {p for p in self._absent if p.parent != Path(path)}
            return opened(path, *args, **options)

        def listdir(path):
            self._check(path)
            return listed(path)

        def stat_(path, *args, **options):
            self._check(path)
            return stat(path, *args, **options)

        monkeypatch.setattr(os, "open", open_)
        monkeypatch.setattr(os, "listdir", listdir)
        monkeypatch.setattr(os, "stat", stat_)

    def _check(self, path):
        path = Path(path) if isinstance(path, str | Path) else Path()
        if self._absent & {path, *path.parents}:
            raise FileNotFoundError(2, "stale", str(path))


@pytest.mark.parametrize("level", [0, 1])
def test_what_was_not_there_before_is_found(store, monkeypatch, level):
    store.put(step(), artifact())
    folder = store.layout.entry(step().key)
    Forgetful(monkeypatch, [folder, folder.parent][level])
    assert store.has(step().key)
    Forgetful(monkeypatch, [folder, folder.parent][level])
    assert store.lookup(step().key) is not None


def test_the_first_shard_that_another_made_is_found(store, monkeypatch):
    sharded_step = step(n_rows=3)
    shards = store.partial(sharded_step)
    store.add_shard(shards, 0, 3, artifact())
    Forgetful(monkeypatch, store.layout.partial / sharded_step.key)
    assert store.partial(sharded_step, verify=False).finished == [(0, 3)]


class Late(Store):
    """Misses what is there, as often as ``late`` says."""

    late = 0

    def lookup_or_refuse(self, key):
        entry = super().lookup_or_refuse(key)
        if entry is not None and self.late:
            self.late -= 1
            return None
        return entry


def test_a_result_that_is_not_seen_yet_has_not_vanished(store, monkeypatch):
    late_store = Late(store.root)
    put = Store.put

    def put_late(self, *args, **options):
        put(self, *args, **options)
        late_store.late = 4

    monkeypatch.setattr(Store, "put", put_late)
    made_here = executor(late_store).run([counting([], "whole")])
    assert len(made_here) == 1
    assert late_store.late == 0


def test_an_input_that_is_not_seen_yet_has_not_vanished(store):
    source = counting([], "source")
    executor(store).run([source])
    last = counting(ran := [], "last", inputs=[("source", source)])
    late_store = Late(store.root)
    late_store.late = 4
    worker = Worker(late_store, "cpu", load_encoder=None)
    assert worker.perform(Work.of([last]), print)
    assert ran == ["last"]
    late_store.late = 99
    worker.drop()
    with pytest.raises(StepError, match="vanished from the store"):
        worker.perform(Work.of([last]), print)


def test_shards_that_are_not_seen_yet_are_joined_all_the_same(store, monkeypatch):
    sharded_step = by_rows([], 4, 2)
    worker = Worker(store, "cpu", load_encoder=None)
    for rows in ((0, 2), (2, 4)):
        worker.perform(Work.of([sharded_step], rows), print)
    missing, stale = Partial.missing, [[(2, 4)]] * 3
    monkeypatch.setattr(Partial, "missing", lambda self: stale.pop() if stale else missing(self))
    assert worker.perform(Work.of([sharded_step]), print)
    assert store.has(sharded_step.key)


def test_who_outlived_a_twin_saves_nothing(store):
    """It was taken for dead while it trained; the other has made the result."""
    saves = []

    def run(context, inputs, start, stop):
        context.save({"x": artifact().arrays["x"]})
        saves.append(folder.exists())
        Store(store.root).put(late_step, artifact())
        context.save({"x": artifact().arrays["x"]})
        saves.append(folder.exists())
        raise KeyboardInterrupt

    late_step = make_step("train", "late", {}, (), run)
    folder = store.layout.partial / late_step.key
    with pytest.raises(KeyboardInterrupt):
        Worker(store, "cpu", load_encoder=None).perform(Work.of([late_step]), print)
    assert saves == [True, False]
