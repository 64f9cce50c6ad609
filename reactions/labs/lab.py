"""Labs: the TOML files that name spaces, corpora, tasks and hyper-parameters."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from reactions.data.benchmark import BenchmarkData
from reactions.errors import DataError, MissingError, NotSupportedYet, UsageError, suggestion
from reactions.kinds import Corpus, FactorDefaults, Item, Modality, SpaceSpec
from reactions.registry import Catalogue

OWN_LAB = "molspace.toml"
_BUILT_IN = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class ReactionSettings:
    """Hyper-parameters of a reaction; the defaults are the paper's.

    Attributes:
        collect_temperature: of the softmax that collects pseudo-pairs.
        info_nce_temperature: of the loss.
        hidden_dim: of the projectors.
        learning_rate: Adam's.
        batch_size: pseudo-pairs a step.
        dr_epochs: passes over a subset for a displacement.
        cr_epochs: passes over a subset for a combination.
        dtype: of stored embeddings and pseudo-pairs.
        shard_rows: rows a shard; what a killed run may lose.

    Source: Molecule-Space, section 4.1; hidden width: the published checkpoints.
    """

    collect_temperature: float = 1 / 100
    info_nce_temperature: float = 1 / 50
    hidden_dim: int = 2048
    learning_rate: float = 1e-3
    batch_size: int = 4096
    dr_epochs: int = 5
    cr_epochs: int = 20
    dtype: str = "float16"
    shard_rows: int = 1 << 16

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "dtype":
                if value not in ("float16", "float32"):
                    raise UsageError(f"reaction.dtype is '{value}'", fix="float16 or float32")
            elif not value > 0:
                raise UsageError(f"reaction.{entry.name} is {value}", why="it must be above 0")


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """Where the items of one modality come from: the mini world, or a manifest."""

    world_rows: int = 0
    manifest: Path | None = None


@dataclass(frozen=True)
class Lab:
    """A lab, read and checked; nothing is loaded until it is asked for.

    Attributes:
        name: its own name.
        label: what every result made in it says after ``lab:``.
        path: the file it was read from.
        seed: of corpora that are generated, of projectors, of evaluation data.
        catalogue: its spaces.
        settings: hyper-parameters.
        factors: combining factors where a reaction gives none.
        corpora: modality to source.
        world_tasks: whether the mini world's evaluation sets belong to it.
    """

    name: str
    label: str
    path: Path
    seed: int
    catalogue: Catalogue = field(repr=False)
    settings: ReactionSettings = field(default_factory=ReactionSettings)
    factors: FactorDefaults = field(default_factory=FactorDefaults)
    corpora: Mapping[Modality, CorpusSource] = field(default_factory=dict)
    world_tasks: bool = False

    def with_seed(self, seed: int | None) -> Lab:
        """Return this lab with another seed; None keeps the lab's."""
        return self if seed is None else replace(self, seed=seed)

    def corpus(self, modality: Modality) -> Corpus | None:
        """Return the corpus of one modality, or None if the lab names none.

        Raises:
            DataError: its manifest is empty or has duplicate ids.
            MissingError: its manifest does not exist.
        """
        source = self.corpora.get(modality)
        if source is None:
            return None
        if source.manifest is not None:
            from reactions.data.manifest import ManifestCorpus

            if not source.manifest.is_file():
                raise MissingError(
                    f"no manifest for the {modality} corpus",
                    why=f"{source.manifest} does not exist",
                    fix=f"correct [corpora.{modality}] in {self.path}",
                )
            return ManifestCorpus(source.manifest, modality)
        from reactions.labs import mini

        return mini.corpus(modality, n=source.world_rows, seed=self.seed)

    def benchmark(self, task: str) -> BenchmarkData:
        """Return the data of an evaluation task.

        Raises:
            MissingError: the lab has no data for it.
        """
        if not self.world_tasks:
            raise MissingError(
                f"lab '{self.name}' has no data for task '{task}'",
                why="only labs that extend the mini lab bring evaluation sets in this version",
                fix='molspace eval --lab mini, or extends = "mini" in the lab file',
            )
        from reactions.labs import mini

        return mini.benchmark(task, seed=self.seed)

    def sample_items(self) -> list[Item]:
        """Return the lab's few items to try inference on; empty if it has none."""
        if not self.world_tasks:
            return []
        from reactions.labs import mini

        return mini.sample_items()


def find_lab(name: str | None = None) -> Path:
    """Return the file of a lab.

    Args:
        name: a built-in lab's name, or a path; None means ``./molspace.toml`` if there is
            one, else the mini lab.

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
    path = Path(name)
    if path.is_dir():
        path = path / OWN_LAB
    if path.is_file():
        return path.resolve()
    known = [p.stem for p in sorted(_BUILT_IN.glob("*.toml"))]
    raise MissingError(f"no lab '{name}'", fix=suggestion(name, known) + ", or a path to a file")


def load_lab(name: str | None = None, *, seed: int | None = None) -> Lab:
    """Read and check a lab file.

    Args:
        name: see ``find_lab``.
        seed: instead of the lab's own.

    Raises:
        MissingError: no such lab.
        UsageError: the file is not valid; the message names the key.
    """
    return _read(find_lab(name), depth=0).with_seed(seed)


def _read(path: Path, depth: int) -> Lab:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no valid TOML", why=str(error)) from None
    _check_keys(data, ("lab", "reaction", "factors", "spaces", "corpora"), path, "")
    head = _table(data, "lab", path)
    _check_keys(head, ("name", "label", "extends", "seed", "world_tasks"), path, "lab.")
    base: Lab | None = None
    if "extends" in head:
        if depth >= 8:
            raise UsageError(f"{path}: labs extend one another in a circle")
        base = _read(find_lab(str(head["extends"])), depth + 1)
    name = str(head.get("name", path.parent.name if path.name == OWN_LAB else path.stem))
    specs = {spec.name: spec for spec in base.catalogue} if base else {}
    # A result made with the mini lab's stand-ins says so, whatever the lab is called.
    inherited = f"{base.label} ({name})" if base and base.label else name
    label = str(head.get("label", inherited))
    for space, entry in _table(data, "spaces", path).items():
        specs[space] = _space(space, entry, path)
    return Lab(
        name=name,
        label=label if not base or base.label in label else inherited,
        path=path,
        seed=_whole(head.get("seed", base.seed if base else 0), path, "lab.seed"),
        catalogue=Catalogue(specs, _resolve_uri),
        settings=_settings(data, base, path),
        factors=_factors(data, base, path),
        corpora={**(base.corpora if base else {}), **_corpora(data, path)},
        world_tasks=bool(head.get("world_tasks", base.world_tasks if base else False)),
    )


def _resolve_uri(uri: str) -> SpaceSpec:
    from reactions.spaces.adapters import resolve_uri

    return resolve_uri(uri)


def _space(name: str, entry: Any, path: Path) -> SpaceSpec:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{path}: spaces.{name} is no table")
    where = f"spaces.{name}."
    if "path" in entry:
        _check_keys(entry, ("path", "hub"), path, where)
        from reactions.spaces.adapters import resolve_uri

        spec = resolve_uri(str((path.parent / str(entry["path"])).resolve()))
        return replace(spec, name=name, hub=entry.get("hub", spec.hub))
    required = ("adapter", "source", "dim", "modalities")
    optional = ("revision", "licence", "digest", "preprocessing", "hub", "flops", "lab")
    _check_keys(entry, (*required, *optional), path, where)
    for key in required:
        if key not in entry:
            raise UsageError(f"{path}: {where}{key} is missing", fix="or give path = a folder")
    return SpaceSpec(
        name=name,
        dim=_whole(entry["dim"], path, f"{where}dim"),
        modalities=tuple(sorted(entry["modalities"])),
        adapter=str(entry["adapter"]),
        source=str(entry["source"]),
        revision=str(entry.get("revision", "")),
        licence=str(entry.get("licence", "")),
        weights_digest=str(entry.get("digest", "")),
        preprocessing=tuple(sorted(entry.get("preprocessing", {}).items())),
        hub=entry.get("hub"),
        flops_per_item=tuple(sorted((m, float(f)) for m, f in entry.get("flops", {}).items())),
        lab=str(entry.get("lab", "")),
    )


def _settings(data: Mapping[str, Any], base: Lab | None, path: Path) -> ReactionSettings:
    given = _table(data, "reaction", path)
    settings = base.settings if base else ReactionSettings()
    known = {entry.name: type(getattr(settings, entry.name)) for entry in fields(settings)}
    _check_keys(given, known, path, "reaction.")
    values: dict[str, Any] = {}
    for key, value in given.items():
        wanted = known[key]
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not wanted:
            raise UsageError(f"{path}: reaction.{key} must be a {wanted.__name__}, not {value!r}")
        values[key] = value
    return replace(settings, **values)


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
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise UsageError(f"{path}: factors.{key}.{modality} must be 0 to 1, not {value!r}")
        if "other" in table:
            changes[other] = float(table.pop("other"))
        if table:
            changes[pairs] = tuple(sorted((m, float(v)) for m, v in table.items()))
    return replace(factors, **changes)


def _corpora(data: Mapping[str, Any], path: Path) -> dict[Modality, CorpusSource]:
    found = {}
    for modality, entry in _table(data, "corpora", path).items():
        _check_keys(entry, ("world", "manifest"), path, f"corpora.{modality}.")
        if len(entry) != 1:
            raise UsageError(f"{path}: corpora.{modality} needs either world or manifest")
        if "world" in entry:
            rows = _whole(entry["world"], path, f"corpora.{modality}.world")
            if rows < 1:
                raise DataError(f"{path}: the {modality} corpus is empty (world = {rows})")
            found[modality] = CorpusSource(world_rows=rows)
        else:
            found[modality] = CorpusSource(manifest=path.parent / str(entry["manifest"]))
    return found


def _table(data: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise UsageError(f"{path}: '{key}' is no table", fix=f"write [{key}]")
    return value


def _whole(value: Any, path: Path, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{path}: {key} must be a whole number, not {value!r}")
    return value


def _check_keys(data: Any, known: Any, path: Path, prefix: str) -> None:
    if not isinstance(data, Mapping):
        raise UsageError(f"{path}: '{prefix.rstrip('.')}' is no table")
    for key in data:
        if key not in known:
            raise UsageError(f"{path}: unknown key {prefix}{key}", fix=suggestion(key, list(known)))
