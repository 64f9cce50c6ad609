"""Reading lab files: TOML to a checked ``Lab``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from reactions.core import environment
from reactions.core.catalogue import Catalogue
from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.file_digests import DigestCache
from reactions.core.lcl_settings import LclSettings
from reactions.core.local_files import exists, expand_user, is_dir, is_file
from reactions.core.paths import cache_root, check_data, check_folders, evaluation_root
from reactions.core.settings import ReactionSettings, TuningSettings
from reactions.data.sources.config import OnProgress, silent
from reactions.encoders.registry import resolve_uri
from reactions.eval.registry import Folders
from reactions.labs.data_sections import read_corpora, read_folders
from reactions.labs.knowledge_sections import read_knowledge
from reactions.labs.lab import Lab
from reactions.labs.mistakes import checked
from reactions.labs.pairs_sections import read_pairs
from reactions.labs.schema import DefaultFactors, LabFile
from reactions.labs.section import Section
from reactions.labs.space_sections import SpaceFromUri, read_spaces
from reactions.labs.task_sections import read_tasks
from reactions.labs.toml_files import TomlFile, read_toml
from reactions.labs.trust import Mention, allow, mentions, refusal, verdict
from reactions.weights.locate import NamedWeights, WeightLocator

Agree = Callable[[Path, Sequence[Mention]], bool]
"""Asks a person whether to use a lab file that was found by itself; gets what it names."""

_Settings = TypeVar("_Settings", ReactionSettings, TuningSettings, LclSettings)

OWN_LAB = "molspace.toml"
_BUILT_IN = Path(__file__).parent
_MAX_EXTENDED = 8


def find_lab(name: str | None = None, *, folder: Path | None = None) -> Path:
    """Return the file of a lab.

    Args:
        name: a built-in lab's name, or a path; None means what ``$MOLSPACE_LAB`` names, else
            ``./molspace.toml`` if there is one, else the mini lab.
        folder: where a relative path starts; None means the working directory.

    Raises:
        MissingError: no such lab.
    """
    if name is None and (lab_chosen := environment.chosen_lab()) is not None:
        try:
            return find_lab(lab_chosen, folder=folder)
        except MissingError as error:
            raise environment.from_variable(error, environment.LAB) from None
    if name is None:
        local = Path(OWN_LAB)
        # A folder, or a link that leads nowhere, is meant to be a lab: never use another instead.
        return Path(os.path.realpath(local)) if os.path.lexists(local) else _BUILT_IN / "mini.toml"
    if is_file(_BUILT_IN / f"{name}.toml"):
        return _BUILT_IN / f"{name}.toml"
    path = (folder or Path()) / expand_user(name)
    if is_dir(path):
        path = path / OWN_LAB
    if exists(path):
        return path.resolve()
    if path.suffix.lower() == ".toml" or len(expand_user(name).parts) > 1:
        why = f"there is no file '{path.absolute()}'"
        raise MissingError(f"no lab '{name}'", why=why, fix="check the path")
    built_in = [p.stem for p in sorted(_BUILT_IN.glob("*.toml"))]
    raise MissingError(
        f"no lab '{name}'", fix=f"{suggestion(name, built_in)}   or give the path of a file"
    )


def load_lab(
    name: str | None = None,
    *,
    seed: int | None = None,
    digests: DigestCache | None = None,
    data: Path | None = None,
    weights: Mapping[str, Path] | None = None,
    on_progress: OnProgress = silent,
    agree: Agree = lambda path, named: False,
) -> Lab:
    """Read and check a lab file.

    ``$MOLSPACE_LAB`` and ``$MOLSPACE_PRECISION`` say what ``name`` and nothing else do not.
    ``./molspace.toml`` that the user did not name is only read where it names nothing but local
    data, or where the user agreed to it (``molspace lab allow``).

    Args:
        name: see ``find_lab``.
        seed: instead of the lab's own.
        digests: remembers digests of large files and scans of corpora between runs; the
            default is in the user's cache.
        data: folder of evaluation sets, looked in before those that the lab names; it also
            stands for ``$MOLSPACE_DATA`` in lab files.
        weights: space name to the file or folder that holds its weights.
        on_progress: of the progress of scans.
        agree: asks whether to use a lab file that was found by itself; its yes is remembered.

    Raises:
        MissingError: no such lab, or no such folder of data.
        UsageError: the file is not valid; the message names the key. Or the user has not
            agreed to it.
        DataError: it is too large, or not a regular file.
    """
    if data is not None:
        check_data(data)
    check_folders(data_is_given=data is not None)
    named = NamedWeights(weights)
    opened = _Opened(
        digests or DigestCache(cache_root()),
        WeightLocator.of_environment(named),
        evaluation_root() if data is None else data.absolute(),
    )
    files = read_chain(find_lab(name))
    if environment.chosen_lab(name) is None and files[0].path.parent != _BUILT_IN:
        _check_trust(files, agree)
    lab = _read(files, opened).with_seed(seed).with_precision(environment.chosen_precision())
    folders = lab.data if data is None else replace(lab.data, chosen=data.absolute())
    return replace(lab, data=folders, on_progress=on_progress, weights=named)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What reading a lab needs beside its file: caches, and where weights and data lie."""

    digests: DigestCache
    locator: WeightLocator
    root: Path


def read_chain(path: Path) -> list[TomlFile]:
    """Read a lab file and all that it extends, the file itself first; nothing else is looked at.

    Raises:
        MissingError: it, or a lab that it extends, is not there.
        UsageError: one is not valid TOML, or they extend one another in a circle.
        DataError: one is too large, or not a regular file.
    """
    files = [read_toml(path)]
    while True:
        path, data = files[-1].path, files[-1].data
        # The other tables wait until the file is trusted.
        other_tables = LabFile.model_fields.keys() - {"lab"}
        head = checked(LabFile, {k: v for k, v in data.items() if k not in other_tables}, path).lab
        if head.extends is None:
            return files
        if len(files) > _MAX_EXTENDED:
            raise UsageError(f"{path}: labs extend one another in a circle")
        try:
            files.append(read_toml(find_lab(head.extends, folder=path.parent)))
        except MissingError as error:
            what = f"{path}: lab.extends: {error.what}"
            raise MissingError(what, why=error.why, fix=error.fix) from None


def _check_trust(files: Sequence[TomlFile], agree: Agree) -> None:
    """Refuse a lab file that the user did not name, unless it is data alone or the user agrees."""
    mentioned, state = mentions(files), verdict(files)
    if state == "denied" or (mentioned and state != "allowed"):
        if state == "denied" or not agree(files[0].path, mentioned):
            raise refusal(files, mentioned)
        allow(files)


def _read(files: Sequence[TomlFile], opened: _Opened) -> Lab:
    path = files[0].path
    file = checked(LabFile, files[0].data, path)
    head = file.lab
    base = _read(files[1:], opened) if len(files) > 1 else None
    name = head.name
    if name is None:
        name = path.parent.name if path.name == OWN_LAB else path.stem
    specs = dict(base.catalogue.items()) if base else {}
    new_spaces = read_spaces(file.spaces, path, opened.digests, opened.locator)
    specs.update(new_spaces)
    uris = {
        name: uri for name, uri in (base.uris if base else {}).items() if name not in new_spaces
    }
    uris.update(
        {name: space.uri for name, space in new_spaces.items() if isinstance(space, SpaceFromUri)}
    )
    corpora = {**(base.corpora if base else {}), **read_corpora(file.corpora, path, opened.root)}
    pairs = read_pairs(file.pairs, base.pairs if base else {}, path, opened.root)
    knowledge = {
        **(base.knowledge_bases if base else {}),
        **read_knowledge(file.kb, path, opened.root),
    }
    own_tasks = {
        **(base.own_tasks if base else {}),
        **read_tasks(file.tasks, path, opened.root),
    }
    world_tasks, seed = head.world_tasks, head.seed
    if seed is not None and seed < 0:
        why = "it must be a whole number from 0 up"
        raise UsageError(f"{path}: lab.seed is {seed}", why=why, fix="0, or another")
    if world_tasks is None:
        world_tasks = base.world_tasks if base else False
    if seed is None:
        seed = base.seed if base else 0
    # A result made with stand-ins says so, whatever the lab is called.
    label = head.label or name
    rehearsal = (
        world_tasks
        or any(source.world_rows for source in corpora.values())
        or any(source.world_scenes for source in pairs.values())
        or any(source.path is None for source in knowledge.values())
    )
    for word in (base.label if base else "", "mini" if rehearsal else ""):
        if word and not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", label):
            label = f"{word} ({label})"
    return Lab(
        name=name,
        label=label,
        path=path,
        seed=seed,
        catalogue=Catalogue(
            specs, partial(resolve_uri, digest_cache=opened.digests, locator=opened.locator)
        ),
        settings=_settings(base.settings if base else ReactionSettings(), file.reaction, path),
        tuning=_settings(base.tuning if base else TuningSettings(), file.tuning, path),
        lcl=_settings(base.lcl if base else LclSettings(), file.lcl, path),
        factors=_factors(file.factors, base),
        corpora=corpora,
        pairs=pairs,
        knowledge_bases=knowledge,
        data=read_folders(
            file.data, base.data if base else Folders(), path, opened.root, own_tasks
        ),
        own_tasks=own_tasks,
        world_tasks=world_tasks,
        digests=opened.digests,
        uris=uris,
    )


def _settings(settings: _Settings, table: Section, path: Path) -> _Settings:
    """Return settings with what a table of the file says itself; the rest is as it was."""
    try:
        return replace(settings, **table.model_dump(exclude_unset=True))
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}", why=error.why, fix=error.fix) from None


def _factors(section: DefaultFactors, base: Lab | None) -> FactorDefaults:
    factors = base.factors if base else FactorDefaults()
    changes: dict[str, Any] = {} if section.mean is None else {"mean": section.mean}
    for key in ("displacement", "combination"):
        table = dict(getattr(section, key))
        if "other" in table:
            changes[f"other_{key}"] = table.pop("other")
        changes[key] = tuple(sorted({**dict(getattr(factors, key)), **table}.items()))
    return replace(factors, **changes)
