"""Listing, verifying and cleaning a store."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from reactions.core.types import Digest
from reactions.store import leases
from reactions.store.files import publish
from reactions.store.heartbeats import Life, watch_until_known
from reactions.store.index import Index
from reactions.store.layout import MANIFEST_JSON, StoreLayout, children
from reactions.store.locks import is_idle, life_of, locked, made_elsewhere, open_to_lock, try_lock
from reactions.store.manifest import EntryManifest

# A maker takes its lock at once; an hour is generous. Where locks do not work, a day.
_GRACE_S = 3600.0
_UNLOCKED_GRACE_S = 86400.0
_UNFINISHED_S = 7 * 86400.0


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


def manifests(layout: StoreLayout) -> Iterator[tuple[EntryManifest, Path]]:
    """Yield the manifest and folder of every readable entry, in order of keys."""
    for folder in layout.entry_folders():
        with suppress(OSError, ValueError):
            yield EntryManifest.read(folder / MANIFEST_JSON), folder


def entries(layout: StoreLayout) -> Iterator[EntryInfo]:
    """Yield every readable entry, in order of keys."""
    for manifest, folder in manifests(layout):
        path = folder / MANIFEST_JSON
        with suppress(FileNotFoundError):  # removed meanwhile
            stat = path.stat()
            yield EntryInfo(
                key=manifest.key,
                kind=manifest.kind,
                label=manifest.label,
                size_bytes=manifest.size_bytes + stat.st_size,
                created=datetime.fromisoformat(manifest.created),
                # ``Store.lookup`` touches the manifest.
                last_used=datetime.fromtimestamp(stat.st_mtime, UTC),
                seconds=manifest.seconds,
            )


def verify(layout: StoreLayout) -> Iterator[EntryProblem]:
    """Yield what is wrong with the entries, hashing every file."""
    for folder in layout.entry_folders():
        label = ""
        try:
            manifest = EntryManifest.read(folder / MANIFEST_JSON)
            label = manifest.label
            problems = manifest.problems(folder, full=True)
            if layout.entry(manifest.key) != folder:
                problems.append(f"it says it is {manifest.key[:12]}")
        except FileNotFoundError:
            problems = ["its manifest is missing"]
        except (OSError, ValueError) as error:
            problems = [str(error)]
        if problems and folder.exists():  # else gc was faster
            # All at once: the caller may move the folder after the first.
            yield from [EntryProblem(folder.name, label, what, folder) for what in problems]


def sweep(layout: StoreLayout) -> list[Path]:
    """Remove temporary folders that no living process holds, and return them."""
    stale = [path for path in children(layout.tmp) if _is_debris(path)]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)
    return stale


def gc(
    layout: StoreLayout,
    keep: set[Digest] | None,
    older_than_s: float | None,
    max_bytes: int | None,
    dry_run: bool,
) -> Freed:
    """Remove debris and entries; see ``Store.gc``."""
    if not layout.root.is_dir():
        return Freed()
    _watch_others(layout)
    debris, debris_bytes = _debris(layout, keep, older_than_s, dry_run)
    freed: list[EntryInfo] = []
    in_use: list[EntryInfo] = []
    for entry in _chosen(list(entries(layout)), keep, older_than_s, max_bytes):
        outcome = _remove_entry(layout, entry.key, dry_run)
        if outcome is not None:
            (freed if outcome else in_use).append(entry)
    if not dry_run:
        Index(layout).prune()
    size_bytes = debris_bytes + sum(entry.size_bytes for entry in freed)
    return Freed(tuple(freed), tuple(debris), size_bytes, tuple(in_use))


def _watch_others(layout: StoreLayout) -> None:
    """Find out which holders live that this machine's kernel knows nothing of.

    Takes no time where there are none, and up to half a minute where one is silent.
    """
    theirs = filter(made_elsewhere, leases.lease_files(layout.leases))
    watch_until_known(
        [
            *(partial(leases.life_of, path) for path in theirs),
            *(partial(life_of, path) for path in layout.locks.glob("*.lock")),
        ]
    )


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
    chosen = []
    for entry in free:
        idle_s = (now - entry.last_used).total_seconds()
        old = older_than_s is not None and idle_s >= older_than_s
        if old or (max_bytes is not None and total > max_bytes):
            chosen.append(entry)
            total -= entry.size_bytes
    return chosen


def _remove_entry(layout: StoreLayout, key: Digest, dry_run: bool) -> bool | None:
    """Remove an entry unless a living process uses it.

    Returns:
        Whether it was, or could be, removed; None where it is gone already.
    """
    folder = layout.entry(key)
    with leases.mutex(layout.leases, exclusive=True):
        if key in leases.leased(layout.leases):
            return False
        try:
            fd = open_to_lock(folder / MANIFEST_JSON)
        except FileNotFoundError:
            return None
        try:
            if try_lock(fd) is False:  # who cannot write leases, and earlier versions, hold this
                return False
            # Only renamed here, deleted below: deleting takes long, and others wait for the mutex.
            aside = None if dry_run else _move_aside(layout, folder)
        finally:
            os.close(fd)
        # Asked again: where the mutex does not reach other machines, one may have leased the entry
        # since. Who leased it later than this finds it gone.
        if aside is not None and key in leases.leased(layout.leases):
            publish(aside, folder)  # or another has made it anew, which is as good
            return False
    if aside is not None:
        remove_tree(aside)
    return True


def _debris(
    layout: StoreLayout, keep: set[Digest] | None, older_than_s: float | None, dry_run: bool
) -> tuple[list[Path], int]:
    """Remove what no run will use again; return the folders and files, and their bytes."""
    size_bytes = 0
    removed = []
    for path in [*filter(_is_debris, children(layout.tmp)), *children(layout.quarantine)]:
        size_bytes += size_of(path)
        removed.append(path)
        if not dry_run:
            remove_tree(path)
    with leases.mutex(layout.leases, exclusive=True):
        in_use = leases.leased(layout.leases)
    for path in children(layout.partial):
        key = path.name
        try:
            # A folder's time changes when a shard is moved into it.
            idle_s = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # its run has just finished it
            continue
        limit_s = _UNFINISHED_S if older_than_s is None else older_than_s
        kept = key in in_use or (keep is not None and key in keep)
        if not (layout.entry(key).exists() or (idle_s >= limit_s and not kept)):
            continue
        with nullcontext(True) if dry_run else locked(layout.lock(key)) as idle:
            if idle:
                size_bytes += size_of(path)
                removed.append(path)
                if not dry_run and (aside := _move_aside(layout, path)) is not None:
                    remove_tree(aside)
    removed += _left_over_files(layout, dry_run)
    return removed, size_bytes


def _left_over_files(layout: StoreLayout, dry_run: bool) -> Iterator[Path]:
    """Remove and yield the locks, leases and unfinished records of killed processes."""
    names = (layout.store_json.name, layout.index.name)
    for path in sorted(path for name in names for path in layout.root.glob(f".{name}-*")):
        if _is_debris(path):
            if not dry_run:
                path.unlink(missing_ok=True)
            yield path
    for path in sorted(layout.locks.glob("*.lock")):
        # ``locked`` looks at the name again once it has the lock: no new holder is lost.
        if life_of(path) is Life.DEAD:
            if dry_run:
                yield path
                continue
            with locked(path) as ours:  # which removes it
                if ours:
                    yield path
    with leases.mutex(layout.leases, exclusive=True):
        for path in leases.lease_files(layout.leases):
            if leases.is_left_over(path):
                if not dry_run:
                    path.unlink(missing_ok=True)
                yield path


def _move_aside(layout: StoreLayout, folder: Path) -> Path | None:
    """Move a folder away, so that no process sees it half removed; None if it is gone already."""
    layout.tmp.mkdir(exist_ok=True)
    aside = layout.tmp / uuid.uuid4().hex
    try:
        folder.rename(aside)
    except FileNotFoundError:  # another cleaner was faster
        return None
    return aside


def remove_tree(folder: Path) -> None:
    """Remove a folder that another cleaner may be removing, too.

    Raises:
        OSError: something of it cannot be removed.
    """
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:  # removed by the other one between listing and removing
            continue


def _is_debris(path: Path) -> bool:
    return is_idle(path, grace_s=_GRACE_S, unlocked_grace_s=_UNLOCKED_GRACE_S)


def size_of(folder: Path) -> int:
    """Return the bytes that removing a folder frees."""
    size_bytes = 0
    for parent, _, names in os.walk(folder):  # passes over what vanishes meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                stat = (Path(parent) / name).lstat()
                # A finished shard may be linked into an entry: removing a name frees nothing.
                size_bytes += stat.st_size if stat.st_nlink == 1 else 0
    return size_bytes
