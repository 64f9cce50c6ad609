"""The sections of a lab file that name spaces: ``[spaces.NAME]``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reactions.core.catalogue import SpaceMaker
from reactions.core.errors import UsageError, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists, expand_user, is_file
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.registry import resolve_uri
from reactions.labs.toml_values import check_keys, table_of, typed
from reactions.weights.locate import WeightLocator

_SPACE_KEYS: Mapping[str, type] = {
    "adapter": str,
    "source": str,
    "dim": int,
    "modalities": list,
    "revision": str,
    "licence": str,
    "digest": str,
    "preprocessing": dict,
    "hub": str,
    "flops": dict,
    "lab": str,
    "centre": bool,
}
_URI_KEYS: Mapping[str, type] = {"uri": str, "hub": str, "centre": bool}
_PRECOMPUTED_KEYS: Mapping[str, type] = {"path": str, "hub": str, "centre": bool}


def read_spaces(
    data: Mapping[str, Any], path: Path, digests: DigestCache, locator: WeightLocator
) -> dict[str, SpaceSpec | SpaceMaker]:
    """Return what ``[spaces]`` says, by name.

    A space is given by ``uri``, a model that is looked for when it is first used; by
    ``path``, a folder of embeddings; or in full, for an adapter.

    Raises:
        UsageError: a key or a value is wrong.
        MissingError: a folder of embeddings is missing.
    """
    return {
        name: _space(name, entry, path, digests, locator)
        for name, entry in table_of(data, "spaces", path).items()
    }


@dataclass(frozen=True, slots=True)
class Model:
    """A space given by a URI; called to describe it, which needs its weights."""

    name: str
    uri: str
    hub: Modality | None
    path: Path
    digests: DigestCache
    locator: WeightLocator
    centre: bool = False

    def __call__(self) -> SpaceSpec:
        """Describe the space.

        Raises:
            MissingError: its weights are not on this machine.
            DataError: they are not what they should be.
            UsageError: the lab file's hub is none of its modalities.
        """
        spec = resolve_uri(
            self.uri, name=self.name, digest_cache=self.digests, locator=self.locator
        )
        spec = replace(spec, hub=self.hub or spec.hub, centre=self.centre)
        _check_modalities(spec, self.path)
        return spec


def _space(
    name: str, entry: Any, path: Path, digests: DigestCache, locator: WeightLocator
) -> SpaceSpec | SpaceMaker:
    where = f"spaces.{name}"
    if not isinstance(entry, Mapping):
        raise UsageError(f"{path}: {where} is not a table")
    kinds = _URI_KEYS if "uri" in entry else _PRECOMPUTED_KEYS if "path" in entry else _SPACE_KEYS
    in_full = "uri" not in entry and "path" not in entry
    near = {**kinds, "uri": str, "path": str} if in_full else kinds  # a slip of any of them
    check_keys(entry, near, path, f"{where}.")
    given = {key: typed(value, kinds[key], path, f"{where}.{key}") for key, value in entry.items()}
    if "uri" in entry:
        uri = _anchored(given["uri"], path.parent)
        return Model(
            name, uri, given.get("hub"), path, digests, locator, given.get("centre", False)
        )
    if "path" in entry:
        own = path.parent / expand_user(given["path"])
        folder = locator.overrides.get(name, own).resolve()
        spec = resolve_uri(str(folder), digest_cache=digests)
        spec = replace(spec, name=name, hub=given.get("hub", spec.hub))
        spec = replace(spec, centre=given.get("centre", False))
    else:
        for key in ("adapter", "source", "dim", "modalities"):
            if key not in given:
                raise UsageError(
                    f"{path}: {where}.{key} is missing",
                    fix="or give uri = a model, or path = a folder",
                )
        modalities = [typed(m, str, path, f"{where}.modalities") for m in given["modalities"]]
        # A file beside the lab file, or whatever else the adapter understands.
        beside = path.parent / expand_user(given["source"])
        tags, flops = given.get("preprocessing", {}), given.get("flops", {})
        weights_digest = given.get("digest") or (digests.of(beside) if is_file(beside) else "")
        spec = SpaceSpec(
            name=name,
            dim=given["dim"],
            modalities=tuple(sorted(set(modalities))),
            adapter=given["adapter"],
            source=str(beside.resolve()) if exists(beside) else given["source"],
            revision=given.get("revision", ""),
            licence=given.get("licence", ""),
            weights_digest=weights_digest,
            preprocessing=tuple(
                (m, typed(tags[m], str, path, f"{where}.preprocessing.{m}")) for m in sorted(tags)
            ),
            hub=given.get("hub"),
            flops_per_item=tuple(
                (m, typed(flops[m], float, path, f"{where}.flops.{m}")) for m in sorted(flops)
            ),
            lab=given.get("lab", ""),
            centre=given.get("centre", False),
        )
    if spec.dim < 1 or not spec.modalities:
        raise UsageError(f"{path}: {where} needs a dim above 0 and at least one modality")
    _check_modalities(spec, path)
    return spec


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
    ):
        for modality in names:
            if modality not in spec.modalities:
                raise UsageError(
                    f"{path}: spaces.{spec.name}.{key} names '{modality}', which is none of its "
                    "modalities",
                    fix=suggestion(modality, spec.modalities),
                )
