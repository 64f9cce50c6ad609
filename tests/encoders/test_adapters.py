import importlib
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reactions.core.errors import MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.types import SpaceSpec
from reactions.encoders import packages, registry
from reactions.weights.locate import WeightLocator

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
    monkeypatch.setattr(registry, "entry_points", lambda group: points[group])


def test_folders_and_their_uris(folder: Path) -> None:
    spec = registry.resolve_uri(str(folder))
    assert spec.adapter == "precomputed"
    assert registry.resolve_uri(f"precomputed:{folder}") == spec
    assert registry.resolve_uri(f"file:{folder}") == spec
    assert registry.load(spec, "cpu").spec == spec


def test_a_model_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="open_clip is not installed") as caught:
        registry.resolve_uri("open_clip:ViT-B-32/openai")
    assert caught.value.fix == 'pip install "molspace[open-clip]"'
    assert caught.value.exit_code == 3


def test_an_adapter_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reactions.encoders.clap.laion", None)
    spec = SpaceSpec("X", 4, ("text",), adapter="laion_clap", source="x.pt")
    for act in (registry.load, registry.check):
        with pytest.raises(MissingError, match="cannot load the adapter 'laion_clap'"):
            act(spec)
    with pytest.raises(MissingError, match="cannot load the adapter 'laion_clap'"):
        registry.resolve_uri("laion_clap:x.pt")


def test_every_adapter_and_scheme_is_there() -> None:
    for place in registry.ADAPTERS.values():
        module, _, function = place.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
    for module in registry.MODELS.values():
        assert callable(importlib.import_module(module).resolve)


def test_schemes_reach_their_modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def resolve(uri: str, **given: object) -> SpaceSpec:
        seen.append((uri, given))
        return SPEC

    module = ModuleType("some_models")
    module.resolve = resolve
    module.requirements = lambda uri: (uri,)
    monkeypatch.setattr(registry, "MODELS", {"some": "some_models"})
    monkeypatch.setitem(sys.modules, "some_models", module)
    locator, digests = WeightLocator(), DigestCache()
    spec = registry.resolve_uri("some:thing", name="Y", locator=locator, digest_cache=digests)
    assert spec.name == "Y"
    given = {"name": "Y", "locator": locator, "digest_cache": digests}
    assert seen == [("some:thing", given)]
    assert registry.requirements("some:thing") == ("some:thing",)
    assert registry.requirements(str(folder)) == ()
    assert registry.resolve_uri(str(folder), name="Z").name == "Z"


@pytest.mark.parametrize("uri", ["clap", "gone/clap", "https://x/y", "precomputed:gone", ""])
def test_nothing_there(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError) as caught:
        registry.resolve_uri(uri)
    assert "no" in caught.value.why
    assert "folder" in str(caught.value)


def test_entry_points_add_adapters_and_uris(plugin: None) -> None:
    assert registry.resolve_uri("tiny:x") is SPEC
    assert registry.load(SPEC, "cuda:1") == ("encoder", SPEC, "cuda:1")


def test_describing_a_model_imports_neither_torch_nor_its_package(tmp_path: Path) -> None:
    # What a cached result is found by must cost no seconds.
    files = {
        "config.json": '{"model_type": "clip", "projection_dim": 8}',
        "preprocessor_config.json": "{}",
        "tokenizer.json": "{}",
        "model.safetensors": "never opened",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    code = "import sys; from reactions.encoders.registry import resolve_uri; "
    code += f"print(resolve_uri('hf:{tmp_path}').dim, sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("8 "), done.stderr
    for heavy in ("torch", "transformers", "PIL", "safetensors", "huggingface_hub"):
        assert f"'{heavy}'" not in done.stdout


def test_unknown_and_broken_adapters(plugin: None) -> None:
    def spec(adapter: str) -> SpaceSpec:
        return SpaceSpec("X", 4, ("text",), adapter=adapter, source="x")

    with pytest.raises(MissingError, match="did you mean 'precomputed'") as caught:
        registry.load(spec("precompute"))
    assert "tiny" in caught.value.why
    for act in (registry.load, registry.check):
        with pytest.raises(MissingError, match="no_such_module_at_all"):
            act(spec("broken"))
    registry.check(SPEC)
