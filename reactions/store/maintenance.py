"""Listing, verifying and cleaning a store."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reactions.core.errors import StoreError
from reactions.core.paths import CACHE_VARIABLE
from reactions.core.types import Digest
from reactions.store.disk import children, is_debris, remove_tree, size_of
from reactions.store.files import disk_errors
from reactions.store.index import Index
from reactions.store.layout import MANIFEST_JSON
from reactions.store.located import LocatedStore
from reactions.store.made_by import MadeBy
from reactions.store.manifest import EntryManifest

_UNFINISHED_S = 7 * 86400.0


class EntryInTheWay(StoreError):
    """A damaged entry that cannot be put aside, so that no other can take its place."""


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """One entry, for people.

    Attributes:
        key: of the step that made it.
        kind: of the step.
        label: of the step.
        size_bytes: of its files.
        created: when it was finished.
        last_used: when it was last looked up.
        seconds: that making it took; None where that is not known.
    """

    key: Digest
    kind: str
    label: str
    size_bytes: int
    created: datetime
    last_used: datetime
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class EntryProblem:
    """Something wrong with one entry.

    Attributes:
        key: of the entry.
        label: of its step, "" if that cannot be read.
        what: is wrong.
        path: the entry's folder.
        is_repaired: the entry was put aside.
    """

    key: Digest
    label: str
    what: str
    path: Path
    is_repaired: bool = False


@dataclass(frozen=True, slots=True)
class Freed:
    """What a cleaning removed, or would remove.

    Attributes:
        entries: finished entries, least recently used first.
        debris: other folders: temporary, unfinished, damaged.
        size_bytes: of all of them.
        in_use: entries that met the criteria but are being read by a living process.
    """

    entries: tuple[EntryInfo, ...] = ()
    debris: tuple[Path, ...] = ()
    size_bytes: int = 0
    in_use: tuple[EntryInfo, ...] = ()


def manifests(layout: LocatedStore) -> Iterator[tuple[EntryManifest, Path]]:
    """Yield the manifest and folder of every readable entry, in order of keys."""
    for folder, data in layout.place.load_all(layout.entry_folders(), MANIFEST_JSON):
        with suppress(ValueError):
            yield EntryManifest.parse(data), folder


def made_by(layout: LocatedStore, keys: Iterable[Digest]) -> dict[Digest, tuple[MadeBy, ...]]:
    """Return which devices made which rows of entries, of those where that is known."""
    manifests = records(layout, keys)
    return {key: manifest.made_by for key, manifest in manifests.items() if manifest.made_by}


def records(layout: LocatedStore, keys: Iterable[Digest]) -> dict[Digest, EntryManifest]:
    """Return the manifests of entries, of those that are there and can be read."""
    folders = [layout.entry(key) for key in keys]
    by_key = {}
    with disk_errors(layout.address, "read"):
        for _, data in layout.place.load_all(folders, MANIFEST_JSON):
            with suppress(ValueError):
                manifest = EntryManifest.parse(data)
                by_key[manifest.key] = manifest
    return by_key


def entries(layout: LocatedStore) -> Iterator[EntryInfo]:
    """Yield every readable entry, in order of keys."""
    usage = layout.place.usage(layout.entry_folders(), MANIFEST_JSON)
    for manifest, folder in manifests(layout):
        if folder in usage:  # else it appeared, or was removed, meanwhile
            size_bytes, last_used_s = usage[folder]
            yield EntryInfo(
                key=manifest.key,
                kind=manifest.kind,
                label=manifest.label,
                size_bytes=manifest.size_bytes + size_bytes,
                created=datetime.fromisoformat(manifest.created),
                # ``Store.lookup`` notes it.
                last_used=datetime.fromtimestamp(last_used_s, UTC),
                seconds=manifest.seconds,
            )


def verify(layout: LocatedStore) -> Iterator[EntryProblem]:
    """Yield what is wrong with the entries, hashing every file."""
    for folder in layout.entry_folders():
        label = ""
        try:
            manifest = EntryManifest.read(folder / MANIFEST_JSON, layout.place)
            label = manifest.label
            problems = manifest.problems(folder, full=True, place=layout.place)
            if layout.entry(manifest.key) != folder:
                problems.append(f"it says it is {manifest.key[:12]}")
        except FileNotFoundError:
            problems = ["its manifest is missing"]
        except (OSError, ValueError) as error:
            problems = [str(error)]
        # Else gc was faster.
        if problems and layout.place.is_published(folder, MANIFEST_JSON):
            # All at once: the caller may move the folder after the first.
            yield from [EntryProblem(folder.name, label, what, folder) for what in problems]


def put_aside(
    layout: LocatedStore, folder: Path, problems: Sequence[str], warn: Callable[[str], None]
) -> bool:
    """Move a damaged entry out of the way.

    Returns:
        Whether it is out of the way; False where another process has made it anew.

    Raises:
        EntryInTheWay: it cannot be moved, as in a store that may only be read.
    """
    # A random suffix, for an entry may be damaged again once it has been made anew.
    aside = layout.quarantine / f"{folder.name}-{uuid.uuid4().hex[:8]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    what = f"the damaged entry {folder.name[:12]}"
    try:
        layout.place.move(folder, aside)
    except FileNotFoundError:  # another process was faster
        with disk_errors(layout.address, "read"):
            return not layout.place.is_published(folder, MANIFEST_JSON)
    except OSError as error:
        raise EntryInTheWay(
            f"{what} cannot be put aside",
            why=f"{problems[0]}{more}, and moving it failed: {error.strerror or error}",
            fix=f"molspace cache verify --repair   where {layout.address} can be written; "
            f"or name another store in {CACHE_VARIABLE}",
            path=str(folder),
        ) from error
    warn(f"put aside {what}: {problems[0]}{more}")
    return True


def sweep(layout: LocatedStore) -> list[Path]:
    """Remove temporary folders that no living process holds, and return them."""
    stale = [path for path in children(layout.tmp) if is_debris(path)]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    return stale


def gc(
    layout: LocatedStore,
    keep: set[Digest] | None,
    older_than_s: float | None,
    max_bytes: int | None,
    dry_run: bool,
) -> Freed:
    """Remove debris and entries; see ``Store.gc``."""
    if not layout.place.is_published(layout.root, layout.store_json.name):
        return Freed()
    layout.place.watch_others(layout)
    debris, debris_bytes = _debris(layout, keep, older_than_s, dry_run)
    freed: list[EntryInfo] = []
    in_use: list[EntryInfo] = []
    for entry in _chosen(list(entries(layout)), keep, older_than_s, max_bytes):
        outcome = layout.place.retire(layout, entry.key, MANIFEST_JSON, dry_run=dry_run)
        if outcome is not None:
            (freed if outcome else in_use).append(entry)
    if not dry_run:
        Index(layout).prune()
    size_bytes = debris_bytes + sum(entry.size_bytes for entry in freed)
    return Freed(tuple(freed), tuple(debris), size_bytes, tuple(in_use))


def _chosen(
    infos: list[EntryInfo],
    keep: set[Digest] | None,
    older_than_s: float | None,
    max_bytes: int | None,
) -> list[EntryInfo]:
    """Return the entries that have to go, least recently used first."""
    infos.sort(key=lambda entry: (entry.last_used, entry.key))
    free = [entry for entry in infos if keep is None or entry.key not in keep]
    if older_than_s is None and max_bytes is None:
        return free if keep is not None else []
    now, total = datetime.now(UTC), sum(entry.size_bytes for entry in infos)
    to_remove = []
    for entry in free:
        idle_s = (now - entry.last_used).total_seconds()
        old = older_than_s is not None and idle_s >= older_than_s
        if old or (max_bytes is not None and total > max_bytes):
            to_remove.append(entry)
            total -= entry.size_bytes
    return to_remove


def _debris(
    layout: LocatedStore, keep: set[Digest] | None, older_than_s: float | None, dry_run: bool
) -> tuple[list[Path], int]:
    """Remove what no run will use again; return the folders and files, and their bytes."""
    place = layout.place
    size_bytes = 0
    removed = []
    for path in filter(is_debris, children(layout.tmp)):  # on this machine's disk in any case
        size_bytes += size_of(path)
        removed.append(path)
        if not dry_run:
            remove_tree(path)
    for path in place.folders(layout.quarantine):
        size_bytes += place.size_of(path)
        removed.append(path)
        if not dry_run:
            place.remove(path)
    in_use = place.leased(layout.leases)
    for path in place.folders(layout.partial):
        key = path.name
        try:
            idle_s = place.idle_s(path)
        except FileNotFoundError:  # its run has just finished it
            continue
        limit_s = _UNFINISHED_S if older_than_s is None else older_than_s
        is_kept = key in in_use or (keep is not None and key in keep)
        is_there = place.is_published(layout.entry(key), MANIFEST_JSON)
        if not (is_there or (idle_s >= limit_s and not is_kept)):
            continue
        with nullcontext(True) if dry_run else place.locked(layout.lock(key)) as idle:
            if idle:
                size_bytes += place.size_of(path)
                removed.append(path)
                if not dry_run:
                    place.remove(path, layout.tmp)
    for path, freed_bytes in place.left_over(layout, MANIFEST_JSON, dry_run=dry_run):
        size_bytes += freed_bytes
        removed.append(path)
    return removed, size_bytes
