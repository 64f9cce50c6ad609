"""Which devices made which rows is remembered beside a result."""

import json

import pytest
from store_toys import artifact, rows, step
from toy import by_rows, counting, executor

from reactions.run import device
from reactions.store import Store
from reactions.store.made_by import Hardware, MadeBy, mixture
from reactions.store.maintenance import made_by

H100, A100 = Hardware("cuda", "NVIDIA H100"), Hardware("cuda", "NVIDIA A100")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def devices_of(store, *steps):
    return [made_by(store.layout, [step.key]).get(step.key, ()) for step in steps]


def test_rows_of_a_mixed_cluster_name_their_devices(store):
    sharded_step = step(n_rows=10)
    shards = store.partial(sharded_step)
    for start, hardware in ((0, H100), (2, H100), (4, A100), (6, None), (8, A100)):
        store.add_shard(shards, start, start + 2, rows(start, start + 2), hardware=hardware)
    assert store.complete(shards)
    assert devices_of(store, sharded_step) == [
        (MadeBy(H100, 0, 4), MadeBy(A100, 4, 6), MadeBy(A100, 8, 10))
    ]
    assert (
        mixture(*devices_of(store, sharded_step))
        == "cuda NVIDIA H100 (4 rows), cuda NVIDIA A100 (4 rows)"
    )
    assert list(store.verify()) == []


def test_runs_note_their_device(store):
    ran = []
    plan = [counting(ran, "whole"), by_rows(ran, 5, 2)]
    executor(store).run(plan)
    this_device = device.hardware_of("cpu")
    assert this_device.kind == "cpu"
    assert this_device.name.endswith(" products)")
    assert devices_of(store, *plan) == [
        (MadeBy(this_device, 0, None),),
        (MadeBy(this_device, 0, 5),),
    ]
    assert mixture(devices_of(store, plan[1])[0]) == ""


def test_entries_of_earlier_versions_are_read(store):
    store.put(step(), artifact(), hardware=H100)
    path = next(store.root.glob("entries/*/*/manifest.json"))
    body = json.loads(path.read_text())
    assert body.pop("made_by") == [{"kind": "cuda", "name": "NVIDIA H100", "rows": None}]
    path.write_text(json.dumps(body))  # and its digest is that of earlier versions, too
    assert store.lookup(step().key) is not None
    assert devices_of(store, step()) == [()]


@pytest.mark.parametrize(
    "value",
    [
        1,
        "x",
        [1],
        [{"kind": "cpu", "name": "x"}],
        [{"kind": "cpu", "name": 1, "rows": None}],
        [{"kind": "cpu", "name": "x", "rows": ["a", 2]}],
        [{"kind": "cpu", "name": "x", "rows": [1]}],
    ],
)
def test_what_is_no_device_is_damage(store, value):
    store.put(step(), artifact(), hardware=H100)
    path = next(store.root.glob("entries/*/*/manifest.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "made_by": value}))
    assert store.lookup(step().key) is None


def test_a_gpu_is_named(monkeypatch):
    import torch

    device.hardware_of.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: f"NVIDIA {name}")
    assert device.hardware_of("cuda:1") == Hardware("cuda", "NVIDIA cuda:1")

    def fails(name):
        raise AssertionError("Torch not compiled with CUDA enabled")

    device.hardware_of.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_name", fails)
    assert str(device.hardware_of("cuda:1")) == "cuda"
    device.hardware_of.cache_clear()
