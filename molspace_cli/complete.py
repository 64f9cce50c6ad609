"""What a shell completes: names of spaces, tasks, labs and bundles, read without the library.

A shell waits for the answer at every press of a key: nothing here imports more than the
standard library, checks a lab file or looks for weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

_LABS = Path(__file__).parents[1] / "reactions" / "labs"
_TASKS = Path(__file__).parents[1] / "reactions" / "eval" / "tasks"
_MAX_DEPTH = 8  # of labs that extend labs: they may do so in a circle
_RECORD = "bundle.json"
_PACKAGES = ("imagebind", "laion_clap", "open_clip", "transformers")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")


def labs(incomplete: str) -> list[str]:
    """Return built-in labs, and lab files in the folder typed so far."""
    built_in = [path.stem for path in sorted(_LABS.glob("*.toml"))]
    return [*_starting(built_in, incomplete), *_paths(incomplete, "*.toml")]


def spaces(context: typer.Context, incomplete: str) -> list[str]:
    """Return the spaces of the lab that the line names, or that is taken by default."""
    return _starting(_spaces_of(context.params.get("lab")), incomplete)


def knowledge(context: typer.Context, incomplete: str) -> list[str]:
    """Return the knowledge bases of a lab, and parquet files in the folder typed so far."""
    names = _names_in("kb", context.params.get("lab"))
    return [*_starting(names, incomplete), *_paths(incomplete, "*.parquet")]


def weights(context: typer.Context, incomplete: str) -> list[str]:
    """Return ``NAME=`` for each space of the lab, and paths after it."""
    name, equals, path = incomplete.partition("=")
    if not equals:
        return _starting((f"{space}=" for space in _spaces_of(context.params.get("lab"))), name)
    return [f"{name}={file}" for file in _paths(path, "*")]


def packages(incomplete: str) -> list[str]:
    """Return the packages that spaces can be compared with."""
    return _starting(_PACKAGES, incomplete)


def targets(context: typer.Context, incomplete: str) -> list[str]:
    """Return bundles and spaces, for ``--space``."""
    return [*spaces(context, incomplete), *bundles(incomplete)]


def bundles(incomplete: str) -> list[str]:
    """Return the bundles in the default folder, and those in the folder typed so far."""
    from reactions.core.paths import data_root

    default_paths = [str(path.parent) for path in _glob(data_root() / "bundles", f"*/{_RECORD}")]
    near = [path for path in _paths(incomplete, "*") if (Path(path) / _RECORD).is_file()]
    by_name = [
        path for path in default_paths if incomplete and Path(path).name.startswith(incomplete)
    ]
    return list(dict.fromkeys([*_starting(default_paths, incomplete), *by_name, *near]))


def built_in_tasks() -> list[str]:
    """Return the names of the evaluation sets that come with molspace: those of their files."""
    return sorted(path.stem for path in _TASKS.glob("[!_]*.py"))


def tasks(context: typer.Context, incomplete: str) -> list[str]:
    """Return tasks for the last place of a comma-separated list, those of the lab included."""
    from importlib.metadata import entry_points

    head, comma, last = incomplete.rpartition(",")
    typed = head.split(",")
    installed = entry_points(group="molspace.tasks").names
    lab_tasks = _names_in("tasks", context.params.get("lab"))
    names = sorted({*built_in_tasks(), *installed, *lab_tasks})
    groups = ["all", "freebind", "own", "unibind"]
    untyped = [name for name in ([] if comma else groups) + names if name not in typed]
    return [f"{head}{comma}{name}" for name in _starting(untyped, last)]


def experts(context: typer.Context, incomplete: str) -> list[str]:
    """Return spaces for the last place of a comma-separated list."""
    head, comma, last = incomplete.rpartition(",")
    untyped = [
        name for name in _spaces_of(context.params.get("lab")) if name not in head.split(",")
    ]
    return [f"{head}{comma}{name}" for name in _starting(untyped, last)]


def reactions(context: typer.Context, incomplete: str) -> list[str]:
    """Return what the last name of a reaction may become, and ``.rxn`` files."""
    match = _NAME.search(incomplete)
    last = match[0] if match else ""
    head = incomplete[: len(incomplete) - len(last)]
    names = [head + name for name in _starting(_spaces_of(context.params.get("lab")), last)]
    return [*names, *([] if head else _paths(incomplete, "*.rxn"))]


def devices(incomplete: str) -> list[str]:
    """Return the devices that are always understood."""
    return _starting(("auto", "cpu", "cuda", "cuda:0"), incomplete)


def described(context: typer.Context, incomplete: str) -> list[str]:
    """Return what describes classes: knowledge bases, and files of centres."""
    files = _paths(incomplete, "*.safetensors")
    return list(dict.fromkeys([*knowledge(context, incomplete), *files]))


def selections(incomplete: str) -> list[str]:
    """Return the ways to choose among descriptions of a class."""
    from reactions.core.centre_options import SELECTIONS

    return _starting(SELECTIONS, incomplete)


def rules(incomplete: str) -> list[str]:
    """Return the rules by which descriptions of a class score."""
    return _starting(("mean", "nearest-row", "sum", "top-20"), incomplete)


def executors(incomplete: str) -> list[str]:
    """Return the names of executors: built in, and of installed packages."""
    from reactions.run.executor import executor_names

    return _starting(executor_names(), incomplete)


def _spaces_of(lab: Any) -> list[str]:
    """Return the names of a lab's spaces, those it extends included."""
    return _names_in("spaces", lab)


def _names_in(section: str, lab: Any) -> list[str]:
    """Return the names in a section of a lab, those it extends included; [] if unreadable."""
    from reactions.core.errors import MolspaceError
    from reactions.core.local_files import expand_user, is_dir, is_file
    from reactions.labs.toml_files import read_toml

    lab_file = Path("molspace.toml")
    name = lab or (str(lab_file) if lab_file.is_file() else "mini")
    names: dict[str, None] = {}
    folder = Path()
    for _ in range(_MAX_DEPTH):
        built_in = _LABS / f"{name}.toml"
        try:
            path = built_in if is_file(built_in) else folder / expand_user(str(name))
            path = path / lab_file if is_dir(path) else path
            data = read_toml(path).data
        except MolspaceError:
            break
        table, head = data.get(section), data.get("lab")
        if isinstance(table, dict):
            names.update(dict.fromkeys(table))
        name = head.get("extends") if isinstance(head, dict) else None
        if not isinstance(name, str):
            break
        folder = path.parent
    return list(names)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin like that; capitals do not matter."""
    return [name for name in names if name.casefold().startswith(incomplete.casefold())]


def _paths(incomplete: str, pattern: str) -> list[str]:
    """Return folders, and files that fit a pattern, whose paths begin like that."""
    from reactions.core.errors import UsageError
    from reactions.core.local_files import expand_user

    head, slash, last = incomplete.rpartition("/")
    try:
        folder = expand_user(head + slash) if slash else Path()
    except UsageError:
        return []
    matching = []
    for path in _glob(folder, "*"):
        if path.name.startswith(last) and not path.name.startswith("."):
            if path.is_dir():
                matching.append(f"{head}{slash}{path.name}/")
            elif path.match(pattern):
                matching.append(f"{head}{slash}{path.name}")
    return matching


def _glob(folder: Path, pattern: str) -> Iterator[Path]:
    try:
        yield from sorted(folder.glob(pattern))
    except (OSError, ValueError):
        return
