"""Every evaluation set by name: those of molspace, a file each, and those that packages add.

    [project.entry-points."molspace.tasks"]
    birds = "my_package.birds:SET"              # an EvaluationSet whose task is called "birds"

Names are known without importing anything; a set is imported when it is first asked for.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from reactions.core.errors import MissingError, MolspaceError, UsageError, suggestion
from reactions.core.local_files import is_dir
from reactions.core.plugins import load_plugin, package_of, plugins
from reactions.data.sources.config import OnProgress, silent
from reactions.eval import tasks as _built_in
from reactions.eval.task import GROUPS, OWN, Task, folded

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from reactions.data.scan_cache import TableCache
    from reactions.eval.published import EvaluationSet, Layout, PublishedSet

GROUP = "molspace.tasks"

_GROUPS = ("all", *GROUPS, OWN)
"""What stands for several tasks."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where evaluation sets may lie.

    Attributes:
        chosen: asked for on the command line: looked in before all else.
        root: a folder of folders, one a set.
        tasks: (task, its own folder) pairs.
    """

    chosen: Path | None = None
    root: Path | None = None
    tasks: Mapping[str, Path] = field(default_factory=dict)

    def of(self, task: str) -> tuple[Path, ...]:
        """Return the folders to look for a task's set in, the likeliest first; () for none."""
        folders = (self.chosen, self.tasks.get(task), self.root)
        return tuple(folder for folder in folders if folder is not None)


def built_in_names() -> tuple[str, ...]:
    """Return the names of the sets that molspace brings, sorted: those of their files."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(_built_in.__path__)))


def task_names() -> tuple[str, ...]:
    """Return the names of all sets, sorted; nothing is imported for it."""
    return tuple(sorted({*built_in_names(), *(point.name for point in plugins(GROUP))}))


def evaluation_set(name: str, also: Iterable[str] = ()) -> EvaluationSet:
    """Return a set by its name or an alias, ignoring case and punctuation.

    Args:
        name: as a person types it.
        also: names of other sets that may have been meant.

    Raises:
        UsageError: no set has this name, the fix names near ones; or several have it.
        MissingError: the package that provides it cannot be imported.
    """
    names = task_names()
    for exact in names:
        if folded(exact) == folded(name):
            return _load(exact)
    sets, _ = loadable_sets()  # what cannot be loaded was not asked for
    for candidate in sets:
        if folded(name) in candidate.task.spellings():
            return candidate
    near = [*also, *names, *_GROUPS]
    raise UsageError(f"unknown task '{name}'", fix=suggestion(name, near), name=name, known=near)


def get_task(name: str, own: Sequence[Task] = ()) -> Task:
    """Return a task by its name or an alias; see ``evaluation_set``.

    Args:
        name: as a person types it.
        own: tasks of a lab, whose names no published set has.
    """
    for task in own:
        if folded(task.name) == folded(name):
            return task
    return evaluation_set(name, [task.name for task in own]).task


def loadable_sets() -> tuple[tuple[EvaluationSet, ...], dict[str, MolspaceError]]:
    """Return all sets in their usual order, and why those that cannot be loaded cannot, by name."""
    sets: list[EvaluationSet] = []
    broken: dict[str, MolspaceError] = {}
    for name in task_names():
        try:
            sets.append(_load(name))
        except MolspaceError as error:
            broken[name] = error
    return tuple(sorted(sets, key=lambda entry: (entry.task.rank, entry.task.name))), broken


def all_tasks() -> tuple[Task, ...]:
    """Return the tasks of all sets, in their usual order.

    Raises:
        UsageError: two sets share a name or an alias.
        MissingError: a package that provides one cannot be imported.
    """
    sets, broken = loadable_sets()
    for error in broken.values():
        raise error
    tasks = tuple(evaluation_set.task for evaluation_set in sets)
    owners: dict[str, Task] = {}
    for task in tasks:
        for spelling in task.spellings():
            if (other := owners.setdefault(spelling, task)) is not task:
                raise UsageError(
                    f"the evaluation sets '{other.name}' and '{task.name}' are both called "
                    f"'{spelling}'",
                    fix=f"uninstall the package that provides one of them (entry points {GROUP})",
                    tasks=[other.name, task.name],
                )
    return tasks


def parse_tasks(text: str, own: Sequence[Task] = ()) -> tuple[Task, ...]:
    """Return the tasks of a comma-separated list; repeats count once.

    Args:
        text: names, aliases, and groups: ``all``, those of ``GROUPS``, and ``own`` for the tasks
            of no group.
        own: tasks of a lab, which come last in groups.

    Raises:
        UsageError: a name is unknown, or the list is empty.
        MissingError: a package that provides one cannot be imported.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        names_known = [*task_names(), *(task.name for task in own)]
        raise UsageError("no task given", fix=f"one of: {', '.join((*_GROUPS, *names_known))}")
    chosen_tasks: dict[str, Task] = {}
    for name in names:
        if name.casefold() in _GROUPS:
            tasks = _members(name.casefold(), (*all_tasks(), *own))
        else:
            tasks = (get_task(name, own),)
        for task in tasks:
            chosen_tasks[task.name] = task
    if not chosen_tasks:
        raise UsageError(
            f"no task given: there is none of '{text}'",
            why="no lab file describes a task, and no installed package adds one",
            fix=f"one of: all, {', '.join(GROUPS)}",
        )
    return tuple(chosen_tasks.values())


def names_groups_only(text: str) -> bool:
    """Whether a list of tasks names groups alone: of those, what cannot be done is left out."""
    names = [name.strip().casefold() for name in text.split(",") if name.strip()]
    return bool(names) and all(name in _GROUPS for name in names)


def reserved(name: str) -> bool:
    """Whether a name stands for a group of tasks, so that no task can have it."""
    return folded(name) in _GROUPS


def _members(group: str, tasks: Iterable[Task]) -> tuple[Task, ...]:
    if group == "all":
        return tuple(tasks)
    return tuple(t for t in tasks if group in t.groups or (group == OWN and not t.groups))


def find_set(
    task: str,
    folders: Folders,
    *,
    tables: TableCache | None = None,
    on_progress: OnProgress = silent,
) -> PublishedSet:
    """Find the files of an evaluation set.

    In each folder it may be the folder itself, or one below with the set's name.

    Raises:
        MissingError: it is in none of them; the error says what was looked for and where to
            get it.
    """
    from reactions.data.scan_cache import TableCache
    from reactions.eval.published import PublishedSet

    definition = evaluation_set(task)
    layout = definition.layout
    looked: list[Path] = []
    for folder in folders.of(task):
        for place in _places(folder, layout):
            looked.append(place)
            if (labels := layout.find_labels(place)) is not None:
                return PublishedSet(definition, place, labels, tables or TableCache(), on_progress)
    below = ", ".join(layout.folders[:3])
    raise MissingError(
        f"no data for task '{task}': {definition.task.title} is not there",
        why="looked for "
        + " or ".join(layout.labels[:2])
        + " in "
        + ", ".join(map(_shown, folders.of(task)))
        + f", and in folders there called {below}",
        fix=f"get it from {definition.task.source}; its layout: {layout.tree}",
        task=task,
        looked=[str(place) for place in looked],
        origin=definition.task.source,
        layout=layout.tree,
    )


def _shown(folder: Path) -> str:
    """Return a folder that was looked in, saying so where it is not there at all."""
    return str(folder) if is_dir(folder) else f"{folder} (which is not there)"


def _places(folder: Path, layout: Layout) -> Iterator[Path]:
    yield folder
    if is_dir(folder):
        children = {child.name.casefold(): child for child in sorted(folder.iterdir())}
        for name in layout.folders:
            if (child := children.get(name.casefold())) is not None and is_dir(child):
                yield child


def _load(name: str) -> EvaluationSet:
    """Import a set by its exact name.

    Raises:
        UsageError: several sets have this name, or it is not an ``EvaluationSet`` of this name.
        MissingError: the package that provides it cannot be imported.
    """
    points = [point for point in plugins(GROUP) if folded(point.name) == folded(name)]
    built_in = [exact for exact in built_in_names() if folded(exact) == folded(name)]
    if len(points) + len(built_in) > 1:
        providers = [f"molspace itself ('{exact}')" for exact in built_in]
        providers += [f"{package_of(point)} ('{point.name}')" for point in points]
        raise UsageError(
            f"several evaluation sets are called '{name}'",
            why=f"they come from {' and '.join(providers)}",
            fix="uninstall one of the packages, or rename its entry point and its task",
            task=name,
        )
    if built_in:
        definition: EvaluationSet = import_module(f"{_built_in.__name__}.{name}").SET
        return definition
    return _plugin(points[0])


def _plugin(point: EntryPoint) -> EvaluationSet:
    from reactions.eval.published import EvaluationSet

    definition = load_plugin(point, "the evaluation set")
    if isinstance(definition, EvaluationSet) and definition.task.name == point.name:
        return definition
    what = f"a {type(definition).__name__}"
    if isinstance(definition, EvaluationSet):
        what = f"an evaluation set called '{definition.task.name}'"
    raise UsageError(
        f"the entry point '{point.name}' of {package_of(point)} is {what}",
        why=f"{GROUP} takes an EvaluationSet whose task has the entry point's name",
        fix=f"fix or uninstall {package_of(point)}",
        task=point.name,
    )
