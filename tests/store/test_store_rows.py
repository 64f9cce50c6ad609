import pickle
import threading
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_toys import step

from reactions.core.step import Artifact
from reactions.store import ShardedRows, Store


def sharded(array, sizes):
    starts = np.cumsum([0, *sizes])
    shards = [
        (size, lambda a=start, b=start + size: array[a:b])
        for start, size in zip(starts, sizes, strict=False)
    ]
    return ShardedRows(array.shape, array.dtype, shards)


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=20),
    bounds=st.tuples(*[st.none() | st.integers(-60, 60)] * 2),
)
def test_every_slice_equals_the_plain_arrays(sizes, bounds):
    plain = np.arange(sum(sizes) * 3, dtype=np.float32).reshape(-1, 3)
    rows = sharded(plain, sizes)
    part = rows[slice(*bounds)]
    assert part.dtype == plain.dtype
    assert part.shape == plain[slice(*bounds)].shape
    assert np.array_equal(part, plain[slice(*bounds)])
    assert len(rows) == len(plain)
    assert np.array_equal(rows.to_array(), plain)
    assert np.array_equal(np.asarray(rows), plain)
    assert rows.nbytes == plain.nbytes


def test_rows_within_one_shard_are_not_copied():
    plain = np.arange(12.0).reshape(6, 2)
    rows = sharded(plain, [3, 3])
    assert np.shares_memory(rows[3:6], plain)
    assert not np.shares_memory(rows[2:4], plain)


def test_only_contiguous_slices():
    rows = sharded(np.zeros((4, 2)), [4])
    with pytest.raises(ValueError, match="step of 2"):
        rows[::2]
    with pytest.raises(ValueError, match="step of -1"):
        rows[::-1]
    with pytest.raises(TypeError, match="by slice, not by int"):
        rows[1]


def test_shards_must_add_up():
    with pytest.raises(ValueError, match="shards hold 2 rows, the array has 3"):
        ShardedRows((3, 1), np.dtype("f4"), [(2, lambda: np.zeros((2, 1), "f4"))])


def test_few_shards_are_open_at_once():
    opened = []

    def opener(i):
        return lambda: opened.append(i) or np.full((1, 1), i)

    rows = ShardedRows((100, 1), np.dtype(int), [(1, opener(i)) for i in range(100)])
    assert np.array_equal(rows[0:100].ravel(), np.arange(100))
    assert len(rows._opened) <= 8
    rows[99:100]
    assert opened == list(range(100))  # the latest are still open
    for i in range(20):
        rows[i : i + 1]
        rows[99:100]
    assert opened.count(99) == 1  # what is read again and again stays open


def test_no_shard_is_closed_under_a_reader_by_another_thread():
    rows = sharded(np.arange(9.0)[:, None], [1] * 9)
    for i in range(8):  # as many as stay open; the first is the next to go
        rows[i : i + 1]
    other = threading.Thread(target=lambda: rows[8:9])

    class Racing(OrderedDict):
        def __contains__(self, index):
            is_there = super().__contains__(index)
            if threading.current_thread() is not other:
                other.start()
                other.join(0.2)  # in vain, if it has to wait for us
            return is_there

    rows._opened = Racing(rows._opened)
    assert rows[0:1][0, 0] == 0.0
    other.join()


def test_stored_rows_pickle_by_the_paths_of_their_files(tmp_path):
    store = Store(tmp_path)
    sharded_step = step(n_rows=6000, shard_rows=2000)
    plain = np.arange(6000 * 128, dtype=np.float64).reshape(6000, 128)
    shards = store.partial(sharded_step)
    for start in range(0, 6000, 2000):
        store.add_shard(shards, start, start + 2000, Artifact({"x": plain[start : start + 2000]}))
    store.complete(shards)
    artifact = store.lookup(sharded_step.key)
    assert np.array_equal(artifact.arrays["x"][5:9], plain[5:9])  # one shard is open now
    data = pickle.dumps(artifact)
    assert len(data) < 2048
    unpickled = pickle.loads(data).arrays["x"]
    assert np.array_equal(unpickled[1990:2010], plain[1990:2010])
    assert (unpickled.shape, unpickled.dtype) == (plain.shape, plain.dtype)
