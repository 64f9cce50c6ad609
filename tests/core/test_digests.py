import os
from pathlib import Path

import pytest

from reactions.core import file_digests
from reactions.core.errors import DataError
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import bytes_digest

HOUR_AGO = 1_600_000_000


def settled(path: Path, data: bytes, when_s: int = HOUR_AGO) -> Path:
    path.write_bytes(data)
    os.utime(path, (when_s, when_s))
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    paths_read: list[Path] = []
    real = file_digests.file_digest

    def counted(path: Path) -> str:
        paths_read.append(path)
        return real(path)

    monkeypatch.setattr(file_digests, "file_digest", counted)
    return paths_read


def test_unchanged_files_are_hashed_once(tmp_path: Path, reads: list[Path]) -> None:
    path = settled(tmp_path / "x", b"one")
    cache = DigestCache(tmp_path / "cache")
    assert cache.of(path) == cache.of(path) == bytes_digest(b"one")
    cache.save()
    assert DigestCache(tmp_path / "cache").of(path) == bytes_digest(b"one")
    assert len(reads) == 1


def test_changed_files_are_hashed_again(tmp_path: Path, reads: list[Path]) -> None:
    cache = DigestCache()
    path = settled(tmp_path / "x", b"one")
    cache.of(path)
    settled(path, b"longer")
    assert cache.of(path) == bytes_digest(b"longer")
    settled(path, b"LONGER", HOUR_AGO + 1)  # same size, another time
    assert cache.of(path) == bytes_digest(b"LONGER")
    settled(tmp_path / "y", b"longer", HOUR_AGO + 1).replace(path)  # same size and time
    assert cache.of(path) == bytes_digest(b"longer")
    assert len(reads) == 4


def test_a_file_written_just_now_is_not_trusted_yet(tmp_path: Path, reads: list[Path]) -> None:
    cache = DigestCache()
    (tmp_path / "x").write_bytes(b"one")
    cache.of(tmp_path / "x")
    cache.of(tmp_path / "x")
    assert len(reads) == 2


def test_a_file_that_changes_meanwhile_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled(tmp_path / "x", b"one")
    real = file_digests.file_digest

    def slow(path: Path) -> str:
        digest = real(path)
        settled(path, b"changed")
        return digest

    cache = DigestCache(tmp_path / "cache")
    monkeypatch.setattr(file_digests, "file_digest", slow)
    cache.of(path)
    cache.save()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "junk",
    [b"\xff\xfe\0", b"[1, 2]\n", b'["x", [1, 2, "3"], "y"]\n', b'["/x", [1, 2, 3], "abc', b"{}"],
)
def test_a_corrupt_cache_is_ignored_and_repaired(
    tmp_path: Path, reads: list[Path], junk: bytes
) -> None:
    (tmp_path / "file-digests.jsonl").write_bytes(junk)
    path = settled(tmp_path / "x", b"one")
    cache = DigestCache(tmp_path)
    assert cache.of(path) == bytes_digest(b"one")
    cache.save()
    DigestCache(tmp_path).of(path)
    assert len(reads) == 1


def test_two_caches_share_a_folder(tmp_path: Path, reads: list[Path]) -> None:
    paths = [settled(tmp_path / name, name.encode()) for name in "ab"]
    first, second = DigestCache(tmp_path), DigestCache(tmp_path)
    first.of(paths[0])
    second.of(paths[1])
    first.save()
    second.save()
    third = DigestCache(tmp_path)
    assert [third.of(path) for path in paths] == [bytes_digest(b"a"), bytes_digest(b"b")]
    assert len(reads) == 2


def test_old_lines_are_dropped_in_the_end(tmp_path: Path) -> None:
    path = settled(tmp_path / "x", b"one")
    cache = DigestCache(tmp_path)
    cache.of(path)
    cache.save()
    file = tmp_path / "file-digests.jsonl"
    line = file.read_bytes().strip() + b"\n"
    file.write_bytes(line * 1500)
    DigestCache(tmp_path)
    assert file.read_bytes() == line


def test_an_unwritable_folder_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = settled(tmp_path / "x", b"one")
    cache = DigestCache(tmp_path / "file")
    assert cache.of(path) == bytes_digest(b"one")
    cache.save()


def test_missing_files_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read") as caught:
        DigestCache().of(tmp_path / "gone")
    assert caught.value.fields["path"] == str(tmp_path / "gone")
