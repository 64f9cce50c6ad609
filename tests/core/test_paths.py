from pathlib import Path

import pytest

from reactions.core import paths
from reactions.core.errors import UsageError

VARIABLES = ("MOLSPACE_CACHE", "MOLSPACE_DATA", "XDG_CACHE_HOME", "XDG_DATA_HOME")


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_folders_of_an_empty_environment(home):
    assert paths.cache_root() == home / ".cache/molspace"
    assert paths.weights_root() == home / ".cache/molspace/weights"
    assert paths.data_root() == home / ".local/share/molspace"
    assert paths.evaluation_root() == home / ".local/share/molspace/data"


def test_xdg_moves_them_all(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    monkeypatch.setenv("XDG_DATA_HOME", "/shared")
    assert paths.cache_root() == Path("/caches/molspace")
    assert paths.weights_root() == Path("/caches/molspace/weights")
    assert paths.data_root() == Path("/shared/molspace")
    assert paths.evaluation_root() == Path("/shared/molspace/data")


def test_variables_of_ours_come_first(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    monkeypatch.setenv("MOLSPACE_CACHE", "/mine")
    monkeypatch.setenv("MOLSPACE_DATA", "/sets")
    assert paths.cache_root() == Path("/mine")
    assert paths.weights_root() == Path("/caches/molspace/weights")  # shared by all caches
    assert paths.evaluation_root() == Path("/sets")


@pytest.mark.parametrize("name", VARIABLES)
def test_values_may_be_relative_or_begin_with_a_tilde(monkeypatch, home, name):
    folders = [paths.cache_root, paths.data_root, paths.evaluation_root]
    for value in ("~/x", "x", "./x"):
        monkeypatch.setenv(name, value)
        moved = [folder() for folder in folders if folder().is_relative_to(home / "x")]
        assert moved, f"{name}={value} moves nothing"
    monkeypatch.setenv(name, "")
    assert not [folder() for folder in folders if folder().is_relative_to(home / "x")]


@pytest.mark.parametrize(
    ("chosen", "address"),
    [
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("file:///data/my%20cache", Path("/data/my cache")),
        ("/data/cache", Path("/data/cache")),
    ],
)
def test_results_may_lie_behind_a_url(home, monkeypatch, chosen, address):
    monkeypatch.setenv("MOLSPACE_CACHE", chosen)
    assert paths.store_address() == address
    # What is remembered of this machine's files stays on it.
    local = address if isinstance(address, Path) else home / ".cache/molspace"
    assert paths.cache_root() == local


@pytest.mark.parametrize("chosen", ["s3:/bucket/x", "s3:bucket/x"])
def test_a_url_that_lacks_a_slash_is_no_folder(monkeypatch, chosen):
    monkeypatch.setenv("MOLSPACE_CACHE", chosen)
    with pytest.raises(UsageError) as caught:
        paths.cache_root()
    assert "MOLSPACE_CACHE=s3://bucket/x " in caught.value.fix
    monkeypatch.setenv("MOLSPACE_CACHE", f"./{chosen}")
    assert paths.cache_root().name == "x"
