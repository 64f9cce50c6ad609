"""Which published package a space can be compared with."""

from __future__ import annotations

from collections.abc import Mapping

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import SpaceSpec
from reactions.encoders.official.base import OfficialPackage
from reactions.encoders.official.clap_package import LaionClap
from reactions.encoders.official.imagebind_package import ImageBindPackage
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


def known(name: str) -> str:
    """Return a name if it is that of a package.

    Raises:
        UsageError: it is not.
    """
    if name not in PACKAGES:
        raise UsageError(
            f"no package to compare with is called '{name}'",
            why=f"there are {', '.join(PACKAGES)}",
            fix=suggestion(name, PACKAGES),
        )
    return name


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
    fits = [other for other, kind in PACKAGES.items() if spec.adapter in kind.adapters]
    if fits:
        fix = f"--against {fits[0]}"
    else:
        fix = "leave --against out: the other checks of doctor need no package"
    why = _OWN.get(spec.adapter, "") if not fits else ""
    raise UsageError(
        f"space '{spec.name}' cannot be compared with {name}",
        why=why
        or f"{name} runs spaces of {', '.join(package.adapters)}, this is one of {spec.adapter}",
        fix=fix,
        space=spec.name,
        adapter=spec.adapter,
        fits=fits,
    )
