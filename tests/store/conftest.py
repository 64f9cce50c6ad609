"""Stores behind URLs."""

import pytest
from buckets import BUCKET, in_memory, s3_server

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


@pytest.fixture(params=["memory", "s3"])
def address(request, monkeypatch, impatient):
    """URL of a store: in memory, and on an S3 server."""
    if request.param == "memory":
        return in_memory(monkeypatch)
    request.getfixturevalue("s3")
    return f"s3://{BUCKET}/some/prefix"
