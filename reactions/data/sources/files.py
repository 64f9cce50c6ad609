"""Folders and lists of media files, scanned once: a digest and a verdict for each."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from reactions.core.addresses import Entry, is_url, label
from reactions.core.braces import expand
from reactions.core.errors import UsageError
from reactions.core.hashing import bytes_digest, digest, file_digest
from reactions.core.local_files import is_dir
from reactions.core.storage import is_folder, read, walk
from reactions.core.transient import TransientError, is_transient, look_at_all, run_again
from reactions.core.types import Modality
from reactions.data.corpora import check_ids
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.config import OnProgress, silent
from reactions.data.sources.parts import FilePart, no_items
from reactions.modalities.base import CheckDepth, at_least
from reactions.modalities.encoded import too_large
from reactions.modalities.registry import check, check_version, registered
from reactions.modalities.suffixes import (
    describe_others,
    other_kind,
    sort_out,
    suffix_of,
)

_BLOCK_ROWS = 2048
"""Files looked at between two notes in the journal: what a killed scan may lose."""

_MAX_THREADS = 16


class Look(Protocol):
    """What looks at a file."""

    def __call__(self, entry: Entry, *, depth: CheckDepth) -> tuple[str, str]:
        """Return a file's tagged digest, and why it cannot be used, or "".

        Raises:
            TransientError: it could not be looked at just now.
        """


def folder_part(
    folder: str,
    modality: Modality,
    *,
    tables: TableCache,
    depth: CheckDepth = "header",
    on_progress: OnProgress = silent,
) -> FilePart:
    """Scan a folder and all below it; ids are relative paths, sorted.

    Args:
        folder: absolute path or URL.
        modality: one whose files are known by their endings.
        tables: remembers what earlier scans found.
        depth: how hard to look for damage.
        on_progress: of the progress.

    Raises:
        MissingError: it holds none.
        DataError: a folder or a remote place cannot be read.
    """
    refuse_other_modalities(modality)
    everything = walk(folder)
    # No part of the scan: what lies beside the files may change when none of them does.
    entries, other_kinds = sort_out(everything, modality)
    if not entries:
        kinds = Counter(suffix_of(e.name) or "no extension" for e in everything)
        most = ", ".join(f"{kind} ({n})" for kind, n in kinds.most_common(5))
        fix = "give the folder of the files, or a manifest"
        if ".tar" in kinds:
            fix = f"give its shards: {folder.rstrip('/')}/*.tar"
        elif media := next(
            filter(None, (other_kind(f"x{s}", modality) for s in other_kinds)), None
        ):
            fix = f"{media.name} is not decoded: {media.fix}"
        raise no_items(modality, folder, f"its files end in {most}" if most else "it is empty", fix)
    part = files_part(
        label(folder),
        [(entry.name, entry) for entry in entries],
        modality,
        key=folder,
        tables=tables,
        depth=depth,
        on_progress=on_progress,
    )
    if not other_kinds:
        return part
    facts = {"others": other_kinds, "notices": [describe_others(other_kinds, modality)]}
    table = ScanTable(part.table.columns, {**part.table.facts, **facts})
    return FilePart(part.name, table, part.signature, part.size_bytes)


def files_part(
    name: str,
    files: Sequence[tuple[str, Entry | None]],
    modality: Modality,
    *,
    key: str,
    tables: TableCache,
    depth: CheckDepth = "header",
    on_progress: OnProgress = silent,
    look: Look | None = None,
) -> FilePart:
    """Scan a list of files.

    Args:
        name: of the part.
        files: (id, file) pairs; None where only the id matters.
        modality: of all of them.
        key: what to remember the scan under, such as the folder's path.
        tables: remembers what earlier scans found; files that did not change are not read
            again, and a scan that was killed goes on where it was.
        depth: how hard to look for damage; a harder look is not forgotten.
        on_progress: of the progress.
        look: at a file; what it decides by is part of ``key``. By default the modality's checks.

    Raises:
        DataError: an id is repeated, or a remote place cannot be read.
    """
    names = [
        "files-" + digest("scan", [key, modality, check_depth, check_version(modality)])[:32]
        for check_depth in at_least(depth)
    ]
    size_bytes = sum(entry.size_bytes for _, entry in files if entry)
    signature = _signature(files)
    for cached in names:
        if (table := tables.get(cached, signature)) is not None:
            break
    else:
        check_ids(name, modality, [id for id, _ in files])
        look = look or partial(look_at_file, modality=modality)
        table = _scan(name, files, names, tables, (look, depth), on_progress)
        table = tables.put(cached, signature, table)
        # Without a signature the table was not kept, and the journal is all that remembers.
        if signature:
            tables.journal(cached).drop()
    return FilePart(name, table, signature, size_bytes)


def names_folder(path: str) -> bool:
    """Return whether a path, URL or pattern is that of a folder.

    Raises:
        DataError: a remote place cannot be reached.
    """
    wild = any(c in path for c in "*?[") or expand(path) != [path]
    # A folder may have brackets or braces in its name: what is there comes before the pattern.
    return (not wild or (not is_url(path) and is_dir(Path(path)))) and is_folder(path)


def named(files: Sequence[Entry]) -> list[tuple[str, Entry | None]]:
    """Name files by their last part, or, where that is not enough, by what differs."""
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        parts = [file.url.split("/") for file in files]
        shared = 0
        while shared < len(parts[0]) and len({tuple(path[: shared + 1]) for path in parts}) == 1:
            shared += 1
        names = ["/".join(path[shared:]) for path in parts]
    return list(zip(names, files, strict=True))


def looking() -> ThreadPoolExecutor:
    """Return threads to look at files: hashes and decoders let each other run."""
    return ThreadPoolExecutor(min(_MAX_THREADS, (os.cpu_count() or 1) + 4))


def refuse_other_modalities(modality: Modality) -> None:
    """Refuse to look for files of a modality that are not known by their extensions.

    Raises:
        UsageError: they do not.
    """
    by_suffix = [name for name, record in registered().items() if record.suffixes or record.shared]
    if modality not in by_suffix:
        raise UsageError(
            f"cannot tell which files hold {modality}",
            why=f"extensions are known for {', '.join(by_suffix[:-1])} and {by_suffix[-1]} only",
            fix=f"list them in a manifest: [corpora.{modality}] with manifest = FILE",
            modality=modality,
        )


def _signature(files: Iterable[tuple[str, Entry | None]]) -> str:
    sha = hashlib.sha256(b"molspace:files\n")
    for id, entry in files:
        if entry is None:
            sha.update(f"{id}\0\n".encode("utf-8", "surrogatepass"))
        elif entry.stamp:
            sha.update(f"{id}\0{entry.url}\0{entry.stamp}\n".encode("utf-8", "surrogatepass"))
        else:
            # This file may still change unnoticed: the table as a whole must not be kept.
            return ""
    return sha.hexdigest()


def _scan(
    name: str,
    files: Sequence[tuple[str, Entry | None]],
    names: Sequence[str],
    tables: TableCache,
    looking_at: tuple[Look, CheckDepth],
    on_progress: OnProgress,
) -> ScanTable:
    scanned = _known(names, tables, files)
    journal = tables.journal(names[-1])
    tags = [""] * len(files)
    whys = [""] * len(files)
    todo = []
    for row, (id, entry) in enumerate(files):
        if entry is None:
            tags[row] = "id"
        elif id in scanned:
            tags[row], whys[row] = scanned[id]
        else:
            todo.append(row)
    look, depth = looking_at
    with looking() as pool:
        for start in range(0, len(todo), _BLOCK_ROWS):
            on_progress(name, start, len(todo))
            rows = todo[start : start + _BLOCK_ROWS]
            entries = [entry for row in rows if (entry := files[row][1]) is not None]
            fresh = []
            try:
                verdicts = look_at_all(pool, partial(look, depth=depth), entries)
                for row, entry, (tag, why) in zip(rows, entries, verdicts, strict=True):
                    tags[row], whys[row] = tag, why
                    if entry.stamp:
                        fresh.append([files[row][0], entry.stamp, tag, why])
            finally:  # what was looked at before one could not be
                journal.note(fresh)
    if todo:
        on_progress(name, len(todo), len(todo))
    return ScanTable(
        {
            "id": Strings.pack(id for id, _ in files),
            "url": Strings.pack(entry.url if entry else "" for _, entry in files),
            "stamp": Strings.pack(entry.stamp if entry else "" for _, entry in files),
            "tag": Strings.pack(tags),
            "why": Strings.pack(whys),
            "size": np.array([entry.size_bytes if entry else 0 for _, entry in files], np.int64),
        }
    )


def _known(
    names: Sequence[str], tables: TableCache, files: Iterable[tuple[str, Entry | None]]
) -> dict[str, tuple[str, str]]:
    """Return id to (tag, verdict) of files scanned before that did not change since.

    Args:
        names: of the scans, the deepest first; its verdicts count before the others'.
        tables: where they are.
        files: as they are now.
    """
    stamps = {id: entry.stamp for id, entry in files if entry is not None and entry.stamp}
    return {
        id: (tag, why)
        for cached in reversed(names)
        for id, stamp, tag, why in _noted(cached, tables)
        if stamps.get(id) == stamp
    }


def _noted(cached: str, tables: TableCache) -> Iterator[tuple[str, str, str, str]]:
    """Yield id, stamp, tag and verdict of files in earlier scans, the latest last."""
    latest = tables.latest(cached)
    if latest is not None:
        yield from zip(*map(latest.strings, ("id", "stamp", "tag", "why")), strict=True)
    for noted in tables.journal(cached).read():
        if len(noted) == 4 and all(isinstance(part, str) for part in noted):
            id, stamp, tag, why = noted
            yield id, stamp, tag, why


def look_at_file(entry: Entry, *, modality: Modality, depth: CheckDepth) -> tuple[str, str]:
    """Return a file's tagged digest, and why it cannot be used.

    Raises:
        TransientError: it could not be looked at just now.
    """
    path = Path(entry.url)
    try:
        if is_url(entry.url):
            if (why := too_large(entry.size_bytes)) is not None:
                return "file:", why
            data = read(entry.url)
            return f"file:{bytes_digest(data)}", check(modality, data, depth)
        return f"file:{file_digest(path)}", check(modality, path, depth)
    except (OSError, MemoryError) as error:
        if is_transient(error):
            raise run_again(entry.url, error) from error
        return "file:", (str(getattr(error, "strerror", "") or error)).lower()
    except TransientError as error:
        raise run_again(entry.url, error) from error
