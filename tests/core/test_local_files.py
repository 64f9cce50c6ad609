"""Small files of other people: limits, devices, pipes, names that no file system holds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.local_files import (
    exists,
    expand_user,
    is_dir,
    is_file,
    read_small_file,
    read_text_file,
    replace_file,
)


def test_text_is_read_without_a_mark_and_with_one_kind_of_line_break(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text_file(tmp_path / "a.txt", 100) == "one\ntwo\nthree\n"
    assert read_small_file(tmp_path / "a.txt", 18)[:3] == b"\xef\xbb\xbf"


def test_a_file_above_the_limit_is_refused_with_both_numbers(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 11)
    assert read_text_file(path, 11) == "x" * 11
    with pytest.raises(DataError) as caught:
        read_text_file(path, 10)
    assert caught.value.fields["size_bytes"] == 11
    assert caught.value.fields["limit_bytes"] == 10


def test_a_sparse_file_of_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "big.txt"
    with path.open("wb") as stream:
        stream.truncate(3 << 30)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from reactions.core.local_files import read_text_file\n"
        "from reactions.core.errors import DataError\n"
        "try: read_text_file(Path(sys.argv[1]), 1 << 20)\n"
        "except DataError as error: print(error.what)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "too large" in process.stdout, process.stderr


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_devices_are_refused(name):
    with pytest.raises(DataError) as caught:
        read_text_file(Path(name), 100)
    assert "device" in caught.value.why


def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError) as caught:
        read_text_file(tmp_path / "pipe", 100)
    assert "pipe" in caught.value.why


def test_folders_missing_files_and_other_bytes_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot read") as caught:
        read_text_file(tmp_path, 100)
    assert "folder" in caught.value.why
    with pytest.raises(MissingError):
        read_text_file(tmp_path / "none", 100)
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="UTF-8"):
        read_text_file(tmp_path / "latin", 100)
    with pytest.raises(MissingError):
        read_text_file(tmp_path / "latin" / "below", 100)


def test_impossible_file_names_are_refused_not_raised(tmp_path):
    for name in ("x" * 5000, "a\0b"):
        assert not exists(tmp_path / name)
        assert not is_file(tmp_path / name)
        assert not is_dir(tmp_path / name)
        with pytest.raises(DataError, match="cannot read"):
            read_text_file(tmp_path / name, 100)
    assert exists(tmp_path)
    assert is_dir(tmp_path)
    assert not is_file(tmp_path)


def test_home_folders_of_nobody_are_a_mistake_not_a_traceback(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_user("~/x") == Path("/home/me/x")
    for text in ("~no-such-user/x", "~no-such-user", "a\0b"):
        with pytest.raises(UsageError):
            expand_user(text)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.json"
    replace_file(path, "old")
    replace_file(path, "Straße")
    assert path.read_text(encoding="utf-8") == "Straße"

    def full(self, other):
        assert (self.parent, self.name[:5]) == (tmp_path, ".own.")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, "x", folder=tmp_path, prefix=".own.")
    assert path.read_text(encoding="utf-8") == "Straße"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.json", "new"]
