"""Stores behind URLs."""

import pytest
from buckets import BUCKET, in_memory, s3_server
from emulators import az_server, gs_server

from reactions.store import heartbeats, objects


@pytest.fixture(autouse=True)
def _no_beats_by_themselves(monkeypatch):
    """Let holders beat when a test says so: a slow machine would have them beat in between."""
    monkeypatch.setattr(heartbeats.pulse, "next_due", lambda: None)


@pytest.fixture
def impatient(monkeypatch):
    """Try again at once."""
    monkeypatch.setattr(objects, "_PAUSE_S", 0.0)


@pytest.fixture
def s3(monkeypatch, impatient):
    """An S3 server, with one bucket."""
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)  # it pauses between them
    with s3_server(monkeypatch) as server:
        yield server


@pytest.fixture
def gs(monkeypatch, impatient):
    """A server of Google Cloud Storage, with one bucket."""
    with gs_server(monkeypatch) as server:
        yield server


@pytest.fixture
def az(monkeypatch, impatient):
    """A server of Azure Blob Storage, with one container."""
    with az_server(monkeypatch) as server:
        yield server


@pytest.fixture(params=["memory", "s3"])
def address(request, monkeypatch, impatient):
    """URL of a store: in memory, and on an S3 server; with ``EVERYWHERE`` on all servers."""
    if request.param == "memory":
        return in_memory(monkeypatch)
    server = request.getfixturevalue(request.param)
    return f"s3://{BUCKET}/some/prefix" if request.param == "s3" else server.address
