"""From a space's description to a loaded encoder, and from a quoted URI to a description.

Packages add adapters by entry points:

    [project.entry-points."molspace.spaces"]
    my_model = "my_package.encoders:load"       # load(spec, device=...) -> Encoder

    [project.entry-points."molspace.uris"]
    my_model = "my_package.encoders:resolve"    # resolve("my_model:...") -> SpaceSpec

A space whose ``adapter`` is ``my_model`` is then opened by the first, and a URI with that
scheme is understood by the second; ``examples/own_space`` is such a package. Nothing is
imported before it is needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

from reactions.core.errors import MissingError, UsageError, did_you_mean, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists, expand_user
from reactions.core.types import Encoder, SpaceSpec
from reactions.weights.locate import Requirement, WeightLocator

MODELS: Mapping[str, str] = {
    "audioclip": "reactions.encoders.audioclip.adapter",
    "hf": "reactions.encoders.transformers.clip",
    "imagebind": "reactions.encoders.imagebind",
    "imagebind_bfloat16": "reactions.encoders.imagebind",
    "imagebind_float16": "reactions.encoders.imagebind",
    "laion_clap": "reactions.encoders.clap.laion",
    "open_clip": "reactions.encoders.open_clip.adapter",
    "wav2clip": "reactions.encoders.wav2clip",
}
"""URI scheme, which is also the adapter's name, to its module.

The module has ``resolve(uri, name=..., digest_cache=..., locator=...)`` and
``load(spec, device=...)``, and may have ``requirements(uri)``: what has to be fetched before.
"""

ADAPTERS: Mapping[str, str] = {
    **{scheme: f"{module}:load" for scheme, module in MODELS.items()},
    "hf_clap": "reactions.encoders.clap.transformers:load",
    "internvl": "reactions.encoders.transformers.internvl:load",
    "mini": "reactions.encoders.mini:load",
    "precomputed": "reactions.encoders.precomputed.adapter:load",
}
"""Adapter name to ``module:function``; the function is called as ``load(spec, device=...)``.

A module may also have ``check(spec)``, which tells cheaply what ``load`` would lack.
"""

SPACES_GROUP = "molspace.spaces"
URIS_GROUP = "molspace.uris"
_FOLDERS = ("precomputed", "file")


def load(spec: SpaceSpec, device: str = "cpu") -> Encoder:
    """Load a space with its adapter.

    Args:
        spec: what to load.
        device: ``"cpu"``, ``"cuda:0"``, ...

    Raises:
        MissingError: no adapter has this name, or the weights or a package are missing.
    """
    encoder: Encoder = _loader(spec.adapter)(spec, device=device)
    return encoder


def check(spec: SpaceSpec) -> None:
    """Find out cheaply whether ``load`` has what it needs, before a long run begins.

    Raises:
        MissingError: no adapter has this name, or the weights or a package are missing.
        UsageError: the weights come with code, and running it was not allowed.
    """
    if spec.adapter not in ADAPTERS:
        _loader(spec.adapter)
        return
    module = _module(ADAPTERS[spec.adapter].partition(":")[0], spec.adapter)
    if hasattr(module, "check"):
        module.check(spec)


def resolve_uri(
    uri: str,
    *,
    name: str = "",
    digest_cache: DigestCache | None = None,
    locator: WeightLocator | None = None,
) -> SpaceSpec:
    """Describe the space that a URI names.

    Args:
        uri: a folder of embeddings, ``precomputed:PATH``, ``file:PATH``, a model (one of
            ``MODELS``), or a scheme that an installed package understands.
        name: what the space is called; "" leaves that to whatever it is.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: nothing can open it.
        DataError: it was found, but is not a usable space.
        UsageError: no path can have this name.
    """
    if "\0" in uri:
        raise UsageError("a URI cannot hold a null character", uri=uri)
    try:
        spec = _resolved(uri, name, digest_cache, locator)
    except OSError as error:  # such as a name that is too long for the file system
        raise MissingError(
            f'cannot open the space "{uri}"', why=(error.strerror or str(error)).lower(), uri=uri
        ) from error
    return replace(spec, name=name) if name else spec


def requirements(uri: str) -> tuple[Requirement, ...]:
    """Return what has to be fetched before a URI can be resolved; () for what lies here.

    Raises:
        MissingError: it names no known model.
    """
    scheme, colon, _ = uri.partition(":")
    if not colon or scheme not in MODELS:
        return ()
    module = _module(MODELS[scheme], scheme)
    found: tuple[Requirement, ...] = ()
    if hasattr(module, "requirements"):
        found = module.requirements(uri)
    return found


def _resolved(
    uri: str, name: str, digest_cache: DigestCache | None, locator: WeightLocator | None
) -> SpaceSpec:
    from reactions.encoders.precomputed import adapter as precomputed

    scheme, colon, _ = uri.partition(":")
    if colon and scheme in _FOLDERS:
        folder = (locator.overrides if locator else {}).get(name, uri)
        return precomputed.resolve(folder, digest_cache=digest_cache)
    spec: SpaceSpec
    if colon and scheme in MODELS:
        resolve = _module(MODELS[scheme], scheme).resolve
        spec = resolve(uri, name=name, digest_cache=digest_cache, locator=locator)
        return spec
    plugins = _plugins(URIS_GROUP)
    if colon and scheme in plugins:
        spec = plugins[scheme]()(uri)
        return spec
    folder = expand_user(uri)
    if uri and exists(folder):
        return precomputed.resolve(uri, digest_cache=digest_cache)
    known = sorted({*_FOLDERS, *MODELS, *plugins})
    schemes = [f"{name}:" for name in known]
    near = did_you_mean(scheme, known) if colon else []
    is_path = uri.startswith(("/", "./", "../", "~"))
    raise MissingError(
        f'cannot open the space "{uri}"',
        why=f"there is no folder '{folder.absolute()}'"
        + ("" if is_path else f", and it starts with none of {', '.join(schemes)}"),
        fix=f"did you mean '{near[0]}:'?"
        if near
        else "give a folder with one npy, safetensors or parquet file for each modality",
        uri=uri,
    )


def _loader(adapter: str) -> Callable[..., Any]:
    if adapter in ADAPTERS:
        module, _, function = ADAPTERS[adapter].partition(":")
        found: Callable[..., Any] = getattr(_module(module, adapter), function)
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


def _module(name: str, adapter: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(
            f"cannot load the adapter '{adapter}'",
            why=" ".join(str(error).split()),
            fix="install what it needs (README, 'Install')",
            adapter=adapter,
        ) from error


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
