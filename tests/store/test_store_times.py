"""How long a result took is remembered beside it."""

import json

import pytest
from store_toys import artifact, rows, step
from toy import by_rows, counting, executor

from reactions.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def test_the_time_of_a_result_is_listed(store):
    store.put(step(1), artifact(), seconds=2.5)
    store.put(step(2), artifact())
    assert {entry.key: entry.seconds for entry in store.ls()} == {
        step(1).key: 2.5,
        step(2).key: None,
    }


def test_the_times_of_shards_are_added(store):
    sharded_step = step(n_rows=4)
    shards = store.partial(sharded_step)
    store.add_shard(shards, 0, 2, rows(0, 2), seconds=1.0)
    store.add_shard(shards, 2, 4, rows(2, 4), seconds=0.25)
    assert store.complete(shards)
    assert [entry.seconds for entry in store.ls()] == [1.25]


def test_one_shard_of_unknown_time_makes_the_whole_unknown(store):
    sharded_step = step(n_rows=4)
    shards = store.partial(sharded_step)
    store.add_shard(shards, 0, 2, rows(0, 2), seconds=1.0)
    store.add_shard(shards, 2, 4, rows(2, 4))
    assert store.complete(shards)
    assert [entry.seconds for entry in store.ls()] == [None]


@pytest.mark.parametrize("value", [-1, True, "1", [1]])
def test_a_time_that_is_none_is_damage(store, value):
    store.put(step(), artifact(), seconds=1.0)
    path = next(store.root.glob("entries/*/*/manifest.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": value}))
    assert store.ls() == []
    assert store.lookup(step().key) is None


def test_runs_remember_times(store):
    ran = []
    executor(store).run([counting(ran, "whole"), by_rows(ran, 5, 2)])
    times = [entry.seconds for entry in store.ls()]
    assert len(times) == 2
    assert all(seconds is not None and seconds >= 0 for seconds in times)
