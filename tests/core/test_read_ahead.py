"""Remote files in order: few requests, resumed where they broke off, refused where they changed."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from far_files import FarFiles, far_files
from media_files import put

from reactions.core import remote_ranges, storage
from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MissingError
from reactions.core.hashing import bytes_digest
from reactions.core.read_ahead import BLOCKS, ReadAhead
from reactions.core.remote import contradict, stamp
from reactions.core.remote_ranges import RemoteRanges
from reactions.core.storage import Blob, find, is_folder, open_in_order
from reactions.core.transient import TransientError

pytest.importorskip("aiohttp")

KB = 1000
CONTENT = np.random.default_rng(0).bytes(100 * KB)


class Kept:
    """A file in memory that notes which ranges are read of it."""

    def __init__(self, data: bytes = CONTENT) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.stamp = ""
        self.ranges_read: list[tuple[int, int]] = []
        self.failing = 0
        self.lock = threading.Lock()

    def read(self, start: int, stop: int) -> bytearray:
        with self.lock:
            self.ranges_read.append((start, stop))
            if self.failing:
                self.failing -= 1
                raise TransientError("cannot read it now")
        return bytearray(self.data[start:stop])


def ahead_of(file: Kept, **sizes: int) -> ReadAhead:
    options = {"block_bytes": 10 * KB, "ahead_blocks": 2, "kept_blocks": 4, **sizes}
    return ReadAhead(open_file=lambda url: file, **options)


@pytest.fixture
def far_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarFiles]:
    put(tmp_path / "a.bin", CONTENT)
    waits: list[float] = []
    monkeypatch.setattr(remote_ranges, "wait", waits.append)
    BLOCKS.forget()
    with far_files(tmp_path) as server:
        server.waits = waits
        yield server
    BLOCKS.forget()


# --- which reads are in order ---


@pytest.mark.parametrize("n_files", [1, 4, 8, 12])
@pytest.mark.parametrize("ranges", [1, 4])
def test_many_that_read_in_order_share_what_is_kept(n_files: int, ranges: int) -> None:
    files = {f"mem://{i}": Kept(CONTENT * 8) for i in range(n_files)}
    ahead = ReadAhead(
        open_file=lambda url: files[url], block_bytes=10 * KB, ahead_blocks=4, kept_blocks=16
    )
    size = len(CONTENT) * 8 // ranges
    for start in range(0, size, 2 * KB):
        for url in files:
            for part in range(ranges):
                ahead.read(url, part * size + start, 2 * KB)
    n_bytes = sum(stop - start for file in files.values() for start, stop in file.ranges_read)
    assert n_bytes <= 1.2 * n_files * len(CONTENT) * 8


def test_reads_that_follow_one_another_take_a_request_a_block() -> None:
    file = Kept()
    blocks = ahead_of(file)
    for start in range(0, 100 * KB, 500):
        assert blocks.read("u", start, 500) == CONTENT[start : start + 500]
    assert sorted(file.ranges_read) == [(n * KB, (n + 10) * KB) for n in range(0, 100, 10)]


def test_reads_side_by_side_take_no_more() -> None:
    file = Kept()
    blocks = ahead_of(file)
    # As four threads read, each a piece at a time, which are not quite in step.
    for first in range(0, 100 * KB, 4 * KB):
        for start in range(first, first + KB, 250):
            for piece in (2, 0, 3, 1):
                begin = start + piece * KB
                assert blocks.read("u", begin, 250) == CONTENT[begin : begin + 250]
    assert len(file.ranges_read) == 10


def test_threads_get_what_they_ask_for() -> None:
    blocks = ahead_of(Kept())

    def piece(first: int) -> bytes:
        return b"".join(blocks.read("u", start, 250) for start in range(first, first + KB, 250))

    with ThreadPoolExecutor(4) as pool:
        assert b"".join(pool.map(piece, range(0, 100 * KB, KB))) == CONTENT


def test_what_is_read_here_and_there_is_asked_for_alone() -> None:
    file = Kept(CONTENT * 100)
    blocks = ahead_of(file)
    starts = [9_000 * KB, 2_000 * KB, 6_000 * KB, 4_000 * KB]
    for start in starts:
        assert blocks.read("u", start, 7) == file.data[start : start + 7]
    assert file.ranges_read == [(start, start + 7) for start in starts]


def test_in_the_middle_the_second_read_is_in_order() -> None:
    file = Kept(CONTENT * 100)
    blocks = ahead_of(file)
    for start in range(5_005 * KB, 5_030 * KB, 500):
        assert blocks.read("u", start, 500) == file.data[start : start + 500]
    assert file.ranges_read[0] == (5_005 * KB, 5_005 * KB + 500)
    assert (5_000 * KB, 5_010 * KB) in file.ranges_read
    assert len(file.ranges_read) <= 1 + 3 + 2  # the first read, the blocks, and those ahead


def test_the_second_read_in_order_sends_for_all_that_go_ahead() -> None:
    file = Kept(CONTENT * 100)
    blocks = ahead_of(file, ahead_blocks=4, kept_blocks=8)
    for start, n_sent_for in ((0, 3), (500, 5), (1000, 5)):
        blocks.read("u", start, 500)
        assert len(blocks._blocks) == n_sent_for
    blocks._pool.shutdown()
    assert sorted(file.ranges_read) == [(n * 10 * KB, (n + 1) * 10 * KB) for n in range(5)]


def test_few_blocks_are_kept() -> None:
    blocks = ahead_of(Kept())
    for start in range(0, 100 * KB, 500):
        blocks.read("u", start, 500)
        assert len(blocks._blocks) <= 4


def test_more_than_is_kept_can_be_read_at_once() -> None:
    file = Kept()
    assert ahead_of(file).read("u", 0, 200 * KB) == CONTENT
    assert len(file.ranges_read) == 10


class Versions:
    """Opens what a server has at the time, which gives no tag that ranges could be held against."""

    def __init__(self, stamp: str) -> None:
        self.now = Kept()
        self.now.stamp = stamp
        self.n_opened = 0

    def __call__(self, url: str) -> Kept:
        self.n_opened += 1
        return self.now if url == "u" else Kept()

    def replace(self, stamp: str, data: bytes = CONTENT[::-1]) -> None:
        self.now = Kept(data)
        self.now.stamp = stamp


@pytest.mark.parametrize(
    ("stamp", "later", "data"),
    [
        ("100000:Last-Modified=Mon", "100000:Last-Modified=Tue", CONTENT[::-1]),
        ("100000:etag=W/1", "100000:etag=W/2", CONTENT[::-1]),
        ("", "", CONTENT[:-1]),
    ],
)
def test_what_is_another_file_when_it_is_opened_again_is_refused(
    stamp: str, later: str, data: bytes
) -> None:
    versions = Versions(stamp)
    blocks = ReadAhead(block_bytes=10 * KB, open_file=versions)
    with blocks.open("u", stamp) as stream:
        assert stream.read(5 * KB) == CONTENT[: 5 * KB]
        versions.replace(later, data)
        for n in range(20):  # more files than are kept open
            blocks.read(f"other {n}", 0, 10)
        # Who reads it goes on with the version that was opened ...
        assert stream.read() == CONTENT[5 * KB :]
        # ... and the change is reported at the end; nothing new is read beside the old.
        with pytest.raises(DataError, match="changed while it was read") as caught:
            blocks.check_unchanged("u")
    assert "opened again" in caught.value.why
    # What was said once holds no longer: the next run scans it anew.
    assert blocks.read("u", 0, 10) == data[:10]


def test_what_is_the_same_when_it_is_opened_again_is_read_on() -> None:
    versions = Versions("100000:etag=1")
    blocks = ReadAhead(block_bytes=10 * KB, open_file=versions)
    assert blocks.read("u", 0, 10) == CONTENT[:10]
    for n in range(20):
        blocks.read(f"other {n}", 0, 10)
    assert blocks.read("u", 50 * KB, 10) == CONTENT[50 * KB : 50 * KB + 10]
    assert versions.n_opened == 22


@pytest.mark.parametrize("stamps", [("100000:etag=1", "100000:etag=2"), ("", "")])
def test_blocks_of_two_versions_do_not_mix(stamps: tuple[str, str]) -> None:
    """A reader of the old version is under way while another has found the new one."""
    versions = Versions(stamps[0])
    blocks = ReadAhead(block_bytes=10 * KB, open_file=versions)
    with blocks.open("u", stamps[0]) as old:
        assert old.read(5) == CONTENT[:5]
        versions.replace(stamps[1])
        blocks.forget("u")
        assert blocks.read("u", 0, 10) == CONTENT[::-1][:10]
        assert old.read() == CONTENT[5:]
        assert blocks.read("u", 0, 100 * KB) == CONTENT[::-1]


def test_servers_that_give_a_date_alone_are_held_to_it() -> None:
    info = {"name": "u", "size": 5, "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert stamp(info) == "5:Last-Modified=Mon, 01 Jan 2024 00:00:00 GMT"
    assert stamp({**info, "ETag": '"x"'}) == '5:ETag="x"'
    assert not contradict(stamp(info), "5:Last-Modified=another wording")


def test_what_failed_ahead_of_time_is_asked_for_again() -> None:
    file = Kept()
    blocks = ahead_of(file)
    assert blocks.read("u", 0, 10) == CONTENT[:10]
    blocks._pool.shutdown()  # the block ahead has come
    blocks._pool = None
    file.failing = 1
    blocks.read("u", 10 * KB, 10)
    blocks._pool.shutdown()
    blocks._pool = None
    assert file.failing == 0
    assert blocks.read("u", 20 * KB, 20 * KB) == CONTENT[20 * KB : 40 * KB]


def test_nothing_lies_behind_the_end() -> None:
    blocks = ahead_of(Kept())
    assert blocks.read("u", 99 * KB, 5 * KB) == CONTENT[99 * KB :]
    assert blocks.read("u", 200 * KB, 5) == b""


# --- by HTTP ---


def test_a_file_in_order(far_server: FarFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BLOCKS, "block_bytes", 10 * KB)
    (entry,) = find(f"{far_server.url}/a.bin")
    far_server.counts.clear()
    with open_in_order(entry) as stream:
        assert stream.read(5) == CONTENT[:5]
        assert stream.seek(0) == 0
        assert stream.read() == CONTENT
        assert stream.seek(-3, 2) == 100 * KB - 3
        assert (stream.read(), stream.tell()) == (CONTENT[-3:], 100 * KB)
    assert far_server.counts["requests"] == 10  # its size is known
    storage.check_unchanged(entry)


def test_a_transfer_goes_on_where_it_broke_off(far_server: FarFiles) -> None:
    far_server.breaks = [30 * KB, 20 * KB]
    assert Blob(f"{far_server.url}/a.bin", 0, 100 * KB).read() == CONTENT
    assert [start for start, _ in far_server.ranges] == [0, 30 * KB, 50 * KB]
    assert far_server.waits == []  # it went on each time


def test_a_transfer_that_never_goes_on_is_given_up(far_server: FarFiles) -> None:
    far_server.breaks = [10 * KB] + [0] * 20
    with pytest.raises(TransientError, match="now") as caught:
        Blob(f"{far_server.url}/a.bin", 0, 100 * KB).read()
    assert "at byte 10000 of 100000 the transfer stopped 5 times" in caught.value.why
    assert len(far_server.waits) == 4
    far_server.breaks = []
    assert Blob(f"{far_server.url}/a.bin", 0, 100 * KB).read() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT[:-1], CONTENT + b"more"])
def test_what_changed_meanwhile_is_refused(
    far_server: FarFiles, tmp_path: Path, content: bytes
) -> None:
    ranges = RemoteRanges(f"{far_server.url}/a.bin")
    assert ranges.read(0, 10) == CONTENT[:10]
    put(tmp_path / "a.bin", content, when_s=1_650_000_000)
    with pytest.raises(DataError, match="changed while it was read"):
        ranges.read(50 * KB, 60 * KB)
    with pytest.raises(DataError, match="changed while it was read"):
        ranges.check_unchanged()


def test_sizes_are_compared_where_tags_are_not_to_be_trusted(
    far_server: FarFiles, tmp_path: Path
) -> None:
    far_server.etag = 'W/"weak"'
    ranges = RemoteRanges(f"{far_server.url}/a.bin")
    assert ranges.read(0, 10) == CONTENT[:10]
    put(tmp_path / "a.bin", CONTENT[: 60 * KB])
    with pytest.raises(DataError, match="changed while it was read"):
        ranges.read(50 * KB, 70 * KB)


@pytest.mark.parametrize(
    "content_range", ["bytes 0-9/100000", "bytes 11-20/*", "bytes */100000", ""]
)
def test_another_part_than_was_asked_for_is_refused(
    far_server: FarFiles, content_range: str
) -> None:
    ranges = RemoteRanges(f"{far_server.url}/a.bin")
    far_server.content_range = content_range
    with pytest.raises(DataError, match="in parts") as caught:
        ranges.read(10, 20)
    assert f"begins at byte 10, and sent '{content_range}'" in caught.value.why


def test_what_is_beyond_the_part_that_was_said_is_asked_for_again(far_server: FarFiles) -> None:
    ranges = RemoteRanges(f"{far_server.url}/a.bin")
    far_server.content_range = "bytes 10-14/*"
    data = bytearray()
    ranges._add(data, 10, 20)
    assert data == CONTENT[10:15]


def test_what_is_not_as_it_was_listed_is_refused(far_server: FarFiles) -> None:
    (entry,) = find(f"{far_server.url}/a.bin")
    size, fact = entry.stamp.split(":", 1)
    with pytest.raises(DataError, match="changed"):
        open_in_order(Entry(entry.name, entry.url, entry.size_bytes, f"{size}:{fact}x"))
    # Other facts of the same size are of another listing of the same file.
    open_in_order(Entry(entry.name, entry.url, entry.size_bytes, f"{size}:LastModified=y")).close()


def test_contents_are_held_against_what_was_scanned(far_server: FarFiles, tmp_path: Path) -> None:
    url = f"{far_server.url}/a.bin"
    tag = f"file:{bytes_digest(CONTENT[:KB])}"
    blob = Blob(url, 0, KB, "a.jpg", tag)
    assert blob.read() == CONTENT[:KB]
    other = b"x" + CONTENT[1:]
    put(tmp_path / "a.bin", other, when_s=1_650_000_000)
    BLOCKS.forget()
    with pytest.raises(DataError, match=r"a\.bin/a\.jpg' changed") as caught:
        blob.read()
    assert "something else than when it was scanned" in caught.value.why
    # What is held is older than what was scanned since.
    put(tmp_path / "a.bin", CONTENT, when_s=1_660_000_000)
    assert blob.read() == CONTENT[:KB]


def test_a_server_without_ranges_is_refused_with_what_helps(
    far_server: FarFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCKS, "block_bytes", 10 * KB)
    far_server.sends_ranges = False
    url = f"{far_server.url}/a.bin"
    with pytest.raises(DataError, match="in parts") as caught:
        Blob(url, 50 * KB, 10).read()
    assert f"simplecache::{url}" in caught.value.fix
    assert Blob(f"simplecache::{url}", 50 * KB, 10).read() == CONTENT[50 * KB : 50 * KB + 10]


def test_what_is_not_there(far_server: FarFiles) -> None:
    with pytest.raises(MissingError):
        Blob(f"{far_server.url}/b.bin", 0, 10).read()


def test_files_by_http_are_not_downloaded_to_see_whether_they_are_folders(
    far_server: FarFiles,
) -> None:
    assert not is_folder(f"{far_server.url}/a.bin?v=1.2")
    assert far_server.counts["requests"] == 0


def test_queries_of_addresses_are_no_wildcards(far_server: FarFiles) -> None:
    (entry,) = find(f"{far_server.url}/a.bin?token=xy")
    assert (entry.name, entry.size_bytes) == ("a.bin", 100 * KB)
    assert Blob(entry.url, 1, 3).read() == CONTENT[1:4]


def test_other_file_systems() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    with fs.open("/far/a.bin", "wb") as stream:
        stream.write(CONTENT)
    ranges = ((0, 10), (10, 10), (99 * KB, KB))
    parts = [Blob("memory://far/a.bin", start, n).read() for start, n in ranges]
    assert parts == [CONTENT[:10], CONTENT[10:20], CONTENT[-KB:]]
