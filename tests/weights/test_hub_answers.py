"""A hostile hub chooses neither names nor places of files."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace

import pytest

from reactions.core.errors import DataError, MissingError
from reactions.core.file_digests import DigestCache
from reactions.weights import download as fetching
from reactions.weights import url_download
from reactions.weights.hub_answers import check_commit, check_etag, check_names, checked_answers
from reactions.weights.locate import WeightLocator, WeightsFile, WeightsRepo

HOSTILE_NAMES = [
    "",
    "/etc/passwd",
    "../x.json",
    "a/../../x.json",
    "a/..",
    "./x.json",
    "a//b.json",
    "a/",
    "..\\x.json",
    "a\\b.json",
    "C:/x.json",
    "c:x.json",
    "a\0.json",
    "a\n.json",
    "a\x1b[31m.json",
    "a\u202egnp.json",
    "a\udcff.json",
    "x" * 300,
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(DataError, match="cannot be used") as caught:
        check_names(["config.json", name], "org/repo")
    assert caught.value.why.isprintable()


def test_names_of_the_usual_kind_pass():
    check_names(
        ["config.json", "a/b-1.safetensors", ".gitattributes", "..a", "naïve 東京.txt"], "r"
    )


@pytest.mark.parametrize(
    "commit", [None, "", "main", "../" * 5, "a" * 39, "A" * 40, "a" * 40 + "\n", "g" * 40, 5]
)
def test_a_commit_is_forty_hex_digits(commit):
    assert check_commit("0123456789abcdef" * 2 + "a" * 8, "r")
    with pytest.raises(DataError, match="cannot be used"):
        check_commit(commit, "r")


@pytest.mark.parametrize("etag", ["", "..", "../x", "a/b", "a\\b", ".x", "a\0", "a..b", "x" * 300])
def test_an_etag_is_a_plain_word(etag):
    assert check_etag("d41d8cd98f00b204e9800998ecf8427e-12", "r")
    with pytest.raises(DataError, match="cannot be used"):
        check_etag(etag, "r")


@pytest.fixture
def library(monkeypatch):
    """The parts of huggingface_hub that hear a server, saying what the test has them say."""
    says = SimpleNamespace(sha="a" * 40, commit_hash="a" * 40, etag="b" * 64)

    class HfApi:
        def repo_info(self, repo):
            return says

    modules = {
        "huggingface_hub": ModuleType("huggingface_hub"),
        "huggingface_hub.file_download": SimpleNamespace(get_hf_file_metadata=lambda url: says),
        "huggingface_hub.hf_api": SimpleNamespace(HfApi=HfApi),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return says, modules["huggingface_hub.file_download"], HfApi


@pytest.mark.parametrize("name", ["sha", "commit_hash", "etag"])
def test_what_the_library_receives_is_checked_before_it_is_filed(library, name):
    says, downloads, api = library
    setattr(says, name, "../../../tmp/x")
    with checked_answers("r"), pytest.raises(DataError, match="cannot be used"):
        downloads.get_hf_file_metadata("url")
    with checked_answers("r"), pytest.raises(DataError, match="cannot be used"):
        api().repo_info("r")
    assert downloads.get_hf_file_metadata("url") is says  # as it was, outside


def test_the_commit_of_a_refusal_is_checked_too(library):
    _, downloads, _ = library

    def refuse(url):
        error = RuntimeError("404")
        error.response = SimpleNamespace(headers={"X-Repo-Commit": "../../../tmp/x"})
        raise error

    downloads.get_hf_file_metadata = refuse
    with checked_answers("r"), pytest.raises(DataError, match="cannot be used"):
        downloads.get_hf_file_metadata("url")
    with pytest.raises(RuntimeError):
        downloads.get_hf_file_metadata("url")


def test_the_real_library_has_what_is_checked():
    pytest.importorskip("huggingface_hub")
    from reactions.weights.hub_answers import _functions

    actual = {name for holder, name in _functions() if hasattr(holder, name)}
    assert {"get_hf_file_metadata", "repo_info"} <= actual


@pytest.mark.parametrize("name", ["../../x.json", "/tmp/x.json", "a\\..\\x.json"])
def test_a_hostile_listing_is_refused_before_anything_is_brought(tmp_path, monkeypatch, name):
    def reached(*args, **options):
        raise AssertionError("downloaded")

    hub = SimpleNamespace(
        list_repo_files=lambda repo, revision=None: ["config.json", name, "model.safetensors"],
        snapshot_download=reached,
    )
    monkeypatch.setattr(fetching, "_hub", lambda space: hub)
    requirement = WeightsRepo("org/repo", files=("*.json",), weights=("*.safetensors",))
    with pytest.raises(DataError, match="cannot be used"):
        fetching.fetch("S", [requirement], WeightLocator(hub=tmp_path), DigestCache())


# --- redirects ---


@pytest.fixture
def servers():
    """Two servers on this machine; the first sends everybody on, the second notes headers."""
    headers_seen = []

    class Second(BaseHTTPRequestHandler):
        def do_GET(self):
            headers_seen.append({key.lower() for key in self.headers})
            self.send_response(200)
            self.send_header("Content-Length", "1")
            self.end_headers()
            self.wfile.write(b"x")

        def log_message(self, *args):
            pass

    second = ThreadingHTTPServer(("127.0.0.1", 0), Second)
    target = [f"http://localhost:{second.server_port}/x"]

    class First(Second):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", target[0])
            self.end_headers()

    first = ThreadingHTTPServer(("127.0.0.1", 0), First)
    threads = [
        threading.Thread(target=each_server.serve_forever) for each_server in (first, second)
    ]
    for thread in threads:
        thread.start()
    yield f"http://127.0.0.1:{first.server_port}/x", target, headers_seen
    for server, thread in zip((first, second), threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_another_host_gets_no_secret(servers):
    import urllib.request

    url, _, headers_seen = servers
    request = urllib.request.Request(url, headers={"Authorization": "Bearer x", "Cookie": "y"})
    with url_download._OPENER.open(request) as response:
        assert response.read() == b"x"
    assert not headers_seen[0] & {"authorization", "cookie"}


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_a_server_sends_nobody_to_other_protocols(servers, tmp_path, place):
    url, target, headers_seen = servers
    target[0] = place
    with pytest.raises(MissingError, match="cannot download"):
        url_download.download(WeightsFile("x", url=url), tmp_path / "x", lambda *on_progress: None)
    assert not (tmp_path / "x").exists()
    assert headers_seen == []
