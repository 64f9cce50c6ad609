import fnmatch
import json
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra
from reactions.core.file_digests import DigestCache
from reactions.encoders import registry
from reactions.weights import download as module
from reactions.weights.download import fetch
from reactions.weights.locate import WeightLocator, WeightsFile, WeightsRepo


def locator(tmp_path):
    return WeightLocator(folders=(tmp_path / "weights",), hub=tmp_path / "hub")


class Hub:
    """What huggingface_hub does, on a folder."""

    def __init__(self, files, contents=None):
        self.files = files
        self.contents = contents or {}
        self.calls = []

    def list_repo_files(self, repo, revision=None):
        return list(self.files)

    def snapshot_download(self, repo, revision=None, cache_dir=None, allow_patterns=()):
        self.calls.append((repo, revision, sorted(allow_patterns)))
        folder = cache_dir / "models--org--repo" / "snapshots" / "abc"
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.files:
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (folder / name).write_bytes(self.contents.get(name, b"x"))
        (folder.parents[1] / "refs").mkdir(exist_ok=True)
        (folder.parents[1] / "refs" / (revision or "main")).write_text("abc")
        return str(folder)


def test_a_repository_comes_by_the_hubs_own_library(tmp_path, monkeypatch):
    hub = Hub(["config.json", "model.safetensors", "pytorch_model.bin", "flax.msgpack"])
    monkeypatch.setattr(module, "_hub", lambda space: hub)
    requirement = WeightsRepo(
        "org/repo", "v1", ("*.json",), ("*.safetensors", "*.bin"), licence="Apache-2.0"
    )
    (fetched,) = fetch("S", [requirement], locator(tmp_path), DigestCache())
    assert not fetched.was_there
    assert hub.calls == [("org/repo", "v1", ["*.json", "*.safetensors"])]
    assert fetched.licence == "Apache-2.0"


CARD = b"---\nlicense: cc-by-nc-4.0\n---\n"


def test_the_licence_of_a_repository_is_read_from_its_card(tmp_path, monkeypatch):
    hub = Hub(["config.json", "README.md", "model.safetensors"], {"README.md": CARD})
    monkeypatch.setattr(module, "_hub", lambda space: hub)
    requirement = WeightsRepo("org/repo", files=("*.json", "README.md"), weights=("*.safetensors",))
    for was_there in (False, True):
        (fetched,) = fetch("S", [requirement], locator(tmp_path), DigestCache())
        assert (fetched.was_there, fetched.licence) == (was_there, "cc-by-nc-4.0")
    (fetched,) = fetch("S", [replace(requirement, licence="MIT")], locator(tmp_path), DigestCache())
    assert fetched.licence == "MIT"


INDEX = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
CODE = {
    "auto_map": {
        "AutoConfig": "conf.C",
        "AutoModel": ["net.M", None],
        "AutoTokenizer": "x/y--words.W",
    }
}


@pytest.mark.parametrize(
    "gone", ["config.json", "conf.py", "net.py", "model-2.safetensors", "model-1.safetensors"]
)
def test_what_a_stopped_or_an_older_fetch_left_out_is_brought(tmp_path, monkeypatch, gone):
    files = {
        "config.json": json.dumps(CODE).encode(),
        "conf.py": b"",
        "net.py": b"",
        "model.safetensors.index.json": json.dumps(INDEX).encode(),
        "model-1.safetensors": b"",
        "model-2.safetensors": b"",
    }
    hub = Hub(list(files), files)
    monkeypatch.setattr(module, "_hub", lambda space: hub)
    (requirement,) = registry.requirements("hf:org/repo")
    (first,) = fetch("S", [requirement], locator(tmp_path), DigestCache())
    assert fetch("S", [requirement], locator(tmp_path), DigestCache())[0].was_there
    (first.path / gone).unlink()
    assert not fetch("S", [requirement], locator(tmp_path), DigestCache())[0].was_there
    assert (first.path / gone).is_file()
    # What was not asked for is not missed.
    (first.path / "net.py").unlink()
    narrowed = replace(requirement, files=("*.json",))
    assert fetch("S", [narrowed], locator(tmp_path), DigestCache())[0].was_there


def test_code_is_brought_at_the_commit_that_is_trusted(tmp_path, monkeypatch):
    hub = Hub(["config.json", "model.safetensors"])
    monkeypatch.setattr(module, "_hub", lambda space: hub)
    monkeypatch.setenv("MOLSPACE_TRUST_REMOTE_CODE", f"org/other@{'a' * 40} org/repo@{'b' * 40}")
    for revision in ("", "v1"):
        requirement = WeightsRepo("org/repo", revision, weights=("*.safetensors",))
        fetch("S", [requirement], locator(tmp_path), DigestCache())
    assert [revision for _, revision, _ in hub.calls] == ["b" * 40, "v1"]


def test_without_the_hubs_library_the_fix_names_an_extra_that_exists(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingError) as caught:
        module._hub("S")
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    brings = extras["project"]["optional-dependencies"]["hub"]
    assert any(package.startswith("huggingface_hub") for package in brings)
    assert install_extra("hub") in caught.value.fix


def test_a_repository_without_usable_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_hub", lambda space: Hub(["flax.msgpack"]))
    with pytest.raises(MissingError, match="holds no weights that can be used"):
        fetch("S", [WeightsRepo("org/repo", weights=("*.bin",))], locator(tmp_path), DigestCache())


def test_what_the_hub_raises_is_reported(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise RuntimeError("401 Client Error\nmore")

    hub = SimpleNamespace(list_repo_files=refuse, snapshot_download=refuse)
    monkeypatch.setattr(module, "_hub", lambda space: hub)
    for requirement in (
        WeightsRepo("org/repo", weights=("*.bin",)),
        WeightsFile("m", repo="org/repo"),
    ):
        with pytest.raises(MissingError) as caught:
            fetch("S", [requirement], locator(tmp_path), DigestCache())
        assert caught.value.why == "RuntimeError: 401 Client Error"
