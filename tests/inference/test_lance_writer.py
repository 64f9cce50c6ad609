"""Embeddings in Lance: what is written is read back, by others and as a space."""

import json
import sys

import numpy as np
import pytest
from written_rows import ABOUT, ITEMS, ROWS

from reactions.core.errors import DataError, MissingError, StoreError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.lance import lance_files
from reactions.encoders.precomputed.infer_outputs import made_with
from reactions.encoders.precomputed.layouts import find_sets
from reactions.inference import lance_writer
from reactions.inference.writers import open_writer


@pytest.fixture
def lance():
    return pytest.importorskip("lance")


def write(path, items=ITEMS, rows=ROWS, **options):
    with open_writer(path, "lance", ABOUT, **options) as writer:
        writer.write(items[:1], rows[:1])
        writer.write(items[1:], rows[1:])


@pytest.mark.parametrize("fragment_rows", [1, 1 << 16])
def test_a_row_an_item(lance, tmp_path, monkeypatch, fragment_rows):
    monkeypatch.setattr(lance_writer, "FRAGMENT_ROWS", fragment_rows)
    write(tmp_path / "emb.lance")
    table = lance.dataset(str(tmp_path / "emb.lance"))
    assert len(table.versions()) == 1
    stored = table.to_table()
    assert stored.column("id").to_pylist() == [item.id for item in ITEMS]
    assert stored.column("modality").to_pylist() == ["text", "image", "text", "text"]
    assert stored.column("numbered").to_pylist() == [False, False, True, False]
    assert stored.schema.field("embedding").type.list_size == 4
    np.testing.assert_array_equal(np.array(stored.column("embedding").to_pylist()), ROWS)
    assert json.loads(table.schema.metadata[b"molspace"]) == ABOUT
    assert [path.name for path in tmp_path.iterdir()] == ["emb.lance"]


@pytest.mark.parametrize("place", ["the folder around it", "the table itself"])
def test_it_is_a_space_again(lance, tmp_path, place):
    items = [item for item in ITEMS if item.own_id]
    write(tmp_path / "emb.lance", items, ROWS[:3])
    folder = tmp_path if place == "the folder around it" else tmp_path / "emb.lance"
    sets = find_sets(folder)
    assert sorted(sets) == ["image", "text"]
    assert made_with(sets["text"]) == "A + Cr(B)"
    digests = DigestCache(tmp_path / "cache")
    table = sets["text"].open(digests)
    assert table.shape == (2, 4)
    assert sets["text"].own_ids(table) == (["rain", "naïve 東京"], "emb.lance")
    np.testing.assert_array_equal(table.read(np.array([1, 0, 1])), ROWS[[2, 0, 2]])
    assert all(digests.of(path) for path in sets["text"].paths)


def test_ids_and_numbers_of_lines_do_not_mix(lance, tmp_path):
    write(tmp_path / "emb.lance")
    sets = find_sets(tmp_path)
    with pytest.raises(DataError, match="1 of 3 text items"):
        sets["text"].own_ids(sets["text"].open(DigestCache(tmp_path / "cache")))


def test_another_run_takes_the_place_of_a_table_if_it_may(lance, tmp_path):
    path = tmp_path / "emb.lance"
    write(path)
    with pytest.raises(UsageError, match="already exists"):
        write(path, ITEMS[:2], ROWS[:2], overwrite=False)
    assert lance.dataset(str(path)).count_rows() == 4
    write(path, ITEMS[:2], ROWS[:2])
    assert lance.dataset(str(path)).count_rows() == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["emb.lance"]


def test_what_is_no_table_is_not_replaced(lance, tmp_path):
    (tmp_path / "emb.lance").mkdir()
    write(tmp_path / "emb.lance")  # an empty folder is
    (tmp_path / "emb.lance" / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not a Lance table"):
        write(tmp_path / "emb.lance")
    assert (tmp_path / "emb.lance" / "notes.txt").read_text() == "mine"
    with pytest.raises(StoreError, match="there is no folder"):
        write(tmp_path / "none" / "emb.lance")


def test_what_fails_leaves_what_was_there(lance, tmp_path):
    write(tmp_path / "emb.lance")

    def fail():
        with open_writer(tmp_path / "emb.lance", "lance", ABOUT) as writer:
            writer.write(ITEMS[:1], ROWS[:1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with open_writer(tmp_path / "nothing.lance", "lance", ABOUT):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["emb.lance"]
    assert lance.dataset(str(tmp_path / "emb.lance")).count_rows() == 4


@pytest.mark.parametrize("suffix", [".lance", ".manifest"])
def test_damage_is_one_error(lance, tmp_path, suffix):
    write(tmp_path / "emb.lance")
    (file,) = (f for f in lance_files(tmp_path / "emb.lance") if f.suffix == suffix)
    blob = file.read_bytes()
    file.write_bytes(blob[: len(blob) // 2])
    with pytest.raises(DataError, match="cannot read the embeddings"):
        find_sets(tmp_path)


def test_files_outside_a_table_are_not_read(lance, tmp_path, monkeypatch):
    write(tmp_path / "emb.lance")
    monkeypatch.setattr("reactions.encoders.precomputed.lance_tables._is_own", lambda *_: False)
    with pytest.raises(DataError, match="names files outside its folder"):
        find_sets(tmp_path)


def test_others_tables_are_refused(lance, tmp_path):
    pa = pytest.importorskip("pyarrow")
    lance.write_dataset(pa.table({"id": ["a"], "vector": [[1.0]]}), str(tmp_path / "x.lance"))
    with pytest.raises(DataError, match="no column modality, numbered, embedding"):
        find_sets(tmp_path)


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(MissingError, match=r"cannot write .*\n.*pylance is not installed"):
        open_writer(tmp_path / "emb.lance", "lance", ABOUT)
    assert not list(tmp_path.iterdir())
    for folder in ("_versions", "data"):
        (tmp_path / "emb.lance" / folder).mkdir(parents=True)
    with pytest.raises(MissingError, match="cannot read"):
        find_sets(tmp_path)
