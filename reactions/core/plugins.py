"""What installed packages add, by entry points: found by name, imported when first used.

One group for each kind: ``molspace.spaces``, ``molspace.uris``, ``molspace.modalities``,
``molspace.tasks``, ``molspace.executors``, ``molspace.recipes``, ``molspace.trackers``,
``molspace.generators``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import MissingError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def plugins(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, by name; nothing is imported for it."""
    from importlib import metadata  # costs more than all else here

    return _read(group, metadata.entry_points, tuple(map(_state, sys.path)))


@lru_cache(maxsize=64)
def _read(
    group: str, entry_points: Callable[..., Iterable[EntryPoint]], folders: tuple[object, ...]
) -> tuple[EntryPoint, ...]:
    """Read the metadata of all packages, unless that was done while ``folders`` were the same.

    Among hundreds of packages it takes 20 ms, and a command asks dozens of times.
    """
    return tuple(sorted(entry_points(group=group), key=lambda point: point.name))


def _state(folder: str) -> object:
    """Return what is another once a package was installed into a folder, or removed from it."""
    try:
        status = Path(folder).stat()
    except OSError:  # not there, as the standard library's archive mostly is not
        return folder
    return folder, status.st_dev, status.st_ino, status.st_mtime_ns


def package_of(point: EntryPoint) -> str:
    """Return the name of the package that an entry point belongs to."""
    return point.dist.name if point.dist is not None else point.module


def load_plugin(point: EntryPoint, what: str) -> Any:
    """Import what an entry point names.

    Args:
        point: from ``plugins``.
        what: in the error: "the recipe", "the evaluation set".

    Raises:
        MissingError: it cannot be imported; the error names the package.
    """
    try:
        return point.load()
    except Exception as error:  # it is somebody else's code: any error may come of it
        raise MissingError(
            f"cannot load {what} '{point.name}'",
            why=f"{package_of(point)}, {point.value}: {type(error).__name__}: "
            + " ".join(str(error).split()),
            fix="fix or uninstall the package that provides it",
            name=point.name,
        ) from error


def unusable_plugin(point: EntryPoint, what: str, why: str) -> UsageError:
    """Return the error for what an entry point names and molspace cannot use.

    Args:
        point: from ``plugins``.
        what: "the executor", "the adapter".
        why: what is wrong with it.
    """
    return UsageError(
        f"cannot use {what} '{point.name}'",
        why=f"{package_of(point)}, {point.value}: {why}",
        fix="fix or uninstall the package that provides it",
        name=point.name,
    )


def refuse_namesakes(
    name: str, points: Iterable[EntryPoint], what: str, *, is_built_in: bool
) -> None:
    """Refuse a name that several packages, or a package and molspace, give to different things.

    Raises:
        UsageError: there is more than one; the error names the packages.
    """
    providers = ["molspace itself"] if is_built_in else []
    providers += [package_of(point) for point in points]
    if len(providers) > 1:
        raise UsageError(
            f"several {what} are called '{name}'",
            why=f"they come from {' and '.join(providers)}",
            fix="uninstall one of the packages",
            name=name,
        )
