"""The spaces that a lab file names: ``[spaces.NAME]``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from reactions.core.catalogue import SpaceMaker
from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists, expand_user, is_file
from reactions.core.types import Digest, Modality, SpaceSpec
from reactions.encoders.base import tower_file
from reactions.encoders.derived import derive
from reactions.encoders.precomputed.folder import ADAPTER
from reactions.encoders.registry import resolve_uri
from reactions.labs.schema import AdapterSpace, FolderSpace, Space, UriSpace
from reactions.weights.locate import WeightLocator


def read_spaces(
    spaces: Mapping[str, Space], path: Path, digests: DigestCache, locator: WeightLocator
) -> dict[str, SpaceSpec | SpaceMaker]:
    """Return the spaces of a lab file, by name; models are described when they are first used.

    A folder of embeddings that cannot be used raises where its space is asked for, so that one
    of them does not take the rest of the lab along.

    Raises:
        UsageError: a value is wrong.
    """
    return {name: _space(name, space, path, digests, locator) for name, space in spaces.items()}


@dataclass(frozen=True, slots=True)
class SpaceFromUri:
    """A space given by a URI; called to describe it, which needs its weights."""

    name: str
    uri: str
    hub: Modality | None
    path: Path
    digests: DigestCache
    locator: WeightLocator
    centre: bool = False
    derived: tuple[tuple[Modality, str], ...] = ()

    def __call__(self) -> SpaceSpec:
        """Describe the space.

        Raises:
            MissingError: its weights are not on this machine.
            DataError: they are not what they should be.
            UsageError: the lab file's hub is none of its modalities, or it has no image tower for
                what one is to embed.
        """
        spec = resolve_uri(
            self.uri, name=self.name, digest_cache=self.digests, locator=self.locator
        )
        spec = derive(
            replace(spec, hub=self.hub or spec.hub, centre=self.centre), dict(self.derived)
        )
        _check_modalities(spec, self.path)
        return spec


@dataclass(frozen=True, slots=True)
class SpaceFromFolder:
    """A folder of embeddings; called to describe it, which reads headers and hashes files."""

    name: str
    folder: Path
    hub: Modality | None
    path: Path
    digests: DigestCache
    centre: bool = False

    def __call__(self) -> SpaceSpec:
        """Describe the space.

        Raises:
            MissingError: there is no such folder.
            DataError: it is malformed.
            UsageError: the lab file's hub is none of its modalities.
        """
        try:
            spec = resolve_uri(f"{ADAPTER}:{self.folder}", digest_cache=self.digests)
        except (DataError, MissingError) as error:
            error.fix = error.fix or f"repair it, or take [spaces.{self.name}] out of {self.path}"
            raise
        hub = spec.hub if self.hub is None else self.hub
        spec = replace(spec, name=self.name, hub=hub, centre=self.centre)
        _check_modalities(spec, self.path)
        return spec


def _space(
    name: str, space: Space, path: Path, digests: DigestCache, locator: WeightLocator
) -> SpaceSpec | SpaceMaker:
    if isinstance(space, UriSpace):
        uri = _anchored(space.uri, path.parent)
        return SpaceFromUri(
            name, uri, space.hub, path, digests, locator, space.centre, _derived(space)
        )
    if isinstance(space, FolderSpace):
        default_folder = path.parent / expand_user(space.path)
        folder = locator.overrides.get(name, default_folder).resolve()
        described = SpaceFromFolder(name, folder, space.hub, path, digests, space.centre)
        try:
            return described()
        except (DataError, MissingError):
            return described
    spec = _in_full(name, space, path, digests)
    if spec.dim < 1 or not spec.modalities:
        raise UsageError(f"{path}: spaces.{name} needs a dim above 0 and at least one modality")
    _check_modalities(spec, path)
    return derive(spec, dict(_derived(space)))


def _derived(space: UriSpace | AdapterSpace) -> tuple[tuple[Modality, str], ...]:
    options = (("event", space.event), ("video", space.video))
    return tuple((modality, how) for modality, how in options if how is not None)


def _in_full(name: str, space: AdapterSpace, path: Path, digests: DigestCache) -> SpaceSpec:
    # A file beside the lab file, or whatever else the adapter understands.
    beside = path.parent / expand_user(space.source)
    return SpaceSpec(
        name=name,
        dim=space.dim,
        modalities=tuple(sorted(set(space.modalities))),
        adapter=space.adapter,
        source=str(beside.resolve()) if exists(beside) else space.source,
        revision=space.revision,
        licence=space.licence,
        weights_digest=space.digest or (digests.of(beside) if is_file(beside) else ""),
        preprocessing=tuple(sorted(space.preprocessing.items())),
        hub=space.hub,
        flops_per_item=tuple(sorted(space.flops.items())),
        lab=space.lab,
        centre=space.centre,
        tower_digests=tuple(
            (modality, digest or _tower_digest(name, modality, beside, path, digests))
            for modality, digest in sorted(space.towers.items())
        ),
    )


def _tower_digest(
    name: str, modality: Modality, source: Path, path: Path, digests: DigestCache
) -> Digest:
    file = tower_file(source, modality)
    if not is_file(file):
        raise UsageError(
            f"{path}: spaces.{name}.towers.{modality} has no digest",
            why=f"there is no file '{file}' to compute it from",
            fix="restore the file, or give its SHA-256",
        )
    return digests.of(file)


def _anchored(uri: str, folder: Path) -> str:
    """Return a URI whose relative path starts at a folder, wherever molspace is called from.

    ``./`` and ``../`` always name a path; other names do where there is such a file, for
    ``ORG/REPO`` is one on the hub.
    """
    scheme, colon, rest = uri.partition(":")
    place, mark, query = rest.partition("?")
    if not (colon and place):
        return uri
    is_path = place.startswith(("./", "../")) or place in (".", "..")
    if is_path or is_file(folder / place):
        return f"{scheme}:{os.path.normpath(folder / place)}{mark}{query}"
    return uri


def _check_modalities(spec: SpaceSpec, path: Path) -> None:
    for key, names in (
        ("hub", [spec.hub] if spec.hub is not None else []),
        ("preprocessing", [m for m, _ in spec.preprocessing]),
        ("flops", [m for m, _ in spec.flops_per_item]),
        ("towers", [m for m, _ in spec.tower_digests]),
    ):
        for modality in names:
            if modality not in spec.modalities:
                raise UsageError(
                    f"{path}: spaces.{spec.name}.{key} names '{modality}', which is none of its "
                    "modalities",
                    fix=suggestion(modality, spec.modalities),
                )
