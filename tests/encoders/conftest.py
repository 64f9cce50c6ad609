"""What tests of published models share."""

import shutil
import socket

import pytest


@pytest.fixture
def no_network(monkeypatch):
    """Fail on any attempt to reach a hub, and forget where this machine keeps weights."""

    def refuse(*args, **kwargs):
        raise AssertionError("reached for the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("MOLSPACE_WEIGHTS", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def hf_saved(tmp_path_factory):
    """Family to (folder, model) of miniature transformers models."""
    pytest.importorskip("transformers")
    import hf_tiny

    from reactions.encoders.transformers import repository

    root = tmp_path_factory.mktemp("models")
    with repository.quiet():
        return {f: (root / f, getattr(hf_tiny, f"save_{f}")(root / f)) for f in hf_tiny.FAMILIES}


@pytest.fixture
def hf_copied(hf_saved, tmp_path):
    """Return a function that copies a family's folder for a test to spoil."""

    def copy(family="clip"):
        folder = tmp_path / f"my-{family}"
        shutil.copytree(hf_saved[family][0], folder)
        return folder

    return copy
