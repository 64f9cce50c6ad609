"""From a space's description to a loaded encoder, and from a quoted URI to a description.

Packages add adapters by entry points:

    [project.entry-points."molspace.spaces"]
    my_model = "my_package.encoders:load"       # load(spec, device=...) -> Encoder

    [project.entry-points."molspace.uris"]
    my_model = "my_package.encoders:resolve"    # resolve("my_model:...") -> SpaceSpec

A space whose ``adapter`` is ``my_model`` is then opened by the first, and a URI with that
scheme is understood by the second. Nothing is imported before it is needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from reactions.data.digests import DigestCache
from reactions.errors import MissingError, NotSupportedYet, suggestion
from reactions.kinds import Encoder, SpaceSpec

ADAPTERS: Mapping[str, str] = {
    "mini": "reactions.spaces.mini:load",
    "precomputed": "reactions.spaces.precomputed:load",
}
"""Adapter name to ``module:function``; the function is called as ``load(spec, device=...)``."""

SPACES_GROUP = "molspace.spaces"
URIS_GROUP = "molspace.uris"
_FOLDERS = ("precomputed", "file")
_MODELS = ("open_clip", "hf", "laion_clap")


def load(spec: SpaceSpec, device: str = "cpu") -> Encoder:
    """Load a space with its adapter.

    Args:
        spec: what to load.
        device: ``"cpu"``, ``"cuda:0"``, ...

    Raises:
        MissingError: no adapter has this name, or the weights or a package are missing.
    """
    loader = _find(spec.adapter)
    encoder: Encoder = loader(spec, device=device)
    return encoder


def resolve_uri(uri: str, *, digest_cache: DigestCache | None = None) -> SpaceSpec:
    """Describe the space that a URI names.

    Args:
        uri: a folder of embeddings, ``precomputed:PATH``, ``file:PATH``, or a scheme
            that an installed package understands.
        digest_cache: remembers digests of large files.

    Raises:
        NotSupportedYet: the scheme names a model this version cannot run.
        MissingError: nothing can open it.
        DataError: it was found, but is no usable space.
    """
    from reactions.spaces import precomputed

    scheme, colon, _ = uri.partition(":")
    if colon and scheme in _FOLDERS:
        return precomputed.resolve(uri, digest_cache=digest_cache)
    plugins = _plugins(URIS_GROUP)
    if colon and scheme in plugins:
        spec: SpaceSpec = plugins[scheme]()(uri)
        return spec
    if colon and scheme in _MODELS:
        raise NotSupportedYet(
            f'cannot run the model "{uri}"',
            why=f"this version has no adapter for {scheme}",
            fix="embed with it and give the folder of embeddings",
            uri=uri,
        )
    if uri and Path(uri).expanduser().exists():
        return precomputed.resolve(uri, digest_cache=digest_cache)
    schemes = [f"{name}:" for name in sorted({*_FOLDERS, *_MODELS, *plugins})]
    raise MissingError(
        f'cannot open the space "{uri}"',
        why=f"there is no folder '{Path(uri).expanduser().absolute()}', "
        f"and it starts with none of {', '.join(schemes)}",
        fix="give a folder with one npy, safetensors or parquet file for each modality",
        uri=uri,
    )


def _find(adapter: str) -> Callable[..., Any]:
    if adapter in ADAPTERS:
        module, _, function = ADAPTERS[adapter].partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return found
    plugins = _plugins(SPACES_GROUP)
    if adapter in plugins:
        return plugins[adapter]()
    known = [*ADAPTERS, *plugins]
    raise MissingError(
        f"no adapter '{adapter}' to load a space with",
        why=f"known: {', '.join(known)}; installed packages add more by the entry point "
        f"group '{SPACES_GROUP}'",
        fix=suggestion(adapter, known),
        adapter=adapter,
    )


def _plugins(group: str) -> dict[str, Callable[[], Callable[..., Any]]]:
    return {point.name: _opener(point) for point in entry_points(group=group)}


def _opener(point: Any) -> Callable[[], Callable[..., Any]]:
    def open_it() -> Callable[..., Any]:
        try:
            found: Callable[..., Any] = point.load()
        except ImportError as error:
            raise MissingError(
                f"cannot load the adapter '{point.name}'",
                why=f"{point.value}: {error}",
                fix="install or mend the package that provides it",
                adapter=point.name,
            ) from error
        return found

    return open_it
