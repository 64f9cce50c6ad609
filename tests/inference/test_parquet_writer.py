"""Embeddings in parquet: what is written is read back, by others and as a space."""

import json

import numpy as np
import pytest
from written_rows import ABOUT, ITEMS, ROWS

from reactions.core.errors import DataError, MissingError, StoreError
from reactions.core.file_digests import DigestCache
from reactions.encoders.precomputed.layouts import find_sets
from reactions.inference import parquet_writer
from reactions.inference.writers import open_writer

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(path, items=ITEMS, rows=ROWS, **options):
    with open_writer(path, "parquet", ABOUT, **options) as writer:
        writer.write(items[:1], rows[:1])
        writer.write(items[1:], rows[1:])


def test_a_row_an_item(tmp_path):
    write(tmp_path / "emb.parquet")
    table = parquet.read_table(tmp_path / "emb.parquet")
    assert table.column("id").to_pylist() == [item.id for item in ITEMS]
    assert table.column("modality").to_pylist() == ["text", "image", "text", "text"]
    assert table.column("numbered").to_pylist() == [False, False, True, False]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 4)
    np.testing.assert_array_equal(np.array(table.column("embedding").to_pylist()), ROWS)
    assert json.loads(table.schema.metadata[b"molspace"]) == ABOUT
    assert [path.name for path in tmp_path.iterdir()] == ["emb.parquet"]


def test_row_groups_bound_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_writer, "GROUP_ROWS", 2)
    write(tmp_path / "emb.parquet")
    file = parquet.ParquetFile(tmp_path / "emb.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4]
    with open_writer(tmp_path / "more.parquet", "parquet", ABOUT) as writer:
        for item, row in zip(ITEMS, ROWS, strict=True):
            writer.write([item], row[None])
    file = parquet.ParquetFile(tmp_path / "more.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 2]


def test_it_is_a_space_again(tmp_path):
    items = [item for item in ITEMS if item.own_id]
    write(tmp_path / "emb.parquet", items, ROWS[:3])
    sets = find_sets(tmp_path)
    assert sorted(sets) == ["image", "text"]
    table = sets["text"].open(DigestCache(tmp_path / "cache"))
    ids, _ = sets["text"].own_ids(table)
    assert ids == ["rain", "naïve 東京"]
    np.testing.assert_array_equal(table.read(np.array([0, 1])), ROWS[[0, 2]])


def test_ids_and_numbers_of_lines_do_not_mix(tmp_path):
    write(tmp_path / "emb.parquet")
    sets = find_sets(tmp_path)
    table = sets["text"].open(DigestCache(tmp_path / "cache"))
    with pytest.raises(DataError, match="1 of 3 text items"):
        sets["text"].own_ids(table)


def test_others_parquet_stays_what_it_was(tmp_path):
    table = pa.table({"id": ["a"], "embedding": [[1.0, 0.0]]})
    parquet.write_table(table, tmp_path / "text.parquet")
    assert list(find_sets(tmp_path)) == ["text"]


def test_what_fails_leaves_nothing_behind(tmp_path):
    def fail():
        with open_writer(tmp_path / "emb.parquet", "parquet", ABOUT) as writer:
            writer.write(ITEMS, ROWS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())
    with pytest.raises(StoreError, match="there is no folder"):
        open_writer(tmp_path / "none" / "emb.parquet", "parquet", ABOUT)


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingError, match="cannot write"):
        open_writer(tmp_path / "emb.parquet", "parquet", ABOUT)
