"""The nine evaluation sets of Molecule-Space in their published layouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import MissingError
from reactions.core.local_files import is_dir
from reactions.data.sources.config import OnProgress, silent

if TYPE_CHECKING:
    from reactions.data.scan_cache import TableCache
    from reactions.eval.task_data import BenchmarkData
    from reactions.eval.tasks.published import Layout, PublishedSet

_PACKAGE = "reactions.eval.tasks"

LAYOUTS: Mapping[str, tuple[str, str]] = {
    "esc50": (f"{_PACKAGE}.esc50", "LAYOUT"),
    "audioset": (f"{_PACKAGE}.audioset", "LAYOUT"),
    "audiocaps": (f"{_PACKAGE}.audiocaps", "LAYOUT"),
    "clotho": (f"{_PACKAGE}.clotho", "LAYOUT"),
    "vggss": (f"{_PACKAGE}.vggss", "LAYOUT"),
    "flickrnet": (f"{_PACKAGE}.flickrnet", "LAYOUT"),
    "coco": (f"{_PACKAGE}.karpathy", "COCO"),
    "flickr30k": (f"{_PACKAGE}.karpathy", "FLICKR30K"),
    "imagenet": (f"{_PACKAGE}.imagenet", "LAYOUT"),
}
"""Task to the module that reads it and the name of its layout there."""


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
        found = (self.chosen, self.tasks.get(task), self.root)
        return tuple(folder for folder in found if folder is not None)


def layout_of(task: str) -> Layout:
    """Return how the set of a task is published.

    Raises:
        MissingError: no reader knows this task.
    """
    if task not in LAYOUTS:
        raise MissingError(
            f"no published layout is known for task '{task}'",
            fix=f"known: {', '.join(LAYOUTS)}",
            task=task,
        )
    module, name = LAYOUTS[task]
    layout: Layout = getattr(import_module(module), name)
    return layout


def find_set(
    task: str,
    folders: Folders,
    *,
    tables: TableCache | None = None,
    on_progress: OnProgress = silent,
) -> PublishedSet:
    """Find an evaluation set.

    In each folder it may be the folder itself, or one below with the set's name.

    Raises:
        MissingError: it is in none of them; the error says what was looked for and where to
            get it.
    """
    from reactions.data.scan_cache import TableCache
    from reactions.eval.tasks.published import PublishedSet

    layout = layout_of(task)
    looked: list[Path] = []
    for folder in folders.of(task):
        for place in _places(folder, layout):
            looked.append(place)
            if (labels := layout.find_labels(place)) is not None:
                return PublishedSet(layout, place, labels, tables or TableCache(), on_progress)
    below = ", ".join(layout.folders[:3])
    raise MissingError(
        f"no data for task '{task}': {layout.title} is not there",
        why="looked for "
        + " or ".join(layout.labels[:2])
        + " in "
        + ", ".join(str(folder) for folder in folders.of(task))
        + f", and in folders there called {below}",
        fix=f"get it from {layout.origin}; its layout: {layout.tree}",
        task=task,
        looked=[str(place) for place in looked],
        origin=layout.origin,
        layout=layout.tree,
    )


def read_set(published: PublishedSet) -> BenchmarkData:
    """Read an evaluation set that was found; only what is there and can be decoded counts.

    Raises:
        MissingError: labels are there, but none of the media.
        DataError: labels are damaged, or no media can be decoded.
    """
    module, _ = LAYOUTS[published.layout.task]
    data: BenchmarkData = import_module(module).read(published)
    return data


def captions_of(published: PublishedSet) -> Iterator[tuple[str, str]]:
    """Yield (id, caption) of an evaluation split, whether its media are there or not.

    Sets without captions yield nothing.

    Raises:
        DataError: labels are damaged.
    """
    module: Any = import_module(LAYOUTS[published.layout.task][0])
    if hasattr(module, "items_of"):
        for item in module.items_of(published):
            for i, caption in enumerate(item.captions):
                yield f"{published.layout.task}/{item.id}/{i}", caption


def _places(folder: Path, layout: Layout) -> Iterator[Path]:
    yield folder
    if is_dir(folder):
        here = {child.name.casefold(): child for child in sorted(folder.iterdir())}
        for name in layout.folders:
            if (child := here.get(name.casefold())) is not None and is_dir(child):
                yield child
