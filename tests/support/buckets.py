"""Buckets for tests: an S3 server of this machine that can fail, and objects in memory."""

import logging
import os
import threading
from contextlib import contextmanager

import pytest

SECRETS = {"AWS_ACCESS_KEY_ID": "AKIAtestkeyoftests", "AWS_SECRET_ACCESS_KEY": "s3cr3t0ftests"}
BUCKET = "store-of-tests"


class S3Server:
    """moto's server, behind a door that can be made to fail.

    Attributes:
        url: of the server.
        door: called with the method and path of each request; what it returns is answered
            instead: a status code, or "cut" to close the connection. None lets it pass.
        seen: (method, path) of all requests.
    """

    def __init__(self):
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._app = DomainDispatcherApplication(create_backend_app)
        self.door, self.seen = lambda method, path: None, []
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler
        )
        self.url = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, environ, start_response):
        path = environ["PATH_INFO"] + "?" + environ.get("QUERY_STRING", "")
        self.seen.append((environ["REQUEST_METHOD"], path))
        answer = self.door(environ["REQUEST_METHOD"], path)
        if answer is None:
            return self._app(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if answer == "cut":
            # The client waits for bytes that never come.
            start_response("200 OK", [("Content-Length", "1000")])
            return [b"<"]
        code = {503: "SlowDown", 500: "InternalError", 403: "AccessDenied", 501: "NotImplemented"}
        start_response(f"{answer} {code[answer]}", [("Content-Type", "application/xml")])
        return [
            f"<Error><Code>{code[answer]}</Code><Message>{code[answer]}: Please try again"
            f"</Message></Error>".encode()
        ]


_server = []


@contextmanager
def s3_server(monkeypatch):
    """Lend the server, empty but for a bucket, with the variables that lead clients to it."""
    pytest.importorskip("moto.server", reason="needs moto[server,s3]")
    pytest.importorskip("s3fs", reason="needs s3fs")
    if not _server:
        _server.append(S3Server())
    server = _server[0]
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):  # a developer's own profiles
        monkeypatch.setenv(name, os.devnull)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    from moto.s3.models import s3_backends

    s3_backends.reset()
    server.door = lambda method, path: None
    server.backend = s3_backends["123456789012"]["aws"]
    server.backend.create_bucket(BUCKET, "us-east-1")
    del server.seen[:]
    try:
        yield server
    finally:
        server.door = lambda method, path: None


def in_memory(monkeypatch):
    """Let a store lie in memory; return its URL, with nothing there."""
    from fsspec.implementations.memory import MemoryFileSystem

    from reactions.store import services

    monkeypatch.setattr(services, "PACKAGES", {**services.PACKAGES, "memory": "fsspec"})
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return f"memory://{BUCKET}/some/prefix"


def names(store):
    """Return the names of a store's objects, in order, but for leases: heartbeats write those."""
    return [n for n in sorted(store.layout.place._objects.find("")) if not n.startswith("leases/")]


def leases(store):
    """Return the names of the leases in a store."""
    return sorted(store.layout.place._objects.find("leases"))
