"""Reading lab files: TOML to a checked ``Lab``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from reactions.data.digests import DigestCache
from reactions.errors import DataError, MissingError, NotSupportedYet, UsageError, suggestion
from reactions.kinds import FactorDefaults, Modality, SpaceSpec
from reactions.labs.lab import CorpusSource, Lab, ReactionSettings
from reactions.registry import Catalogue
from reactions.spaces.adapters import resolve_uri

OWN_LAB = "molspace.toml"
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
}
_PRECOMPUTED_KEYS: Mapping[str, type] = {"path": str, "hub": str}
_TYPE_NAMES: Mapping[type, str] = {
    bool: "true or false",
    dict: "a table",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a string",
}
_BUILT_IN = Path(__file__).parent


def find_lab(name: str | None = None, *, folder: Path | None = None) -> Path:
    """Return the file of a lab.

    Args:
        name: a built-in lab's name, or a path; None means ``./molspace.toml`` if there is
            one, else the mini lab.
        folder: where a relative path starts; None means the working directory.

    Raises:
        MissingError: no such lab.
        NotSupportedYet: the paper lab.
    """
    if name is None:
        own = Path(OWN_LAB)
        return own.resolve() if own.is_file() else _BUILT_IN / "mini.toml"
    if name == "paper":
        raise NotSupportedYet(
            "the paper lab cannot run in this version",
            why="adapters for the published checkpoints and benchmarks are not there yet",
            fix="give embeddings you computed: any quoted folder is a space (README, 'Your own "
            "embeddings')",
        )
    if (_BUILT_IN / f"{name}.toml").is_file():
        return _BUILT_IN / f"{name}.toml"
    path = (folder or Path()) / Path(name).expanduser()
    if path.is_dir():
        path = path / OWN_LAB
    if path.is_file():
        return path.resolve()
    known = [p.stem for p in sorted(_BUILT_IN.glob("*.toml"))]
    raise MissingError(
        f"no lab '{name}'", fix=f"{suggestion(name, known)}   or give the path of a file"
    )


def load_lab(
    name: str | None = None, *, seed: int | None = None, digests: DigestCache | None = None
) -> Lab:
    """Read and check a lab file.

    Args:
        name: see ``find_lab``.
        seed: instead of the lab's own.
        digests: remembers digests of large files between runs.

    Raises:
        MissingError: no such lab.
        UsageError: the file is not valid; the message names the key.
    """
    return _read(find_lab(name), digests or DigestCache(), depth=0).with_seed(seed)


def _read(path: Path, digests: DigestCache, depth: int) -> Lab:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no valid TOML", why=str(error)) from None
    except OSError as error:
        raise DataError(f"cannot read {path}", why=error.strerror or str(error)) from None
    _check_keys(data, ("lab", "reaction", "factors", "spaces", "corpora"), path, "")
    head = _table(data, "lab", path)
    _check_keys(head, ("name", "label", "extends", "seed", "world_tasks"), path, "lab.")
    base: Lab | None = None
    if "extends" in head:
        if depth >= 8:
            raise UsageError(f"{path}: labs extend one another in a circle")
        extends = _typed(head["extends"], str, path, "lab.extends")
        base = _read(find_lab(extends, folder=path.parent), digests, depth + 1)
    default = path.parent.name if path.name == OWN_LAB else path.stem
    name = _typed(head.get("name", default), str, path, "lab.name")
    specs = {spec.name: spec for spec in base.catalogue} if base else {}
    for space, entry in _table(data, "spaces", path).items():
        specs[space] = _space(space, entry, path, digests)
    corpora = {**(base.corpora if base else {}), **_corpora(data, path)}
    world_tasks = head.get("world_tasks", base.world_tasks if base else False)
    label = _typed(head.get("label", name), str, path, "lab.label") or name
    # A result made with stand-ins says so, whatever the lab is called.
    rehearsal = world_tasks or any(source.world_rows for source in corpora.values())
    for word in (base.label if base else "", "mini" if rehearsal else ""):
        if word and not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", label):
            label = f"{word} ({label})"
    return Lab(
        name=name,
        label=label,
        path=path,
        seed=_typed(head.get("seed", base.seed if base else 0), int, path, "lab.seed"),
        catalogue=Catalogue(specs, partial(resolve_uri, digest_cache=digests)),
        settings=_settings(data, base, path),
        factors=_factors(data, base, path),
        corpora=corpora,
        world_tasks=_typed(world_tasks, bool, path, "lab.world_tasks"),
        digests=digests,
    )


def _space(name: str, entry: Any, path: Path, digests: DigestCache) -> SpaceSpec:
    where = f"spaces.{name}"
    if not isinstance(entry, Mapping):
        raise UsageError(f"{path}: {where} is no table")
    kinds = _PRECOMPUTED_KEYS if "path" in entry else _SPACE_KEYS
    _check_keys(entry, kinds, path, f"{where}.")
    given = {key: _typed(value, kinds[key], path, f"{where}.{key}") for key, value in entry.items()}
    if "path" in entry:
        folder = (path.parent / Path(given["path"]).expanduser()).resolve()
        spec = resolve_uri(str(folder), digest_cache=digests)
        spec = replace(spec, name=name, hub=given.get("hub", spec.hub))
    else:
        for key in ("adapter", "source", "dim", "modalities"):
            if key not in given:
                raise UsageError(f"{path}: {where}.{key} is missing", fix="or give path = a folder")
        modalities = [_typed(m, str, path, f"{where}.modalities") for m in given["modalities"]]
        # A file beside the lab file, or whatever else the adapter understands.
        beside = path.parent / Path(given["source"]).expanduser()
        tags, flops = given.get("preprocessing", {}), given.get("flops", {})
        weights_digest = given.get("digest") or (digests.of(beside) if beside.is_file() else "")
        spec = SpaceSpec(
            name=name,
            dim=given["dim"],
            modalities=tuple(sorted(set(modalities))),
            adapter=given["adapter"],
            source=str(beside.resolve()) if beside.exists() else given["source"],
            revision=given.get("revision", ""),
            licence=given.get("licence", ""),
            weights_digest=weights_digest,
            preprocessing=tuple(
                (m, _typed(tags[m], str, path, f"{where}.preprocessing.{m}")) for m in sorted(tags)
            ),
            hub=given.get("hub"),
            flops_per_item=tuple(
                (m, _typed(flops[m], float, path, f"{where}.flops.{m}")) for m in sorted(flops)
            ),
            lab=given.get("lab", ""),
        )
    if spec.dim < 1 or not spec.modalities:
        raise UsageError(f"{path}: {where} needs a dim above 0 and at least one modality")
    for key, names in (
        ("hub", [spec.hub] if spec.hub is not None else []),
        ("preprocessing", [m for m, _ in spec.preprocessing]),
        ("flops", [m for m, _ in spec.flops_per_item]),
    ):
        for modality in names:
            if modality not in spec.modalities:
                raise UsageError(
                    f"{path}: {where}.{key} names '{modality}', which is none of its modalities",
                    fix=suggestion(modality, spec.modalities),
                )
    return spec


def _settings(data: Mapping[str, Any], base: Lab | None, path: Path) -> ReactionSettings:
    given = _table(data, "reaction", path)
    settings = base.settings if base else ReactionSettings()
    known = {entry.name: type(getattr(settings, entry.name)) for entry in fields(settings)}
    _check_keys(given, known, path, "reaction.")
    values: dict[str, Any] = {}
    for key, value in given.items():
        values[key] = _typed(value, known[key], path, f"reaction.{key}")
    try:
        return replace(settings, **values)
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}", why=error.why, fix=error.fix) from None


def _factors(data: Mapping[str, Any], base: Lab | None, path: Path) -> FactorDefaults:
    given = _table(data, "factors", path)
    _check_keys(given, ("lambda", "sigma"), path, "factors.")
    factors = base.factors if base else FactorDefaults()
    changes: dict[str, Any] = {}
    for key, pairs, other in (
        ("lambda", "displacement", "other_displacement"),
        ("sigma", "combination", "other_combination"),
    ):
        table = dict(_table(given, key, path))
        for modality, value in table.items():
            table[modality] = _typed(value, float, path, f"factors.{key}.{modality}")
            if not 0 <= value <= 1:
                raise UsageError(f"{path}: factors.{key}.{modality} must be 0 to 1, not {value!r}")
        if "other" in table:
            changes[other] = table.pop("other")
        changes[pairs] = tuple(sorted({**dict(getattr(factors, pairs)), **table}.items()))
    return replace(factors, **changes)


def _corpora(data: Mapping[str, Any], path: Path) -> dict[Modality, CorpusSource]:
    found = {}
    for modality, entry in _table(data, "corpora", path).items():
        _check_keys(entry, ("world", "manifest"), path, f"corpora.{modality}.")
        if len(entry) != 1:
            raise UsageError(f"{path}: corpora.{modality} needs either world or manifest")
        if "world" in entry:
            rows = _typed(entry["world"], int, path, f"corpora.{modality}.world")
            if rows < 1:
                raise DataError(f"{path}: the {modality} corpus is empty (world = {rows})")
            found[modality] = CorpusSource(world_rows=rows)
        else:
            manifest = _typed(entry["manifest"], str, path, f"corpora.{modality}.manifest")
            found[modality] = CorpusSource(manifest=path.parent / Path(manifest).expanduser())
    return found


def _table(data: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise UsageError(f"{path}: '{key}' is no table", fix=f"write [{key}]")
    return value


def _typed(value: Any, wanted: type, path: Path, key: str) -> Any:
    """Return a value that has the type wanted; whole numbers count as numbers, true does not."""
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise UsageError(f"{path}: {key} must be {_TYPE_NAMES[wanted]}, not {value!r}")
    return value


def _check_keys(data: Any, known: Any, path: Path, prefix: str) -> None:
    if not isinstance(data, Mapping):
        raise UsageError(f"{path}: '{prefix.rstrip('.')}' is no table")
    for key in data:
        if key not in known:
            raise UsageError(f"{path}: unknown key {prefix}{key}", fix=suggestion(key, list(known)))
