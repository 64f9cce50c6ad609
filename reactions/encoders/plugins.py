"""Adapters of installed packages, by entry points.

    [project.entry-points."molspace.spaces"]
    my_model = "my_package.encoders:MyAdapter"      # a subclass of Adapter

opens spaces whose ``adapter`` is ``my_model``, and understands URIs of that scheme;
``examples/own_space`` is such a package. Two functions do as well as a class:

    [project.entry-points."molspace.spaces"]
    my_model = "my_package.encoders:load"           # load(spec, device=...) -> Encoder

    [project.entry-points."molspace.uris"]
    my_model = "my_package.encoders:resolve"        # resolve("my_model:...") -> SpaceSpec

``resolve`` is also given ``name``, ``digest_cache`` and ``locator`` (or ``places``, as that was
called before), each if it has a parameter of that name. Nothing is imported before it is needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactions.core.errors import MissingError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.plugins import load_plugin, plugins, refuse_namesakes, unusable_plugin
from reactions.core.types import Encoder, SpaceSpec
from reactions.encoders.base import Adapter, SpaceRequest
from reactions.weights.locate import WeightLocator

SPACES_GROUP = "molspace.spaces"
URIS_GROUP = "molspace.uris"


class FunctionAdapter(Adapter[SpaceRequest]):
    """An adapter made of functions.

    Args:
        load: called as ``load(spec, device=...)``; None where spaces cannot be opened.
        resolve: called with a URI; None where none is understood.
    """

    def __init__(
        self,
        load: Callable[..., Encoder] | None = None,
        resolve: Callable[..., SpaceSpec] | None = None,
    ) -> None:
        self._load = load
        self._resolve = resolve

    def resolve(
        self,
        uri: str,
        *,
        name: str = "",
        digest_cache: DigestCache | None = None,
        locator: WeightLocator | None = None,
    ) -> SpaceSpec:
        """Describe the space that a URI names, by the function."""
        assert self._resolve is not None
        available = {
            "name": name,
            "digest_cache": digest_cache,
            "locator": locator,
            "places": locator,
        }
        parameters = inspect.signature(self._resolve).parameters
        return self._resolve(uri, **{key: available[key] for key in available if key in parameters})

    def check(self, spec: SpaceSpec) -> None:
        """Check nothing: that the function could be imported is all that is known."""

    def load(self, spec: SpaceSpec, *, device: str = "cpu") -> Encoder:
        """Open a described space, by the function."""
        assert self._load is not None
        return self._load(spec, device=device)

    def open(self, spec: SpaceSpec, files: SpaceRequest, device: str) -> Encoder:
        """Open a described space, by the function."""
        return self.load(spec, device=device)


def as_adapter(registered: Any) -> Adapter[Any]:
    """Return the adapter that a name stands for: a class of adapters, or a loader's function."""
    return registered() if _is_adapter(registered) else FunctionAdapter(load=registered)


def adapter_for_uris(scheme: str) -> Adapter[Any] | None:
    """Return the adapter of a package that describes what URIs of a scheme name; None without one.

    Raises:
        MissingError: it cannot be imported.
        UsageError: it is not an adapter, or several packages have one of this name.
    """
    resolve = _registered(URIS_GROUP, scheme)
    if resolve is not None and not _is_adapter(resolve):
        return FunctionAdapter(resolve=resolve)
    registered = resolve or _registered(SPACES_GROUP, scheme)
    return registered() if _is_adapter(registered) else None


def adapter_for_spaces(name: str) -> Adapter[Any] | None:
    """Return the adapter of a package that opens spaces by this ``adapter``; None without one.

    Raises:
        MissingError: it cannot be imported.
        UsageError: it is not an adapter, or several packages have one of this name.
    """
    registered = _registered(SPACES_GROUP, name)
    return None if registered is None else as_adapter(registered)


def refuse_claims_to(name: str) -> None:
    """Refuse a package's adapter that has the name of one of ours, or its scheme.

    Raises:
        UsageError: there is one; the error names the package.
    """
    for group in (SPACES_GROUP, URIS_GROUP):
        points = [point for point in plugins(group) if point.name == name]
        refuse_namesakes(name, points, "adapters", is_built_in=True)


def schemes() -> list[str]:
    """Return the schemes of the URIs that packages understand; those that can be imported."""
    names = {point.name for point in plugins(URIS_GROUP)}
    for name in space_adapters():
        # A package that cannot be imported must not hide the schemes of the others.
        with suppress(MissingError, UsageError):
            if name not in names and adapter_for_uris(name) is not None:
                names.add(name)
    return sorted(names)


def space_adapters() -> list[str]:
    """Return the names of the adapters that packages open spaces by."""
    return [point.name for point in plugins(SPACES_GROUP)]


def _registered(group: str, name: str) -> Any:
    """Return what a package registers under a name; None where none does."""
    points = [point for point in plugins(group) if point.name == name]
    if not points:
        return None
    refuse_namesakes(name, points, "adapters", is_built_in=False)
    registered = load_plugin(points[0], "the adapter")
    if not callable(registered):
        why = f"it is of type {type(registered).__name__}, and neither an Adapter nor a function"
        raise unusable_plugin(points[0], "the adapter", why)
    return registered


def _is_adapter(registered: Any) -> bool:
    return isinstance(registered, type) and issubclass(registered, Adapter)
