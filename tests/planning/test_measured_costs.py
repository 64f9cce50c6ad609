"""What encoding a corpus took foretells what it takes for a larger one."""

import pytest
from store_toys import rows

from reactions.core.types import SpaceSpec
from reactions.planning.measured_costs import recorded_seconds, seconds_by_rows, whole_seconds
from reactions.steps.embed import EmbedLeaf
from reactions.store import Store
from reactions.store.made_by import Hardware

SPEC = SpaceSpec("toy", 1, ("text",), "toy", "memory", weights_digest="a" * 64)
OTHER = SpaceSpec("other", 1, ("text",), "toy", "memory", weights_digest="b" * 64)
CPU = Hardware("cpu", "x")


class Corpus:
    def __init__(self, name, n):
        self.name, self.modality, self.digest, self._n = name, "text", name * 64, n

    def __len__(self):
        return self._n


def embed(spec, name, n):
    return EmbedLeaf(space=spec, corpus=Corpus(name, n), dtype="float32", shard_rows=5)


@pytest.fixture
def store(tmp_path):
    """One in which ten rows of one corpus were encoded in 4 s, and five taken over."""
    store, small = Store(tmp_path / "store"), embed(SPEC, "1", 15)
    shards = store.partial(small)
    for start, seconds, hardware in ((0, 3.0, CPU), (5, 1.0, CPU), (10, 0.0, None)):
        shard = rows(start, start + 5)
        store.add_shard(shards, start, start + 5, shard, seconds=seconds, hardware=hardware)
    assert store.complete(shards)
    return store


def test_rows_of_another_corpus_take_as_long(store):
    recorded = recorded_seconds(store)
    small, large = embed(SPEC, "1", 15), embed(SPEC, "2", 1000)
    steps = [small, large, embed(OTHER, "2", 1000)]
    assert recorded == {small.key: 4.0}
    assert seconds_by_rows(store, steps, recorded) == {large.key: pytest.approx(400.0)}


def test_without_a_record_of_devices_nothing_is_foretold(tmp_path):
    store, small = Store(tmp_path / "store"), embed(SPEC, "1", 5)
    shards = store.partial(small)
    store.add_shard(shards, 0, 5, rows(0, 5), seconds=0.0)  # perhaps taken over
    assert store.complete(shards)
    assert seconds_by_rows(store, [embed(SPEC, "2", 9)], recorded_seconds(store)) == {}


def test_rows_that_were_taken_over_would_take_as_long_as_the_others(store):
    small = embed(SPEC, "1", 15)
    assert whole_seconds(store, [small], recorded_seconds(store)) == {small.key: 6.0}


def test_of_rows_that_were_all_taken_over_nothing_is_known(tmp_path):
    store, reused, earlier = Store(tmp_path / "store"), embed(SPEC, "1", 5), embed(SPEC, "2", 5)
    for step, seconds in ((reused, 0.0), (earlier, 3.0)):
        shards = store.partial(step)
        store.add_shard(shards, 0, 5, rows(0, 5), seconds=seconds)
        assert store.complete(shards)
    seconds_by_key = whole_seconds(
        store, [reused, earlier, embed(SPEC, "3", 5)], recorded_seconds(store)
    )
    assert seconds_by_key == {earlier.key: 3.0}
