import os
import sys
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_files import put

from reactions.core import remote, storage
from reactions.core.addresses import absolute, is_url, label
from reactions.core.braces import expand
from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.storage import Blob, find, read, walk


@pytest.fixture
def memory() -> str:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    for name in ("b.txt", "a.txt", "deep/c.txt", ".hidden/d.txt"):
        with fs.open(f"/set/{name}", "wb") as stream:
            stream.write(name.encode())
    return "memory://set"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("x-{0000..0002}.tar", ["x-0000.tar", "x-0001.tar", "x-0002.tar"]),
        ("x-{8..11}", ["x-8", "x-9", "x-10", "x-11"]),
        ("x-{08..11}", ["x-08", "x-09", "x-10", "x-11"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{a,b}/{1..2}", ["a/1", "a/2", "b/1", "b/2"]),
        ("{a}", ["{a}"]),
        ("plain", ["plain"]),
        ("{}", ["{}"]),
    ],
)
def test_braces(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


def test_braces_that_never_end_are_refused() -> None:
    for pattern in ("{0..99999999999}", "{0..9999}{0..9999}"):
        with pytest.raises(DataError, match="names more than"):
            expand(pattern)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 4))
def test_ranges_keep_their_width(first: int, n: int, width: int) -> None:
    names = expand(f"{{{first:0{width}d}..{first + n:0{width}d}}}")
    assert len(names) == n + 1
    assert [int(name) for name in names] == list(range(first, first + n + 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/key", True),
        ("hf://datasets/a/b", True),
        ("simplecache::s3://bucket", True),
        ("C://folder", False),
        ("/a/b", False),
        ("a b://c", False),
        ("captions.txt", False),
    ],
)
def test_urls(text: str, expected: bool) -> None:
    assert is_url(text) is expected


def test_paths_start_at_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert absolute("x/*.txt", tmp_path) == f"{tmp_path}/x/*.txt"
    assert absolute("/x", tmp_path) == "/x"
    assert absolute("~/x", tmp_path) == "/home/me/x"
    assert absolute("file:///x", tmp_path) == "/x"
    assert absolute("s3://x/y", tmp_path) == "s3://x/y"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/data/captions.txt", "captions"),
        ("/data/cc3m/{0000..0009}.tar", "cc3m"),
        ("/data/cc3m/*.tar", "cc3m"),
        ("s3://bucket/images/", "images"),
        ("/", "/"),
    ],
)
def test_short_names(url: str, name: str) -> None:
    assert label(url) == name


def test_finding(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "odd[1].txt", "sub/c.txt"):
        put(tmp_path / name, name)
    names = lambda pattern: [e.name for e in find(f"{tmp_path}/{pattern}")]  # noqa: E731
    assert names("*.txt") == ["a.txt", "b.txt", "odd[1].txt"]
    assert names("**/*.txt") == ["a.txt", "b.txt", "odd[1].txt", "c.txt"]
    assert names("{b,a}.txt") == ["b.txt", "a.txt"]
    assert names("odd[1].txt") == ["odd[1].txt"]  # a file of that very name comes first
    (entry,) = find(f"{tmp_path}/a.txt")
    assert (entry.url, entry.size_bytes) == (f"{tmp_path}/a.txt", 5)
    with pytest.raises(MissingError, match="no file matches"):
        find(f"{tmp_path}/*.csv")
    with pytest.raises(MissingError, match=r"nothing at '.*/c.txt'"):
        find(f"{tmp_path}/{{a,c}}.txt")


def test_stamps_change_with_files_and_are_not_trusted_too_early(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "one")
    (before,) = find(str(path))
    assert before.stamp
    put(path, "two", when_s=1_600_000_001)
    (after,) = find(str(path))
    assert after.stamp not in ("", before.stamp)
    path.write_bytes(b"now")
    (entry,) = find(str(path))
    assert entry.stamp == ""


def test_walking_is_sorted_and_skips_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a.txt", "b/1.txt", ".git/x.txt", "b/.DS_Store", "b-c.txt"):
        put(tmp_path / name, name)
    assert [entry.name for entry in walk(str(tmp_path))] == [
        "a.txt",
        "b-c.txt",
        "b/1.txt",
        "b/2.txt",
    ]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    put(tmp_path / "real/x.txt", "x")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/link").symlink_to(tmp_path / "real")
    (tmp_path / "real/back").symlink_to(tmp_path / "set")
    (tmp_path / "set/gone").symlink_to(tmp_path / "nowhere")
    # A link to nothing is a file that cannot be read, not one that is not there.
    gone, x = walk(str(tmp_path / "set"))
    assert (gone.name, gone.size_bytes, gone.stamp) == ("gone", 0, "")
    assert x.name == "link/x.txt"


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        walk(str(tmp_path / "gone"))


def test_ranges_of_files(tmp_path: Path) -> None:
    path = str(put(tmp_path / "x", "0123456789"))
    assert read(path) == b"0123456789"
    assert read(path, 2, 3) == b"234"
    assert read(path, 8, 5) == b"89"
    with pytest.raises(MissingError, match="nothing at"):
        read(f"{path}.gone")
    with pytest.raises(DataError, match="cannot read"):
        read(str(tmp_path))


def test_a_blob_that_shrank_is_an_error(tmp_path: Path) -> None:
    path = str(put(tmp_path / "x.tar", "0123456789"))
    assert Blob(path, 2, 3, "a.png").read() == b"234"
    assert str(Blob(path, 2, 3, "a.png")) == f"{path}/a.png"
    with pytest.raises(DataError, match=r"x.tar/a.png' changed") as caught:
        Blob(path, 8, 5, "a.png").read()
    assert "2 of 5 bytes" in caught.value.why


# --- remote --------------------------------------------------------------------------


def test_remote_files(memory: str) -> None:
    assert [entry.name for entry in walk(memory)] == ["a.txt", "b.txt", "deep/c.txt"]
    entries = find(f"{memory}/*.txt")
    assert [entry.name for entry in entries] == ["a.txt", "b.txt"]
    assert entries[0].url == "memory:///set/a.txt"
    assert (entries[0].size_bytes, bool(entries[0].stamp)) == (5, True)
    assert [entry.name for entry in find(f"{memory}/{{b,a}}.txt")] == ["b.txt", "a.txt"]
    assert read(entries[0].url) == b"a.txt"
    assert read(entries[0].url, 1, 2) == b".t"
    assert storage.is_folder(memory)
    assert not storage.is_folder(entries[0].url)
    with storage.open_binary(entries[0].url) as stream:
        stream.seek(2)
        assert stream.read() == b"txt"
    assert Blob(entries[0].url).read() == b"a.txt"


def test_chains_of_file_systems(memory: str) -> None:
    entries = find("simplecache::memory://set/*.txt")
    assert [entry.name for entry in entries] == ["a.txt", "b.txt"]
    assert entries[0].url.startswith("simplecache::memory://")
    assert read(entries[0].url) == b"a.txt"
    assert [entry.name for entry in walk("simplecache::memory://set")][-1] == "deep/c.txt"


@pytest.mark.parametrize("chain", ["", "simplecache::", "blockcache::simplecache::"])
def test_an_account_that_is_not_the_environments_is_refused(chain, memory, monkeypatch) -> None:
    class Azure(type(fsspec.filesystem("memory"))):
        protocol = "abfs"
        service_client = SimpleNamespace(account_name="mine")

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "abfs", Azure)
    remote._filesystem.cache_clear()
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        find(f"{chain}abfs://box@other.dfs.core.windows.net/set/*.txt")
    assert "the account 'other', and the environment's is 'mine'" in caught.value.why
    with pytest.raises(MissingError, match="nothing at"):
        find(f"{chain}abfs://box@mine.dfs.core.windows.net/set/none-*.txt")
    remote._filesystem.cache_clear()


def test_a_remote_stamp_changes_with_the_object(memory: str) -> None:
    (before,) = find(f"{memory}/a.txt")
    with fsspec.filesystem("memory").open("/set/a.txt", "wb") as stream:
        stream.write(b"other")
    (after,) = find(f"{memory}/a.txt")
    assert after.stamp != before.stamp


def test_checksums_come_before_dates() -> None:
    assert remote.stamp({"size": 3, "ETag": '"x"', "LastModified": "today"}) == '3:ETag="x"'
    assert remote.stamp({"size": 3, "mtime": 12.5}) == "3:mtime=12.5"
    assert remote.stamp({"size": 3}) == ""


def test_remote_places_that_are_not_there(memory: str) -> None:
    for pattern in ("gone.txt", "*.csv"):
        with pytest.raises(MissingError, match="nothing at"):
            find(f"{memory}/{pattern}")
    with pytest.raises(MissingError, match="nothing at"):
        read(f"{memory}/gone.txt")


def test_an_unknown_kind_of_address_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="cannot read 'nonsense://x'") as caught:
        find("nonsense://x")
    assert "hf" in caught.value.why


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(protocol: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(remote, "_filesystem", refuse)
    with pytest.raises(MissingError) as caught:
        read("s3://bucket/x")
    assert caught.value.why == "Install s3fs to access S3"
    assert caught.value.fix == "pip install s3fs"


def test_a_server_that_fails_is_an_error_that_can_be_retried(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, *args: object, **options: object) -> None:
        raise RuntimeError("timed\nout")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", refuse)
    with pytest.raises(DataError, match="cannot read") as caught:
        read(f"{memory}/a.txt")
    assert caught.value.why == "timed out"
    assert not isinstance(caught.value, MissingError)


def test_files_of_other_users(tmp_path: Path) -> None:
    path = put(tmp_path / "x", "x")
    if os.access(path, os.R_OK) and os.geteuid() == 0:
        path.unlink()  # root reads everything; a folder stands for what cannot be read
        path.mkdir()
    else:
        path.chmod(0)
    with pytest.raises(DataError, match="cannot read"):
        read(str(path))


@pytest.mark.parametrize(
    "span", ["0..99999999999999999999", "0.." + "9" * 5000, "-999999999..999999999"]
)
def test_braces_of_any_length_are_counted_first(span: str) -> None:
    with pytest.raises(DataError, match="names more than"):
        expand(f"a{{{span}}}.jpg")
