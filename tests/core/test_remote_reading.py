"""Files of file systems that can do less than Python's: read all the same."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from media_files import put

from reactions.core import remote, storage
from reactions.core.errors import DataError
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus


class BareFile:
    """What every file of fsspec can do, and no more; ``readline`` takes no size, as by HTTP."""

    def __init__(self, data: bytes, *, seekable: bool) -> None:
        self.data = data
        self.place = 0
        self._seekable = seekable

    def read(self, length: int = -1) -> bytes:
        length = len(self.data) if length < 0 else min(length, 3)  # as little as a server may send
        part = self.data[self.place : self.place + length]
        self.place += len(part)
        if b"BROKEN" in self.data[: self.place]:
            raise TimeoutError("the server did not answer")
        return part

    def readline(self) -> bytes:
        raise AssertionError("never called: file systems differ in it")

    def seekable(self) -> bool:
        return self._seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        if not self._seekable:
            raise ValueError("Cannot seek streaming HTTP file")
        self.place = offset + (0, self.place, len(self.data))[whence]
        return self.place

    def tell(self) -> int:
        return self.place

    def close(self) -> None:
        pass


class BareFileSystem:
    """Files by path, that can do little."""

    def __init__(self, *, seekable: bool) -> None:
        self.files: dict[str, bytes] = {}
        self.seekable = seekable

    def info(self, path: str) -> dict[str, object]:
        return {"name": path, "size": len(self.files[path]), "type": "file", "ETag": "x"}

    def isdir(self, path: str) -> bool:
        return False

    def unstrip_protocol(self, path: str) -> str:
        return f"s3://{path}"

    def open(self, path: str, mode: str = "rb") -> BareFile:
        return BareFile(self.files[path], seekable=self.seekable)


@pytest.fixture(params=[True, False])
def bare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BareFileSystem:
    fs = BareFileSystem(seekable=request.param)
    monkeypatch.setattr(remote, "_open", lambda url: (fs, url.removeprefix("s3://")))
    return fs


def opened(url: str) -> SourceCorpus:
    return open_corpus("far", "text", [Source(paths=(url,))], tables=TableCache())


def texts(corpus: SourceCorpus) -> list[str]:
    return [item.value for item in corpus.items(0, len(corpus))]


_FILES = {
    "a.txt": "rain\nStraße\n",
    "a.jsonl": '{"caption": "rain"}\n{"caption": "Straße"}\n',
    "a.csv": "caption\nrain\nStraße\n",
    "a.tsv": "caption\nrain\nStraße\n",
}


@pytest.mark.parametrize("name", list(_FILES))
def test_files_that_can_only_be_read(bare: BareFileSystem, name: str) -> None:
    bare.files[f"bucket/{name}"] = _FILES[name].encode()
    assert texts(opened(f"s3://bucket/{name}")) == ["rain", "Straße"]


def test_a_server_that_stops_answering_is_an_error(bare: BareFileSystem) -> None:
    bare.files["bucket/a.txt"] = b"rain\n" * 100 + b"BROKEN"
    with pytest.raises(DataError, match="cannot read 's3://bucket") as caught:
        opened("s3://bucket/a.txt")
    assert "did not answer" in caught.value.why


def test_what_is_open_reads_and_seeks_as_any_file(bare: BareFileSystem) -> None:
    bare.files["bucket/a.txt"] = bytes(range(200))
    with storage.open_binary("s3://bucket/a.txt") as stream:
        assert stream.readline(5) == bytes(range(5))
        assert stream.tell() == 5
        assert stream.seekable() == bare.seekable
        if bare.seekable:
            assert stream.seek(-10, 2) == 190
            assert stream.read(3) == bytes([190, 191, 192])
            stream.seek(5)
        assert stream.read() == bytes(range(5, 200))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("name", list(_FILES))
def test_captions_by_http(server: str, tmp_path: Path, name: str) -> None:
    pytest.importorskip("aiohttp")
    put(tmp_path / name, _FILES[name])
    assert texts(opened(f"{server}/{name}")) == ["rain", "Straße"]


def test_records_of_a_server_that_sends_all_at_once(bare: BareFileSystem) -> None:
    lines = [json.dumps({"caption": f"caption {i}"}) for i in range(200)]
    bare.files["bucket/a.jsonl"] = "\r\n".join(lines).encode()
    assert len(opened("s3://bucket/a.jsonl")) == 200
