"""Commands that only list or plan contact no server."""

import http.server
import json
import os
import threading

import command_line
import pytest

LAB = """
[lab]
extends = "mini"
[corpora.text]
path = "{url}/captions.txt"
[corpora.image]
path = "simplecache::{url}/photos-{{0..3}}.tar"
[pairs.shards]
path = "{url}/pairs-{{0..3}}.tar"
audio = "wav"
image = "jpg"
[pairs.clips]
video = "{url}/clip.mp4"
"""
PLAN = "ImageBind + Cr(CLAP_m)"


@pytest.fixture
def server():
    """A server on this machine, and what it was asked, with every header."""
    requests: list[tuple[str, dict[str, str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", requests
        running.shutdown()
        thread.join()


@pytest.fixture
def molspace(tmp_path, server):
    url, _ = server
    (tmp_path / "remote.toml").write_text(LAB.format(url=url))
    env = {
        **os.environ,
        "HF_TOKEN": "hf_secret",
        "HF_ENDPOINT": url,  # where a leak would be seen
    }

    def run(*arguments):
        return command_line.molspace(*arguments, "--lab", "remote.toml", cwd=tmp_path, env=env)

    return run


def test_data_list_says_what_it_did_not_look_at(molspace, server):
    result = molspace("data", "list")
    assert result.returncode == 0, result.stderr
    assert "corpus\ttext\tnot looked at" in result.stdout
    assert "corpus\timage\tnot looked at" in result.stdout
    assert "corpus\taudio\t" in result.stdout
    assert "pairs\tshards\tnot looked at" in result.stdout
    assert "pairs\tclips\tnot looked at" in result.stdout
    assert "fix: --online" in result.stdout
    body = {
        entry["name"]: entry
        for entry in json.loads(molspace("data", "list", "--json").stdout)["data"]
    }
    assert (body["text"]["looked_at"], body["audio"]["looked_at"]) == (False, True)
    assert server[1] == []


@pytest.mark.parametrize(
    "command", [("plan", PLAN), ("plan", PLAN, "--draw", "dot"), ("cache", "explain", PLAN)]
)
def test_plans_of_remote_corpora_need_a_word(molspace, server, command):
    result = molspace(*command)
    assert (result.returncode, result.stdout) == (3, "")
    assert "was not looked at" in result.stderr
    assert "fix: --online" in result.stderr
    assert server[1] == []


@pytest.mark.parametrize("command", [("spaces", "list"), ("spaces", "info", "ImageBind")])
def test_spaces_are_listed_without_a_server(molspace, server, command):
    assert molspace(*command).returncode == 0
    assert server[1] == []


def test_a_word_allows_it_and_no_secret_goes_along(molspace, server):
    pytest.importorskip("aiohttp")
    assert molspace("data", "list", "--online").returncode == 0
    assert {path for path, _ in server[1]} >= {"/captions.txt"}
    for _, headers in server[1]:
        assert "authorization" not in headers
        assert "hf_secret" not in str(headers)
