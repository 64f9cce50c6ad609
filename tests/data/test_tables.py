import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.data import scan_cache
from reactions.data.scan_cache import ScanTable, Strings, TableCache


def table(*texts: str) -> ScanTable:
    return ScanTable({"id": Strings.pack(texts), "n": np.arange(len(texts))}, {"made": "now"})


@given(st.lists(st.text()))
def test_strings_come_back(texts: list[str]) -> None:
    packed = Strings.pack(texts)
    assert list(packed) == texts
    assert [packed[row] for row in range(len(packed))] == texts
    assert packed.lengths.tolist() == [len(t.encode("utf-8", "surrogatepass")) for t in texts]


@given(st.lists(st.text(), min_size=1), st.data())
def test_any_rows_of_strings(texts: list[str], data: st.DataObject) -> None:
    packed = Strings.pack(texts)
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), unique=True).map(sorted))
    assert packed.at(np.array(rows, np.int64)) == [texts[row] for row in rows]
    assert packed.between(0, len(texts)) == texts


def test_odd_file_names_survive() -> None:
    assert list(Strings.pack(["caf\udce9", "", "日"])) == ["caf\udce9", "", "日"]


def test_a_table_is_found_by_name_and_signature(tmp_path: Path) -> None:
    cache = TableCache(tmp_path / "new")
    cache.put("texts", "a" * 64, table("x", "y"))
    stored = TableCache(tmp_path / "new").get("texts", "a" * 64)
    assert stored is not None
    assert list(stored.strings("id")) == ["x", "y"]
    assert stored.numbers("n").tolist() == [0, 1]
    assert stored.facts == {"made": "now"}
    assert len(stored) == 2
    assert cache.get("texts", "b" * 64) is None
    # Only the start of a signature is in the folder's name; all of it counts.
    assert cache.get("texts", "a" * 32 + "b" * 32) is None
    assert cache.get("other", "a" * 64) is None


def test_a_new_signature_takes_the_place_of_the_old(tmp_path: Path) -> None:
    cache = TableCache(tmp_path)
    cache.put("texts", "a" * 64, table("old"))
    cache.put("texts", "b" * 64, table("new"))
    assert cache.get("texts", "a" * 64) is None
    latest = cache.latest("texts")
    assert latest is not None
    assert list(latest.strings("id")) == ["new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_signature_or_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    cache = TableCache(tmp_path)
    cache.put("texts", "", table("x"))
    assert cache.get("texts", "") is None
    assert list(tmp_path.iterdir()) == []
    nowhere = TableCache(None)
    nowhere.put("texts", "a", table("x"))
    assert nowhere.get("texts", "a") is None
    assert nowhere.latest("texts") is None


def test_large_columns_are_mapped(tmp_path: Path) -> None:
    cache = TableCache(tmp_path)
    cache.put("big", "a", ScanTable({"n": np.arange(100_000)}))
    stored = cache.get("big", "a")
    assert stored is not None
    assert isinstance(stored.numbers("n"), np.memmap)
    assert int(stored.numbers("n")[99_999]) == 99_999


def test_no_rows_are_rows_too(tmp_path: Path) -> None:
    cache = TableCache(tmp_path)
    cache.put("none", "a", table())
    stored = cache.get("none", "a")
    assert stored is not None
    assert list(stored.strings("id")) == []


@pytest.mark.parametrize("name", ["table.json", "id.npy", "id.ends.npy", "n.npy"])
@pytest.mark.parametrize("damage", ["cut", "gone", "junk"])
def test_a_damaged_table_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    cache = TableCache(tmp_path)
    cache.put("texts", "a", table("x", "y"))
    path = tmp_path / "texts-a" / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3] if damage == "cut" else b"junk")
    assert cache.get("texts", "a") is None
    assert cache.latest("texts") is None
    cache.put("texts", "a", table("z"))
    stored = cache.get("texts", "a")
    assert stored is not None
    assert list(stored.strings("id")) == ["z"]


def test_columns_of_different_tables_do_not_mix(tmp_path: Path) -> None:
    cache = TableCache(tmp_path)
    cache.put("texts", "a", table("x", "y"))
    np.save(tmp_path / "texts-a/n.npy", np.arange(3))
    assert cache.get("texts", "a") is None


def test_a_folder_that_cannot_be_written_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(scan_cache, "_write", refuse)
    cache = TableCache(tmp_path)
    cache.put("texts", "a", table("x"))
    assert list(tmp_path.iterdir()) == []


def test_a_journal_outlives_a_kill(tmp_path: Path) -> None:
    journal = TableCache(tmp_path / "new").journal("scan")
    journal.note([["a", 1], ["b", 2]])
    path = tmp_path / "new" / "scan.journal"
    with path.open("ab") as stream:
        stream.write(b'["c", ')  # killed here
    journal.note([["d", 4]])
    assert list(journal.read()) == [["a", 1], ["b", 2], ["d", 4]]
    journal.drop()
    assert list(journal.read()) == []
    journal.drop()
    nowhere = TableCache(None).journal("scan")
    nowhere.note([["a"]])
    assert list(nowhere.read()) == []


def test_what_was_not_used_for_long_is_pruned(tmp_path: Path) -> None:
    cache = TableCache(tmp_path)
    cache.put("old", "a" * 64, table("x"))
    cache.put("used", "a" * 64, table("x", "y"))
    cache.journal("old").note([["x", 1]])
    long_ago = time.time() - 1000
    for path in tmp_path.iterdir():
        os.utime(path, (long_ago, long_ago))
    assert cache.get("used", "a" * 64) is not None
    count, size_bytes = cache.prune(older_than_s=500, dry_run=True)
    assert count == 2
    assert size_bytes > 0
    assert len(list(tmp_path.iterdir())) == 3
    assert cache.prune(older_than_s=500) == (count, size_bytes)
    assert cache.get("old", "a" * 64) is None
    assert cache.get("used", "a" * 64) is not None
    assert cache.prune()[0] == 1
    assert list(tmp_path.iterdir()) == []
    assert TableCache(None).prune() == TableCache(tmp_path / "none").prune() == (0, 0)
