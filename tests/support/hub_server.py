"""A server on this machine that speaks what huggingface_hub needs of data sets' repositories."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from reactions.core.protocols import OFFLINE_VARIABLES


class HubServer:
    """Repositories of data sets, in memory.

    Attributes:
        commits: files by name, of each commit of each repository.
        branches: commit of each branch of each repository.
        requests: what was asked for, such as ``"GET /api/datasets/o/n/revision/main"``.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.requests: list[str] = []
        self.url = ""

    def push(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit, and return it."""
        sha = hashlib.sha1()
        for name, data in sorted(files.items()):
            sha.update(name.encode() + b"\0" + data)
        commit = sha.hexdigest()
        self.commits.setdefault(repo, {})[commit] = dict(files)
        self.branches.setdefault(repo, {})[branch] = commit
        return commit

    def bytes_sent_for(self, name: str) -> bool:
        """Whether a file's contents were asked for."""
        return any(r.startswith("GET") and r.endswith(name) for r in self.requests)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        api = parts[0] == "api"
        parts = parts[2 if api else 1 :]
        repo, rest = "/".join(parts[:2]), parts[2:]
        if repo not in self.commits:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        revision = rest[1] if len(rest) > 1 else "main"
        commit = self.branches[repo].get(revision, revision)
        files = self.commits[repo].get(commit)
        if files is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        if not api:
            return self._file(files, commit, "/".join(rest[2:]))
        kind = rest[0] if rest else "revision"
        if kind == "tree":
            below = "/".join(rest[2:])
            answer: object = [self._entry(n, d) for n, d in files.items() if n.startswith(below)]
        elif kind == "paths-info":
            paths_asked = json.loads(body)["paths"]
            answer = [self._entry(name, files[name]) for name in paths_asked if name in files]
        else:
            siblings = [{"rfilename": name} for name in files]
            answer = {"id": repo, "sha": commit, "siblings": siblings}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def _file(self, files: dict[str, bytes], commit: str, name: str):
        if name not in files:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        etag = hashlib.sha1(files[name]).hexdigest()
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}, files[name]

    @staticmethod
    def _entry(name: str, data: bytes) -> dict[str, object]:
        oid = hashlib.sha1(data).hexdigest()
        return {"type": "file", "path": name, "size": len(data), "oid": oid}


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Serve repositories, which huggingface_hub then takes for the hub's."""
    from huggingface_hub import HfFileSystem, constants

    from reactions.core import remote

    hub = HubServer()
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", *OFFLINE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    # File systems remember which server they are of.
    HfFileSystem.clear_instance_cache()
    remote._filesystem.cache_clear()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {urlsplit(self.path).path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, data = hub.answer(self.command, self.path, body)
            span = self.headers.get("Range")
            if status == 200 and span and self.command == "GET":
                first, _, last = span.removeprefix("bytes=").partition("-")
                stop = int(last) + 1 if last else len(data)
                headers["Content-Range"] = f"bytes {first}-{min(stop, len(data)) - 1}/{len(data)}"
                status, data = 206, data[int(first) : stop]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_HEAD = do_GET  # noqa: N815
        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        hub.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        HfFileSystem.clear_instance_cache()
        remote._filesystem.cache_clear()
        server.shutdown()
        server.server_close()
        thread.join()
