"""Tars behind HTTP as corpora: read in order, by few requests, and the same as on this machine."""

from pathlib import Path

import pytest
from far_files import far_files
from media_files import image_bytes, put, put_tar
from staged import Staged

from reactions.core import read_ahead
from reactions.core.errors import DataError
from reactions.core.read_ahead import BLOCKS
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.encoding.items import PIECE_ITEMS, CorpusRange
from reactions.encoding.stream import encode

pytest.importorskip("aiohttp")

N = 120


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    BLOCKS.forget()
    monkeypatch.setattr(BLOCKS, "block_bytes", 1 << 15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    put_tar(folder / "s.tar", {f"{i:04d}.png": image_bytes(i) for i in range(N)})
    return folder


def opened(path: object) -> SourceCorpus:
    return open_corpus("far", "image", [Source(paths=(str(path),))], tables=TableCache())


def test_a_pass_takes_a_request_a_block(folder: Path) -> None:
    near = opened(folder / "s.tar")
    with far_files(folder) as server:
        remote = opened(f"{server.url}/s.tar")
        n_blocks = -(-(folder / "s.tar").stat().st_size // BLOCKS.block_bytes)
        assert (
            server.counts["requests"] == n_blocks + 2
        )  # found, and looked at once more at the end
        assert (remote.digest, remote.ids()) == (near.digest, near.ids())
        BLOCKS.forget()
        server.counts.clear()
        contents = [item.value.read() for item in remote.items(0, N)]
        assert contents == [item.value.read() for item in near.items(0, N)]
        assert server.counts["requests"] == n_blocks + 1


def test_threads_that_prepare_read_close_to_one_another(folder: Path) -> None:
    with far_files(folder) as server:
        remote = opened(f"{server.url}/s.tar")
        pieces: list[int] = []
        items = remote.items

        def watched(start: int, stop: int):
            pieces.append(stop - start)
            return items(start, stop)

        remote.items = watched
        batches = list(encode(Staged(), CorpusRange(remote, 0, N), workers=3))
        assert sum(len(batch.ids) for batch in batches) == N
        assert max(pieces) <= PIECE_ITEMS


def test_work_goes_on_in_the_middle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_NEAR_BYTES", 2000)
    near = opened(folder / "s.tar")
    with far_files(folder) as server:
        remote = opened(f"{server.url}/s.tar")
        BLOCKS.forget()
        server.counts.clear()
        server.ranges.clear()
        for row in (90, 91, 92, 5):
            assert (
                remote.items(row, row + 1)[0].value.read()
                == near.items(row, row + 1)[0].value.read()
            )
        first = near.items(90, 91)[0].value
        assert server.ranges[0] == (first.offset, first.offset + first.size_bytes)
        assert server.counts["bytes"] < (folder / "s.tar").stat().st_size


def test_a_tar_that_changes_while_it_is_scanned_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "s.tar", (folder / "s.tar").read_bytes())
    with far_files(tmp_path) as server:
        server.etag = 'W/"a"'
        (real,) = [BLOCKS.check_unchanged]

        def check(url: str) -> None:
            server.etag = 'W/"b"'
            real(url)

        monkeypatch.setattr("reactions.core.storage.check_remote_unchanged", check)
        with pytest.raises(DataError, match="changed while it was read"):
            opened(f"{server.url}/s.tar")


def test_a_tar_that_is_cut_short_is_refused(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "s.tar", (folder / "s.tar").read_bytes()[:40_448])
    with far_files(tmp_path) as server, pytest.raises(DataError, match="damaged") as caught:
        opened(f"{server.url}/s.tar")
    assert "cut short" in caught.value.why
