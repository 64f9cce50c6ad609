"""Which published package a space can be compared with."""

from __future__ import annotations

from collections.abc import Mapping

from reactions.core.errors import UsageError
from reactions.core.types import SpaceSpec
from reactions.encoders.official.base import OfficialPackage
from reactions.encoders.official.clap_package import LaionClap
from reactions.encoders.official.imagebind_package import ImageBindPackage
from reactions.encoders.official.names import known
from reactions.encoders.official.open_clip_package import OpenClip
from reactions.encoders.official.transformers_package import Transformers

PACKAGES: Mapping[str, type[OfficialPackage]] = {
    package.name: package for package in (LaionClap, OpenClip, Transformers, ImageBindPackage)
}
"""By the names that they are imported by."""

_OWN: Mapping[str, str] = {
    "mini": "the mini lab's encoders are molspace's own: no other package runs them",
    "precomputed": "its embeddings are looked up in files, and nothing embeds them anew",
}
"""Adapters whose spaces no package embeds, and why."""


def fitting(spec: SpaceSpec) -> list[str]:
    """Return the names of the packages that run a space's model, installed or not."""
    return [name for name, kind in PACKAGES.items() if spec.adapter in kind.adapters]


def choose(name: str, spec: SpaceSpec) -> OfficialPackage:
    """Return a package that runs a space's model.

    Args:
        name: one of ``PACKAGES``.
        spec: the space.

    Raises:
        UsageError: no package has this name, or it does not run this space.
    """
    package = PACKAGES[known(name)]
    if spec.adapter in package.adapters:
        return package()
    fits = fitting(spec)
    if fits:
        fix = f"--against {fits[0]}"
    else:
        fix = "leave --against out: the other checks of doctor need no package"
    why = _OWN.get(spec.adapter, "") if not fits else ""
    raise UsageError(
        f"space '{spec.name}' cannot be compared with {name}",
        why=why
        or f"{name} runs what the adapters {', '.join(package.adapters)} open, and this space's "
        f"is {spec.adapter}",
        fix=fix,
        space=spec.name,
        adapter=spec.adapter,
        fits=fits,
    )
