import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from reactions.data.digests import DigestCache
from reactions.errors import DataError, MissingError, StoreError
from reactions.spaces import fetch as module
from reactions.spaces.fetch import download, fetch
from reactions.spaces.weights import Places, WeightsFile, WeightsRepo

BYTES = bytes(range(256)) * 20_000  # several chunks
SHA = hashlib.sha256(BYTES).hexdigest()


class Handler(BaseHTTPRequestHandler):
    ranges = True
    stop_after = None
    asked = None

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        if "gone" in self.path:
            self.send_error(404, "not here")
            return
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        if start >= len(BYTES):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(BYTES) - start))
        self.end_headers()
        body = BYTES[start:]
        self.wfile.write(body[: self.stop_after] if self.stop_after else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(Handler, "ranges", True)
    monkeypatch.setattr(Handler, "stop_after", None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def places(tmp_path, **changes):
    return Places(**{"folders": (tmp_path / "weights",), "hub": tmp_path / "hub", **changes})


def file(server, name="model.bin", **changes):
    return WeightsFile(name, url=f"{server}/{name}", **changes)


def test_a_file_is_downloaded_checked_and_found_again(server, tmp_path):
    wanted = file(server, sha256=SHA, size_bytes=len(BYTES), licence="MIT")
    told = []
    for was_there in (False, True):
        (found,) = fetch(
            "My Space",
            [wanted],
            places(tmp_path),
            DigestCache(),
            told=lambda *progress: told.append(progress),
        )
        assert found.path == tmp_path / "weights" / "my-space" / "model.bin"
        assert found.path.read_bytes() == BYTES
        assert (found.was_there, found.licence, found.sha256) == (was_there, "MIT", SHA)
    assert told[-1] == ("model.bin", len(BYTES), len(BYTES))
    assert len(Handler.asked) == 1
    assert [p.name for p in found.path.parent.iterdir()] == ["model.bin"]


def test_a_stopped_download_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "stop_after", 1_000_000)
    with pytest.raises(MissingError, match="cannot download") as caught:
        download(file(server), tmp_path / "m.bin", lambda *_: None)
    assert "bytes are kept" in caught.value.fix
    assert not (tmp_path / "m.bin").exists()
    kept = (tmp_path / "m.bin.part").stat().st_size
    assert 0 < kept <= 1_000_000
    monkeypatch.setattr(Handler, "stop_after", None)
    download(file(server, sha256=SHA), tmp_path / "m.bin", lambda *_: None)
    assert Handler.asked == [None, f"bytes={kept}-"]
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
    assert len(Handler.asked) == 1


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
    wanted = WeightsFile("m.bin", url="http://127.0.0.1:9/m.bin")
    with pytest.raises(MissingError, match="cannot download"):
        download(wanted, tmp_path / "m.bin", lambda *_: None)


def test_a_place_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        download(file(server), tmp_path / "file" / "m.bin", lambda *_: None)


def test_offline_mode_is_honoured_but_what_is_there_is_used(server, tmp_path):
    offline = places(tmp_path, offline="MOLSPACE_OFFLINE=1")
    for wanted in (file(server), WeightsRepo("org/repo", weights=("*.safetensors",))):
        with pytest.raises(MissingError) as caught:
            fetch("S", [wanted], offline, DigestCache())
        assert "MOLSPACE_OFFLINE=1" in caught.value.why
    assert Handler.asked == []
    (tmp_path / "weights" / "s").mkdir(parents=True)
    (tmp_path / "weights" / "s" / "model.bin").write_bytes(BYTES)
    (found,) = fetch("S", [file(server)], offline, DigestCache())
    assert found.was_there


def test_a_file_that_is_nowhere_to_be_had(tmp_path):
    with pytest.raises(MissingError, match="no weights for space 'S'"):
        fetch("S", [WeightsFile("x.bin")], places(tmp_path), DigestCache())


class Hub:
    """What huggingface_hub does, on a folder."""

    def __init__(self, files):
        self.files = files
        self.calls = []

    def list_repo_files(self, repo, revision=None):
        return list(self.files)

    def snapshot_download(self, repo, revision=None, cache_dir=None, allow_patterns=()):
        self.calls.append((repo, revision, sorted(allow_patterns)))
        folder = cache_dir / "models--org--repo" / "snapshots" / "abc"
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.files:
            (folder / name).write_bytes(b"x")
        return str(folder)


def test_a_repository_comes_by_the_hubs_own_library(tmp_path, monkeypatch):
    hub = Hub(["config.json", "model.safetensors", "pytorch_model.bin", "flax.msgpack"])
    monkeypatch.setattr(module, "_hub", lambda space: hub)
    wanted = WeightsRepo(
        "org/repo", "v1", ("*.json",), ("*.safetensors", "*.bin"), licence="Apache-2.0"
    )
    (found,) = fetch("S", [wanted], places(tmp_path), DigestCache())
    assert not found.was_there
    assert hub.calls == [("org/repo", "v1", ["*.json", "*.safetensors"])]
    assert found.licence == "Apache-2.0"


def test_a_repository_without_usable_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_hub", lambda space: Hub(["flax.msgpack"]))
    with pytest.raises(MissingError, match="holds no weights that can be used"):
        fetch("S", [WeightsRepo("org/repo", weights=("*.bin",))], places(tmp_path), DigestCache())


def test_what_the_hub_raises_is_told(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise RuntimeError("401 Client Error\nmore")

    hub = SimpleNamespace(list_repo_files=refuse, snapshot_download=refuse)
    monkeypatch.setattr(module, "_hub", lambda space: hub)
    for wanted in (WeightsRepo("org/repo", weights=("*.bin",)), WeightsFile("m", repo="org/repo")):
        with pytest.raises(MissingError) as caught:
            fetch("S", [wanted], places(tmp_path), DigestCache())
        assert caught.value.why == "RuntimeError: 401 Client Error"
