"""From a space's description to a loaded encoder, and from a quoted URI to a description.

Adapters are looked up by name, and imported when they are needed; those of installed packages
by entry points (``plugins``).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reactions.core.errors import MissingError, UsageError, did_you_mean, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists, expand_user
from reactions.core.types import Encoder, Modality, SpaceSpec
from reactions.encoders import plugins
from reactions.encoders.base import Adapter
from reactions.encoders.derived import OPTIONS, derive, native, split_derived
from reactions.weights.locate import Requirement, WeightLocator

MODELS: Mapping[str, str] = {
    "audioclip": "reactions.encoders.audioclip.adapter:AudioClipAdapter",
    "eventclip": "reactions.encoders.eventclip.adapter:EventClipAdapter",
    "hf": "reactions.encoders.transformers.clip:HfAdapter",
    "imagebind": "reactions.encoders.imagebind.adapter:ImageBindAdapter",
    "imagebind_bfloat16": "reactions.encoders.imagebind.adapter:ImageBindBfloat16Adapter",
    "imagebind_float16": "reactions.encoders.imagebind.adapter:ImageBindFloat16Adapter",
    "laion_clap": "reactions.encoders.clap.laion:LaionClapAdapter",
    "open_clip": "reactions.encoders.open_clip.adapter:OpenClipAdapter",
    "pointbind": "reactions.encoders.pointbind.adapter:PointBindAdapter",
    "wav2clip": "reactions.encoders.wav2clip:Wav2ClipAdapter",
}
"""Adapters of models that a URI can name, by its scheme: ``module:class``."""

ADAPTERS: Mapping[str, str] = {
    **MODELS,
    "hf_clap": "reactions.encoders.clap.transformers:HfClapAdapter",
    "internvl": "reactions.encoders.transformers.internvl:InternVLAdapter",
    "mini": "reactions.encoders.mini:MiniAdapter",
    "precomputed": "reactions.encoders.precomputed.adapter:PrecomputedAdapter",
}
"""All of ours, by the name that ``SpaceSpec.adapter`` has."""

_NO_SPACES: Mapping[str, tuple[str, str]] = dict.fromkeys(
    ("eclip", "eventbind"),
    (
        "E-CLIP (EventBind) embeds a text differently with every batch of events: there is no "
        "embedding of a text alone",
        'event pictures in its style by an image space ("hf:ORG/REPO?event=eclip"), or '
        "eventclip:FILE, whose texts are CLIP's",
    ),
)
"""Schemes that people may try for models that are not spaces: why, and what to use instead."""

_FOLDERS = ("precomputed", "file")
"""Schemes of folders of embeddings."""


def load(spec: SpaceSpec, device: str = "cpu") -> Encoder:
    """Load a space with its adapter.

    Args:
        spec: what to load.
        device: ``"cpu"``, ``"cuda:0"``, ...

    Raises:
        MissingError: no adapter has this name, or the weights or a package are missing.
        UsageError: an installed package has an adapter of the same name.
    """
    encoder = _adapter(spec.adapter).load(native(spec), device=device)
    if not spec.derived:
        return encoder
    from reactions.encoders.derived_towers import with_derived

    return with_derived(encoder, spec)


def check(spec: SpaceSpec) -> None:
    """Find out cheaply whether ``load`` has what it needs, before a long run begins.

    Raises:
        MissingError: no adapter has this name, or the weights or a package are missing.
        UsageError: the weights come with code, and running it was not allowed; or an installed
            package has an adapter of the same name.
    """
    _adapter(spec.adapter).check(native(spec))


def trains(spec: SpaceSpec) -> bool:
    """Return whether the encoders of a space's family can be tuned.

    Raises:
        MissingError: no adapter has this name.
    """
    # Adapters of other packages may be older than the question.
    return bool(getattr(_adapter(spec.adapter), "trains", False))


def gives_norms(spec: SpaceSpec) -> bool:
    """Return whether encoders of a space's family say which norm their model gives.

    Raises:
        MissingError: no adapter has this name.
    """
    # Adapters of other packages may be older than the question.
    return bool(getattr(_adapter(spec.adapter), "gives_norms", False))


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
            ``MODELS``), or a scheme that an installed package understands. ``?event=STYLE`` and
            ``?video=frames-N`` let an image tower embed these as well (``derived``).
        name: what the space is called; "" leaves that to whatever it is.
        digest_cache: remembers digests of large files.
        locator: where weights lie; None asks the environment.

    Raises:
        MissingError: nothing can open it.
        DataError: it was found, but is not a usable space.
        UsageError: no path can have this name, an image tower cannot embed what is asked for, or
            an installed package claims one of our schemes.
    """
    # Python's file functions raise a bare ValueError over it.
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
        UsageError: an installed package claims one of our schemes.
    """
    scheme, colon, _ = uri.partition(":")
    adapter = _uri_adapter(scheme) if colon else None
    return () if adapter is None else adapter.requirements(_without_derived(adapter, uri)[0])


def _resolved(
    uri: str, name: str, digest_cache: DigestCache | None, locator: WeightLocator | None
) -> SpaceSpec:
    scheme, colon, _ = uri.partition(":")
    adapter = _uri_adapter(scheme) if colon else None
    if adapter is None and uri and exists(expand_user(uri)):
        adapter, name = _adapter("precomputed"), ""
    if adapter is None:
        raise _unknown(uri)
    uri, how = _without_derived(adapter, uri)
    spec = adapter.resolve(uri, name=name, digest_cache=digest_cache, locator=locator)
    return derive(spec, how)


def _without_derived(adapter: Adapter[Any], uri: str) -> tuple[str, dict[Modality, str]]:
    """Return a URI as its adapter is to read it, and what an image tower is to embed besides."""
    # A package's function may have options of these names.
    reads_them = isinstance(adapter, plugins.FunctionAdapter) or set(adapter.options) & set(OPTIONS)
    return (uri, {}) if reads_them else split_derived(uri)


def _uri_adapter(scheme: str) -> Adapter[Any] | None:
    """Return what understands URIs of a scheme; None where nothing does."""
    if scheme in (*_FOLDERS, *ADAPTERS):
        plugins.refuse_claims_to(scheme)
    if scheme in _FOLDERS:
        return _adapter("precomputed")
    if scheme in MODELS:
        return _imported(scheme, MODELS[scheme])
    return plugins.adapter_for_uris(scheme)


def _adapter(name: str) -> Adapter[Any]:
    """Return what opens spaces whose ``adapter`` this is."""
    if name in ADAPTERS:
        plugins.refuse_claims_to(name)
        return _imported(name, ADAPTERS[name])
    adapter = plugins.adapter_for_spaces(name)
    if adapter is None:
        names = [*ADAPTERS, *plugins.space_adapters()]
        raise MissingError(
            f"no adapter '{name}' to load a space with",
            why=f"known: {', '.join(names)}; installed packages add more by the entry point "
            f"group '{plugins.SPACES_GROUP}'",
            fix=suggestion(name, names),
            adapter=name,
        )
    return adapter


def _imported(name: str, place: str) -> Adapter[Any]:
    module, _, attribute = place.partition(":")
    try:
        return plugins.as_adapter(getattr(importlib.import_module(module), attribute))
    except ImportError as error:
        raise MissingError(
            f"cannot load the adapter '{name}'",
            why=" ".join(str(error).split()),
            fix="install what it needs (docs/install.md)",
            adapter=name,
        ) from error


def _unknown(uri: str) -> MissingError:
    scheme, colon, _ = uri.partition(":")
    if colon and scheme.lower() in _NO_SPACES:
        why, fix = _NO_SPACES[scheme.lower()]
        return MissingError(f'"{uri}" is not a space', why=why, fix=fix, uri=uri)
    names = sorted({*_FOLDERS, *MODELS, *plugins.schemes()})
    near = did_you_mean(scheme, names) if colon else []
    is_path = uri.startswith(("/", "./", "../", "~"))
    schemes = ", ".join(f"{name}:" for name in names)
    return MissingError(
        f'cannot open the space "{uri}"',
        why=f"there is no folder '{expand_user(uri).absolute()}'"
        + ("" if is_path else f", and it starts with none of {schemes}"),
        fix=f"did you mean '{near[0]}:'?"
        if near
        else "give a folder with one npy, safetensors or parquet file for each modality",
        uri=uri,
    )
