"""What encoders left out of items is remembered beside a result, shard by shard."""

import json

import pytest
from store_toys import artifact, rows, step

from reactions.core.left_out import LeftOut, longer_than
from reactions.core.step import Artifact
from reactions.store import Store
from reactions.store.maintenance import records

CUT = longer_than("77 tokens")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def counts(store, counted_step):
    return records(store.layout, [counted_step.key])[counted_step.key].left_out


def with_counts(uncounted, left_out):
    return Artifact(uncounted.arrays, uncounted.meta, left_out)


def test_shards_add_up_and_those_of_earlier_versions_stay_uncounted(store):
    sharded_step = step(n_rows=6)
    shards = store.partial(sharded_step)
    for start, n_cut in ((0, 1), (2, 0)):
        counted = LeftOut("CLIP", "text", 2, {CUT: n_cut})
        store.add_shard(shards, start, start + 2, with_counts(rows(start, start + 2), counted))
    store.add_shard(shards, 4, 6, rows(4, 6))
    assert store.complete(shards)
    assert counts(store, sharded_step) == LeftOut("CLIP", "text", 4, {CUT: 1}, 2)
    assert list(store.verify()) == []


def test_entries_of_earlier_versions_are_read_as_not_counted(store):
    store.put(step(), with_counts(artifact(), LeftOut("CLIP", "text", 4, {CUT: 1})))
    path = next(store.root.glob("entries/*/*/manifest.json"))
    body = json.loads(path.read_text())
    assert body.pop("left_out")["items"] == 4
    path.write_text(json.dumps(body))  # and its digest is that of earlier versions, too
    assert store.lookup(step().key) is not None
    assert counts(store, step()) is None


@pytest.mark.parametrize("value", [1, "x", {"space": "CLIP"}, {"found": [{"are": 1}]}])
def test_what_is_no_count_is_damage(store, value):
    store.put(step(), artifact())
    path = next(store.root.glob("entries/*/*/manifest.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "left_out": value}))
    assert store.lookup(step().key) is None
