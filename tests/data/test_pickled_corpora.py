"""Corpora pickle by what they were made of: paths and parameters, not rows and arrays."""

import os
import pickle

import numpy as np
import pytest

from reactions.core.file_digests import DigestCache
from reactions.data.holdout import split
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.labs import mini

N = 20_000


@pytest.fixture
def captions(tmp_path):
    """Texts whose table is larger than what is read whole, some of them bad."""
    path = tmp_path / "captions.txt"
    path.write_text("".join(f"caption {i}\n" if i % 1000 else "\n" for i in range(N)))
    os.utime(path, (1e9, 1e9))  # what changed just now is not remembered
    source = Source(paths=(str(path),), skip=("18",), max_bad=0.1)
    return open_corpus("captions", "text", [source], tables=TableCache(tmp_path / "cache"))


def test_a_scanned_corpus_pickles_by_the_paths_of_its_tables(captions):
    key = captions.digest
    data = pickle.dumps(captions)
    assert len(data) < 4096
    unpickled = pickle.loads(data)
    assert unpickled.items(10, 30) == captions.items(10, 30)
    assert unpickled.ids() == captions.ids()
    assert list(unpickled.bad()) == list(captions.bad())
    assert (unpickled.digest, unpickled.skipped) == (key, captions.skipped)


def test_a_part_of_a_corpus_pickles_as_a_bit_a_row(captions):
    divided = split(captions, 0.1, 0)
    data = pickle.dumps(divided.training)
    assert len(data) < 4096 + len(captions) / 8
    unpickled = pickle.loads(data)
    assert unpickled.ids() == divided.training.ids()
    assert unpickled.digest == divided.training.digest
    assert unpickled.items(5, 9) == divided.training.items(5, 9)
    assert list(unpickled.tags()) == list(divided.training.tags())


def test_a_corpus_of_the_mini_world_pickles_by_its_parameters():
    corpus = mini.corpus("text", n=N, seed=0)
    data = pickle.dumps(corpus)
    assert len(data) < 1024
    assert pickle.loads(data).items(7, 9) == corpus.items(7, 9)


def test_tables_pickle_by_path_where_they_are_mapped(tmp_path):
    columns = {
        "id": Strings.pack(str(i) for i in range(N)),
        "size": np.arange(N),
        "odd": np.arange(N)[::-1],
    }
    table = TableCache(tmp_path).put("t", "s", ScanTable(columns, {"fact": 1}))
    data = pickle.dumps(table)
    assert len(data) < 2048
    unpickled = pickle.loads(data)
    assert unpickled.facts == {"fact": 1}
    assert unpickled.strings("id").at(np.array([3, 19_999])) == ["3", "19999"]
    assert isinstance(unpickled.numbers("size"), np.memmap)
    np.testing.assert_array_equal(unpickled.numbers("odd"), columns["odd"])
    # What is not mapped whole has no file of its own.
    part = ScanTable({"size": table.numbers("size")[5:9]})
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).numbers("size"), [5, 6, 7, 8])


def test_remembered_digests_stay_where_they_are(tmp_path):
    cache = DigestCache(tmp_path)
    assert pickle.loads(pickle.dumps(cache)).folder == tmp_path
    assert len(pickle.dumps(cache)) < 1024
