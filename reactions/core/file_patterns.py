"""Files of this machine by patterns, as ``glob`` finds them, but not in circles of links."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

from reactions.core.local_files import leads_to_folder

_WILD = re.compile(r"[*?\[]")
_ANY_FOLDERS = "**"


def matching(pattern: str) -> list[Path]:
    """Return what an absolute pattern matches, sorted: files, folders and links to nothing.

    ``*``, ``?`` and ``[ab]`` stand for parts of a name, ``**`` for any folders; neither matches
    names that begin with a point. Links to folders are followed. One that leads back to a folder
    above it ends there: ``glob`` would follow it some forty times, and find each file as often.

    Raises:
        OSError: a folder cannot be read; ``glob`` would leave out what it holds.
    """
    parts = pattern.split("/")
    plain = next((i for i, part in enumerate(parts) if _WILD.search(part)), len(parts))
    paths = _below("/".join(parts[:plain]) or "/", tuple(parts[plain:]), frozenset())
    return sorted(map(Path, set(paths)))


def _below(folder: str, parts: tuple[str, ...], above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Yield what the parts of a pattern match in a folder, unless it is one of ``above``."""
    if not parts:
        if os.path.lexists(folder):
            yield folder
        return
    part, rest = parts[0], parts[1:]
    if not _WILD.search(part):
        yield from _below(f"{folder}/{part}", rest, above)
        return
    try:
        stat = Path(folder).stat()
        if (identity := (stat.st_dev, stat.st_ino)) in above:
            return
        with os.scandir(folder) as entries:
            children = [child for child in entries if part[0] == "." or child.name[0] != "."]
    except (FileNotFoundError, NotADirectoryError):
        return
    if part == _ANY_FOLDERS:
        yield from _below(folder, rest, above)  # no folder at all is one of any folders
        for child in children:
            if leads_to_folder(child):
                yield from _below(child.path, parts, above | {identity})
            elif not rest:
                yield child.path
        return
    for child in children:
        if fnmatch.fnmatchcase(child.name, part) and (not rest or leads_to_folder(child)):
            yield from _below(child.path, rest, above | {identity}) if rest else (child.path,)
