import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from reactions.core.errors import DataError, MissingError, StoreError
from reactions.core.file_digests import DigestCache
from reactions.weights.download import fetch
from reactions.weights.locate import WeightLocator, WeightsFile, WeightsRepo
from reactions.weights.url_download import download

BYTES = bytes(range(256)) * 20_000  # several chunks
SHA = hashlib.sha256(BYTES).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves ``body``; ``tags`` are headers that tell its version."""

    ranges = True
    checks = True  # heeds If-Range
    stop_after = None
    body = BYTES
    tags: ClassVar[dict] = {"ETag": '"one"'}
    beyond = None  # Content-Range of the answer that there is nothing more
    ranges_asked: ClassVar[list] = []

    def do_GET(self):
        byte_range = self.headers.get("Range")
        self.ranges_asked.append(byte_range)
        if "gone" in self.path:
            self.send_error(404, "not here")
            return
        start = int(byte_range[6:-1]) if byte_range and self.ranges else 0
        version_known = self.headers.get("If-Range")
        if version_known and self.checks and version_known not in self.tags.values():
            start = 0
        if start >= len(self.body):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            if self.beyond:
                self.send_header("Content-Range", self.beyond)
            self.end_headers()
            return
        body = self.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.tags.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: self.stop_after] if self.stop_after else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("ranges", "checks", "stop_after", "body", "tags", "beyond"):
        # Which puts back what a test changes.
        monkeypatch.setattr(Handler, name, getattr(Handler, name))
    monkeypatch.setattr(Handler, "ranges_asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def locator(tmp_path, **changes):
    return WeightLocator(**{"folders": (tmp_path / "weights",), "hub": tmp_path / "hub", **changes})


def file(server, name="model.bin", **changes):
    return WeightsFile(name, url=f"{server}/{name}", **changes)


def test_a_file_is_downloaded_checked_and_found_again(server, tmp_path):
    requirement = file(server, sha256=SHA, size_bytes=len(BYTES), licence="MIT")
    reported = []
    for was_there in (False, True):
        (fetched,) = fetch(
            "My Space",
            [requirement],
            locator(tmp_path),
            DigestCache(),
            on_progress=lambda *progress: reported.append(progress),
        )
        assert fetched.path == tmp_path / "weights" / "my-space" / "model.bin"
        assert fetched.path.read_bytes() == BYTES
        assert (fetched.was_there, fetched.licence, fetched.sha256) == (was_there, "MIT", SHA)
    assert reported[-1] == ("model.bin", len(BYTES), len(BYTES))
    assert len(Handler.ranges_asked) == 1
    assert [p.name for p in fetched.path.parent.iterdir()] == ["model.bin"]


def test_a_stopped_download_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "stop_after", 1_000_000)
    with pytest.raises(MissingError, match="cannot download") as caught:
        download(file(server), tmp_path / "m.bin", lambda *_: None)
    assert "bytes are kept" in caught.value.fix
    assert not (tmp_path / "m.bin").exists()
    n_kept = (tmp_path / "m.bin.part").stat().st_size
    assert 0 < n_kept <= 1_000_000
    monkeypatch.setattr(Handler, "stop_after", None)
    download(file(server, sha256=SHA), tmp_path / "m.bin", lambda *_: None)
    assert Handler.ranges_asked == [None, f"bytes={n_kept}-"]
    assert (tmp_path / "m.bin").read_bytes() == BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["m.bin"]


OTHER = bytes(reversed(BYTES)) + b"longer"
DATES = [{"Last-Modified": f"Sat, 0{day} Jan 2022 00:00:00 GMT"} for day in (1, 8)]


def stopped(url, path, monkeypatch):
    """Download the beginning of a file whose digest is unknown; return how much was kept."""
    Handler.stop_after = 1_000_000
    with pytest.raises(MissingError) as caught:
        download(WeightsFile("m.bin", url=f"{url}/m.bin"), path, lambda *_: None)
    Handler.stop_after = None
    Handler.ranges_asked.clear()
    return path.with_name(path.name + ".part").stat().st_size, caught.value


@pytest.mark.parametrize("tags", [{"ETag": '"one"'}, DATES[0]])
def test_a_download_goes_on_without_a_digest_while_the_file_is_the_same(
    server, tmp_path, monkeypatch, tags
):
    Handler.tags = tags
    n_kept, error = stopped(server, tmp_path / "m.bin", monkeypatch)
    assert "bytes are kept" in error.fix
    download(file(server), tmp_path / "m.bin", lambda *_: None)
    assert Handler.ranges_asked == [f"bytes={n_kept}-"]
    assert (tmp_path / "m.bin").read_bytes() == BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["m.bin"]


@pytest.mark.parametrize("checks", [True, False], ids=["If-Range heeded", "If-Range ignored"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"one"'}, {"ETag": '"two"'}),
        DATES,
        ({"ETag": 'W/"same"', **DATES[0]}, {"ETag": 'W/"same"', **DATES[1]}),
    ],
)
def test_a_file_that_changed_on_the_server_is_not_spliced(
    server, tmp_path, monkeypatch, before, after, checks
):
    Handler.tags, Handler.checks = before, checks
    stopped(server, tmp_path / "m.bin", monkeypatch)
    Handler.tags, Handler.body = after, OTHER
    download(file(server), tmp_path / "m.bin", lambda *_: None)
    assert (tmp_path / "m.bin").read_bytes() == OTHER


@pytest.mark.parametrize("tags", [{}, {"ETag": 'W/"weak"'}])
def test_without_any_sign_of_the_version_a_download_starts_again(
    server, tmp_path, monkeypatch, tags
):
    Handler.tags = tags
    _, error = stopped(server, tmp_path / "m.bin", monkeypatch)
    assert "are kept" not in error.fix
    Handler.body = OTHER
    download(file(server), tmp_path / "m.bin", lambda *_: None)
    assert Handler.ranges_asked == [None]
    assert (tmp_path / "m.bin").read_bytes() == OTHER


def test_the_sign_of_a_version_is_that_of_the_bytes_kept(server, tmp_path, monkeypatch):
    """Started again with another version and stopped again, it goes on with that one."""
    stopped(server, tmp_path / "m.bin", monkeypatch)
    Handler.tags, Handler.body = {"ETag": '"two"'}, OTHER
    n_kept, _ = stopped(server, tmp_path / "m.bin", monkeypatch)
    download(file(server), tmp_path / "m.bin", lambda *_: None)
    assert Handler.ranges_asked == [f"bytes={n_kept}-"]
    assert (tmp_path / "m.bin").read_bytes() == OTHER


@pytest.mark.parametrize(
    ("beyond", "n_requests"),
    [
        (f"bytes */{len(BYTES)}", 1),
        (f"bytes */{len(BYTES) - 7}", 2),  # the file is shorter now: ours is another
        (None, 2),
    ],
)
def test_nothing_beyond_what_we_have(server, tmp_path, beyond, n_requests):
    part = tmp_path / "m.bin.part"
    part.write_bytes(BYTES)
    part.with_name("m.bin.part.tag").write_text('"one"')
    Handler.beyond = beyond
    Handler.body = BYTES if n_requests == 1 else BYTES[:-7]
    download(file(server), tmp_path / "m.bin", lambda *_: None)
    assert len(Handler.ranges_asked) == n_requests
    assert (tmp_path / "m.bin").read_bytes() == Handler.body


def test_a_part_that_begins_elsewhere_is_not_appended(server, tmp_path, monkeypatch):
    stopped(server, tmp_path / "m.bin", monkeypatch)
    Handler.tags = {"ETag": '"one"', "Content-Range": f"bytes 5-{len(BYTES) - 1}/{len(BYTES)}"}
    download(file(server), tmp_path / "m.bin", lambda *_: None)
    assert len(Handler.ranges_asked) == 2
    assert (tmp_path / "m.bin").read_bytes() == BYTES


def test_a_server_without_ranges_starts_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "ranges", False)
    (tmp_path / "m.bin.part").write_bytes(b"old")
    download(file(server, sha256=SHA), tmp_path / "m.bin", lambda *_: None)
    assert (tmp_path / "m.bin").read_bytes() == BYTES


def test_a_download_that_was_whole_is_only_checked(server, tmp_path):
    (tmp_path / "m.bin.part").write_bytes(BYTES)
    download(file(server, sha256=SHA), tmp_path / "m.bin", lambda *_: None)  # 416
    (tmp_path / "n.bin.part").write_bytes(BYTES)
    download(file(server, size_bytes=len(BYTES)), tmp_path / "n.bin", lambda *_: None)
    assert len(Handler.ranges_asked) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"sha256": "0" * 64}, "its SHA-256 is"), ({"size_bytes": 7}, "bytes, not 7")],
)
def test_what_is_not_the_published_file_is_removed(server, tmp_path, changes, why):
    with pytest.raises(DataError, match="not the published file") as caught:
        download(file(server, **changes), tmp_path / "m.bin", lambda *_: None)
    assert why in caught.value.why
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_does_not_have(server, tmp_path):
    with pytest.raises(MissingError) as caught:
        download(file(server, "gone.bin"), tmp_path / "m.bin", lambda *_: None)
    assert "404" in caught.value.why


def test_no_server(tmp_path):
    requirement = WeightsFile("m.bin", url="http://127.0.0.1:9/m.bin")
    with pytest.raises(MissingError, match="cannot download"):
        download(requirement, tmp_path / "m.bin", lambda *_: None)


def test_a_place_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        download(file(server), tmp_path / "file" / "m.bin", lambda *_: None)


def test_offline_mode_is_honoured_but_what_is_there_is_used(server, tmp_path):
    offline = locator(tmp_path, offline="MOLSPACE_OFFLINE=1")
    for requirement in (file(server), WeightsRepo("org/repo", weights=("*.safetensors",))):
        with pytest.raises(MissingError) as caught:
            fetch("S", [requirement], offline, DigestCache())
        assert "MOLSPACE_OFFLINE=1" in caught.value.why
    assert Handler.ranges_asked == []
    (tmp_path / "weights" / "s").mkdir(parents=True)
    (tmp_path / "weights" / "s" / "model.bin").write_bytes(BYTES)
    (fetched,) = fetch("S", [file(server)], offline, DigestCache())
    assert fetched.was_there


def test_a_file_that_nothing_offers(tmp_path):
    with pytest.raises(MissingError, match="no weights for space 'S'"):
        fetch("S", [WeightsFile("x.bin")], locator(tmp_path), DigestCache())
