import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reactions.errors import MissingError, NotSupportedYet
from reactions.kinds import SpaceSpec
from reactions.spaces import adapters

SPEC = SpaceSpec("X", 4, ("text",), adapter="tiny", source="tiny:x")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "text.npy", np.ones((2, 3), np.float32))
    return tmp_path


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tiny_adapter")
    module.load = lambda spec, *, device: ("encoder", spec, device)
    module.resolve = lambda uri: SPEC
    monkeypatch.setitem(sys.modules, "tiny_adapter", module)
    points = {
        "molspace.spaces": [
            EntryPoint("tiny", "tiny_adapter:load", "molspace.spaces"),
            EntryPoint("broken", "no_such_module_at_all:load", "molspace.spaces"),
        ],
        "molspace.uris": [EntryPoint("tiny", "tiny_adapter:resolve", "molspace.uris")],
    }
    monkeypatch.setattr(adapters, "entry_points", lambda group: points[group])


def test_folders_and_their_uris(folder: Path) -> None:
    spec = adapters.resolve_uri(str(folder))
    assert spec.adapter == "precomputed"
    assert adapters.resolve_uri(f"precomputed:{folder}") == spec
    assert adapters.resolve_uri(f"file:{folder}") == spec
    assert adapters.load(spec, "cpu").spec == spec


@pytest.mark.parametrize("uri", ["open_clip:ViT-B-32/openai", "hf:a/b", "laion_clap:x.pt"])
def test_models_say_what_to_do_instead(uri: str) -> None:
    with pytest.raises(NotSupportedYet) as caught:
        adapters.resolve_uri(uri)
    assert caught.value.fix == "embed with it and give the folder of embeddings"


@pytest.mark.parametrize("uri", ["clap", "gone/clap", "https://x/y", "precomputed:gone", ""])
def test_nothing_there(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError) as caught:
        adapters.resolve_uri(uri)
    assert "no" in caught.value.why
    assert "folder" in str(caught.value)


def test_entry_points_add_adapters_and_uris(plugin: None) -> None:
    assert adapters.resolve_uri("tiny:x") is SPEC
    assert adapters.load(SPEC, "cuda:1") == ("encoder", SPEC, "cuda:1")


def test_unknown_and_broken_adapters(plugin: None) -> None:
    def spec(adapter: str) -> SpaceSpec:
        return SpaceSpec("X", 4, ("text",), adapter=adapter, source="x")

    with pytest.raises(MissingError, match="did you mean 'precomputed'") as caught:
        adapters.load(spec("precompute"))
    assert "tiny" in caught.value.why
    with pytest.raises(MissingError, match="no_such_module_at_all"):
        adapters.load(spec("broken"))
