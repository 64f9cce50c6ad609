import importlib
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.extras import install_extra
from reactions.core.file_digests import DigestCache
from reactions.core.paths import cache_root
from reactions.core.types import SpaceSpec
from reactions.encoders import packages, plugins, registry
from reactions.encoders.base import Adapter, SpaceRequest
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
    monkeypatch.setattr(plugins, "plugins", lambda group: points[group])


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
    assert caught.value.fix == install_extra("open-clip")
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
    for name, place in registry.ADAPTERS.items():
        module, _, attribute = place.partition(":")
        adapter = getattr(importlib.import_module(module), attribute)
        assert issubclass(adapter, Adapter)
        assert adapter.scheme == name


def register(monkeypatch: pytest.MonkeyPatch, *groups: str, **names: object) -> ModuleType:
    """Install a package whose module holds the names, each an entry point called ``some``."""
    module = ModuleType("some_models")
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, "some_models", module)
    points = {
        group: [EntryPoint("some", f"some_models:{name}", group)]
        for group, name in zip(groups, names, strict=True)
    }
    monkeypatch.setattr(plugins, "plugins", lambda group: points.get(group, []))
    return module


class Some(Adapter):
    """A family of a package's own, which notes what it is given."""

    scheme = "some"
    options = ("size", "precision")
    calls: ClassVar[list[object]] = []

    def describe(self, files, digests):
        self.calls.append((files, digests))
        return replace(SPEC, adapter="some", source=files.uri, weights_digest="0" * 64)

    def digest(self, files, digests):
        return files.options.get("size", "0") * 64

    def open(self, spec, files, device):
        return ("encoder", spec, files.uri, device)

    def requirements(self, uri):
        return (uri,)


def test_schemes_reach_their_adapters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MODELS", {"some": "some_models:Some"})
    register(monkeypatch, "none", Some=Some)
    Some.calls.clear()
    locator, digests = WeightLocator(), DigestCache()
    spec = registry.resolve_uri("some:thing", name="Y", locator=locator, digest_cache=digests)
    assert spec.name == "Y"
    assert Some.calls == [(SpaceRequest("some:thing", "thing", {}, "Y", locator), digests)]
    assert registry.requirements("some:thing") == ("some:thing",)
    assert registry.requirements(str(folder)) == ()
    assert registry.resolve_uri(str(folder), name="Z").name == "Z"


def test_a_package_adds_an_adapter_by_one_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, plugins.SPACES_GROUP, Some=Some)
    Some.calls.clear()
    spec = registry.resolve_uri("some:thing?size=0&precision=fp16", name="Y")
    ((request, digests),) = Some.calls
    assert (request.rest, request.name) == ("thing", "Y")
    assert request.options == {"size": "0", "precision": "fp16"}
    assert request.locator == WeightLocator.of_environment()
    assert digests.folder == cache_root()
    assert registry.requirements("some:thing") == ("some:thing",)
    registry.check(spec)
    assert registry.load(spec, "cuda:1") == ("encoder", spec, spec.source, "cuda:1")
    with pytest.raises(DataError, match="the weights of space 'Y' changed"):
        registry.load(replace(spec, source="some:thing?size=1"))
    for uri in ("some:thing?sise=1", "some:thing?precision=fp8"):
        with pytest.raises(MissingError, match="unknown"):
            registry.resolve_uri(uri)
    with pytest.raises(MissingError, match="some:"):
        registry.resolve_uri("sone:thing")


@pytest.mark.parametrize("older", ["places", "locator"])
def test_modules_with_functions_are_given_what_they_ask_for(
    older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    locator, digests = WeightLocator(), DigestCache()

    def resolve_as_it_was(uri, *, name="", digest_cache=None, places=None):
        calls.append((uri, name, digest_cache, places))
        return replace(SPEC, adapter="some")

    def resolve(uri, *, name="", digest_cache=None, locator=None):
        return resolve_as_it_was(uri, name=name, digest_cache=digest_cache, places=locator)

    register(
        monkeypatch,
        *(plugins.URIS_GROUP, plugins.SPACES_GROUP),
        resolve=resolve_as_it_was if older == "places" else resolve,
        load=lambda spec, *, device: ("encoder", spec, device),
    )
    spec = registry.resolve_uri("some:thing", name="Y", locator=locator, digest_cache=digests)
    assert calls == [("some:thing", "Y", digests, locator)]
    registry.check(spec)
    assert registry.requirements("some:thing") == ()
    assert registry.load(spec, "cpu") == ("encoder", spec, "cpu")


def test_odd_entry_points_and_names_of_two_packages_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = [
        EntryPoint("odd", "reactions.encoders.plugins:SPACES_GROUP", plugins.SPACES_GROUP),
        EntryPoint("two", "a:X", plugins.SPACES_GROUP),
        EntryPoint("two", "b:X", plugins.SPACES_GROUP),
    ]
    monkeypatch.setattr(
        plugins, "plugins", lambda group: [point for point in points if point.group == group]
    )
    for act in (
        lambda name: registry.resolve_uri(f"{name}:3"),
        lambda name: registry.load(replace(SPEC, adapter=name)),
    ):
        with pytest.raises(UsageError, match="cannot use the adapter 'odd'") as caught:
            act("odd")
        assert "of type str, and neither an Adapter nor a function" in caught.value.why
        with pytest.raises(UsageError, match="several adapters are called 'two'"):
            act("two")
    with pytest.raises(MissingError, match="starts with none of"):  # the others are listed
        registry.resolve_uri("nothing:3")


@pytest.mark.parametrize("group", [plugins.SPACES_GROUP, plugins.URIS_GROUP])
@pytest.mark.parametrize("name", ["hf", "mini", "precomputed"])
def test_a_package_cannot_take_the_name_of_a_built_in_adapter(
    group: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint(name, "greedy_models:Adapter", group)
    monkeypatch.setattr(
        plugins, "plugins", lambda group_asked: [point] if group_asked == group else []
    )
    spec = replace(SPEC, adapter=name)
    for act in (
        lambda: registry.resolve_uri(f"{name}:x"),
        lambda: registry.requirements(f"{name}:x"),
        lambda: registry.check(spec),
        lambda: registry.load(spec),
    ):
        with pytest.raises(UsageError, match=f"several adapters are called '{name}'") as caught:
            act()
        assert caught.value.why == "they come from molspace itself and greedy_models"


def test_a_package_cannot_take_the_scheme_of_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, plugins.URIS_GROUP, resolve=lambda uri: SPEC)
    monkeypatch.setattr(registry, "_FOLDERS", ("some",))
    with pytest.raises(UsageError, match="molspace itself and some_models"):
        registry.resolve_uri(f"some:{folder}")


def test_a_loader_alone_understands_no_uris(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, plugins.SPACES_GROUP, load=lambda spec, *, device: "encoder")
    assert registry.load(replace(SPEC, adapter="some")) == "encoder"
    with pytest.raises(MissingError, match="cannot open the space"):
        registry.resolve_uri("some:thing")


def test_spaces_of_a_family_without_uris_are_described_in_full() -> None:
    class Unnamed(Adapter):
        scheme = "unnamed"

        def open(self, spec, files, device):
            return "encoder"

    with pytest.raises(MissingError, match="in a lab file"):
        Unnamed().resolve("unnamed:x")
    with pytest.raises(TypeError, match="abstract"):
        Adapter()


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
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert process.stdout.startswith("8 "), process.stderr
    for heavy in ("torch", "transformers", "PIL", "safetensors", "huggingface_hub"):
        assert f"'{heavy}'" not in process.stdout


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
