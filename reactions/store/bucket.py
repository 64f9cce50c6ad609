"""A store behind a URL: objects that all machines share, and this machine's copies of them.

Layout as in a folder, with these differences:

- A folder of files is published by its record, which is put last, and only if no other process was
  faster. Names of files begin with a word of their own for every attempt: what a killed process
  has put is named by no record, and what two processes put at once never mixes.
- ``used/<key>`` is written when an entry is used, for an object's own time cannot be set.
- What is only a memory of this machine (the index, copies, folders being written) lies in the
  folder of copies.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reactions.core.hashing import JSON, file_digest
from reactions.core.types import Digest
from reactions.store.copies import Copies
from reactions.store.files import disk_errors, temporary_folder
from reactions.store.heartbeats import Life, watch_until_known
from reactions.store.object_locks import ObjectLeases, ObjectLock, leased, life_of, object_locked
from reactions.store.objects import PROBES, ObjectInfo, Objects
from reactions.store.orphans import USED, named_digests, orphans
from reactions.store.places import OnBusy, RowSource

if TYPE_CHECKING:
    import numpy as np

    from reactions.store.layout import StoreLayout

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _NoClaim:
    """Nothing: an object cannot be kept where it is but by a lease."""

    refused: bool = False


_LINKING = threading.Lock()
"""Held while links are noted and taken; not a bucket's own, as buckets are sent to processes."""


class Bucket:
    """Objects behind a URL; see ``places.StorePlace``.

    Args:
        root: folder of this machine's copies, which gives objects their paths.
        objects: what is behind the URL.
    """

    def __init__(self, root: Path, objects: Objects) -> None:
        self._root = root
        self._objects = objects
        self._tmp = root / "tmp"
        self.copies = Copies(root / "copies", self._tmp, objects)
        self._links: dict[Path, dict[Path, str]] = {}  # by the folder that they are for
        self._used: set[str] = set()
        self._ahead_s: float | None = None

    def _name(self, path: Path) -> str:
        name = path.relative_to(self._root).as_posix()
        return "" if name == "." else name

    def prefix(self) -> str:
        """Return a word that no other attempt begins its names with."""
        return f"{uuid.uuid4().hex[:12]}-"

    # --- reading ---------------------------------------------------------------------

    def load(self, path: Path, max_bytes: int) -> bytes:
        """Return a small object's bytes."""
        data = self._objects.read(self._name(path))
        if len(data) > max_bytes:
            raise ValueError(f"its {path.stem} is not a file of at most {max_bytes:,} bytes")
        return data

    def load_all(self, folders: Iterable[Path], record: str) -> Iterator[tuple[Path, bytes]]:
        """Yield folders and their records, many read at a time."""
        by_name = {self._name(folder / record): folder for folder in folders}
        for name, data in self._objects.read_all(list(by_name)):
            yield by_name[name], data

    def is_file(self, path: Path) -> bool:
        """Return whether there is an object."""
        return self._objects.exists(self._name(path))

    def look_again(self, ask: Callable[[], _T]) -> _T:
        """Ask once: services show what was put at once."""
        return ask()

    def is_published(self, folder: Path, record: str) -> bool:
        """Return whether there is a record: what lies there without one is being put."""
        return self.is_file(folder / record)

    def names(self, folder: Path, record: str) -> list[str]:
        """Return the names of folders that have a record."""
        parts = [name.split("/")[-2:] for name in self._objects.find(self._name(folder))]
        return [names[0] for names in parts if names[1:] == [record]]

    def folders(self, folder: Path, depth: int = 1) -> list[Path]:
        """Return the folders that many levels down."""
        name = self._name(folder)
        if depth == 1:
            return [folder / child for child in self._objects.children(name)]
        start = name.count("/") + 1
        split = (object_name.split("/") for object_name in self._objects.find(name))
        below = {tuple(p[start : start + depth]) for p in split if len(p) > start + depth}
        return sorted(folder.joinpath(*parts) for parts in below)

    def sizes(self, folder: Path) -> dict[str, int]:
        """Return the objects of a folder and their bytes."""
        objects = self._objects.find(self._name(folder))
        return {name.rpartition("/")[2]: info.size_bytes for name, info in objects.items()}

    def digest(self, path: Path) -> Digest:
        """Return the SHA-256 of an object, fetched for that alone."""
        with temporary_folder(self._tmp) as folder:
            self._objects.download(self._name(path), folder / "0")
            return file_digest(folder / "0")

    def local(self, path: Path, sha256: str = "") -> Path:
        """Return the copy of an object."""
        if sha256:
            return self.copies.fetch(self._name(path), sha256)
        return path if path.is_file() else self.fresh(path)

    def fresh(self, path: Path) -> Path:
        """Return a copy that was made now."""
        with temporary_folder(self._tmp) as folder:
            self._objects.download(self._name(path), folder / "0")
            path.parent.mkdir(parents=True, exist_ok=True)
            (folder / "0").replace(path)
        return path

    def open_rows(
        self,
        path: Path,
        sha256: Digest,
        size_bytes: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
    ) -> RowSource:
        """Return the rows of an object: of its copy, or block by block."""
        with disk_errors(self._objects.url, "read"):
            return self.copies.open_rows(path, self._name(path), sha256, size_bytes, dtype, shape)

    # --- writing ---------------------------------------------------------------------

    def publish(self, folder: Path, target: Path, record: str) -> bool:
        """Put all files, and then the record, unless there is one."""
        with _LINKING:
            linked = self._links.pop(folder, {})
        files = [path for path in sorted(folder.iterdir()) if path.name != record]
        data, name = (folder / record).read_bytes(), self._name(target)
        put = [f"{name}/{path.name}" for path in (*files, *linked)]
        is_ours = False
        try:
            self._objects.upload([(path, f"{name}/{path.name}") for path in files])
            self._objects.copy([(n, f"{name}/{path.name}") for path, n in linked.items()])
            is_ours = self._objects.create(f"{name}/{record}", data)
        finally:
            if not is_ours:
                self._withdraw(put, f"{name}/{record}", data)
        for path in files:
            for digest in named_digests(data, path.name):
                self.copies.add(path, digest)
        return is_ours

    def _withdraw(self, names: list[str], record: str, data: bytes) -> None:
        """Remove what was put, unless its record is there: its answer may have been lost."""
        with suppress(OSError):  # what stays is named by no record, and goes with the next cleaning
            try:
                is_there = self._objects.read(record) == data
            except FileNotFoundError:
                is_there = False
            if not is_there:
                self._objects.remove(names)

    def link(self, source: Path, target: Path) -> None:
        """Note what ``publish`` has to copy within the bucket."""
        with _LINKING:
            if target.parent not in self._links:  # of folders that were never published
                self._links = {f: n for f, n in self._links.items() if f.exists()}
            self._links.setdefault(target.parent, {})[target] = self._name(source)

    def write_json(self, path: Path, value: JSON) -> None:
        """Put a small object."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        self._objects.write(self._name(path), text.encode())

    def replace(self, temporary: Path, path: Path) -> None:
        """Put a file in an object's place, and keep it as a copy."""
        self._objects.upload([(temporary, self._name(path))])
        temporary.replace(path)

    def move(self, folder: Path, aside: Path) -> None:
        """Copy a folder's objects, and remove them."""
        objects = _records_first(self._objects.find(self._name(folder)))
        if not objects:
            raise FileNotFoundError(self._name(folder))
        here, there = self._name(folder), self._name(aside)
        self._objects.copy([(name, there + name.removeprefix(here)) for name in objects])
        self._remove(objects)

    def remove(self, folder: Path, tmp: Path | None = None) -> None:
        """Remove a folder's objects, records first: without them it is not there."""
        self._remove(_records_first(self._objects.find(self._name(folder))))
        if self._name(folder).startswith("partial/"):
            (folder / "checkpoint.npz").unlink(missing_ok=True)

    def _remove(self, names: list[str]) -> None:
        records = [name for name in names if name.endswith(".json")]
        self._objects.remove(records)
        self._objects.remove([name for name in names if name not in set(records)])

    def try_writing(self, root: Path) -> None:
        """Put an object, and remove it."""
        name = f"{PROBES}/{uuid.uuid4().hex}"
        self._objects.write(name, b"")
        self._objects.remove([name])

    def making_room(self, write: Callable[[], _T]) -> _T:
        """Let copies go where the disk is full."""
        return self.copies.making_room(write)

    # --- who uses what ---------------------------------------------------------------

    def caveat(self) -> str:
        """Say so where the service puts what it was asked to put only if it is not there."""
        if self._objects.is_conditional is not False:
            return ""
        return (
            f"the service behind {self._objects.url} does not know conditional puts: processes "
            "that ask for the same work at the same moment may both do it; one result is kept"
        )

    def locked(
        self, path: Path, on_busy: OnBusy | None = None, *, shared: bool = False
    ) -> AbstractContextManager[ObjectLock | None]:
        """Hold a lock object."""
        return object_locked(self._objects, self._name(path), on_busy, shared=shared)

    def open_leases(self, folder: Path) -> ObjectLeases:
        """Return leases in an object."""
        return ObjectLeases(folder, self._objects, self._name(folder))

    def leased(self, folder: Path) -> set[Digest]:
        """Return the keys that living processes lease."""
        return leased(self._objects, self._name(folder))

    def claim(self, path: Path) -> _NoClaim:
        """Nothing."""
        return _NoClaim()

    def mark_used(self, path: Path) -> None:
        """Write ``used/<key>``, once a process."""
        key = path.parent.name
        if key not in self._used:
            self._objects.write(f"{USED}/{key}", b"")
            self._used.add(key)

    def usage(self, folders: Iterable[Path], record: str) -> dict[Path, tuple[int, float]]:
        """Return the records' sizes, and times by this machine's clock."""
        by_name = {self._name(folder / record): folder for folder in folders}
        used = self._objects.find(USED)
        entries = self._objects.find("entries")
        usages = {}
        for name, folder in by_name.items():
            if name in entries:
                info = entries[name]
                use = used.get(f"{USED}/{folder.name}", info)
                used_s = max(info.written_s, use.written_s) - self._clock_ahead_s()
                usages[folder] = info.size_bytes, used_s
        return usages

    # --- cleaning --------------------------------------------------------------------

    def idle_s(self, folder: Path) -> float:
        """Return how long ago the newest object of a folder was put."""
        objects = self._objects.find(self._name(folder))
        if not objects:
            raise FileNotFoundError(self._name(folder))
        return self._age_s(*objects.values())

    def size_of(self, folder: Path) -> int:
        """Return the bytes of a folder's objects."""
        return sum(info.size_bytes for info in self._objects.find(self._name(folder)).values())

    def watch_others(self, layout: StoreLayout) -> None:
        """Look at all locks and leases."""
        names = [*self._objects.find("locks"), *self._objects.find("leases")]
        watch_until_known([partial(life_of, self._objects, name) for name in names])

    def retire(
        self, layout: StoreLayout, key: Digest, record: str, *, dry_run: bool
    ) -> bool | None:
        """Hide an entry by removing its record; then remove it, unless it was leased since."""
        folder, leases = layout.entry(key), self._name(layout.leases)
        name = self._name(folder / record)
        if key in leased(self._objects, leases):
            return False
        try:
            data = self._objects.read(name)
        except FileNotFoundError:
            return None
        if dry_run:
            return True
        files = [other for other in self._objects.find(self._name(folder)) if other != name]
        self._objects.remove([name])
        # Who leases it from now on finds it gone; who did so just before keeps it.
        if key in leased(self._objects, leases):
            self._objects.create(name, data)  # or another has made it anew, which is as good
            return False
        # Of this record alone: another process may be putting files of its own.
        named_files = [other for other in files if named_digests(data, other.rpartition("/")[2])]
        self._objects.remove([*named_files, f"{USED}/{key}"])
        return True

    def prune_copies(
        self, *, older_than_s: float | None, max_bytes: int | None, dry_run: bool
    ) -> tuple[int, int]:
        """Remove copies; see ``Copies.prune``."""
        return self.copies.prune(older_than_s=older_than_s, max_bytes=max_bytes, dry_run=dry_run)

    def left_over(
        self, layout: StoreLayout, record: str, *, dry_run: bool
    ) -> Iterator[tuple[Path, int]]:
        """Remove and yield locks and leases of dead processes, and objects that no record names."""
        dead = [
            name
            for name in (*self._objects.find("locks"), *self._objects.find("leases"))
            if life_of(self._objects, name) is Life.DEAD
        ]
        unnamed = orphans(self._objects, self._name(layout.leases), record, self._age_s)
        if not dry_run:
            self._objects.remove([*dead, *unnamed])
        for name in dead:
            yield self._root / name, 0
        for name, info in unnamed.items():
            yield self._root / name, info.size_bytes

    def _age_s(self, *infos: ObjectInfo) -> float:
        newest_s = max(info.written_s for info in infos)
        return time.time() + self._clock_ahead_s() - newest_s

    def _clock_ahead_s(self) -> float:
        """Return by how much the service's clock is ahead of this machine's."""
        if self._ahead_s is None:
            name = f"{PROBES}/{uuid.uuid4().hex}"
            self._ahead_s = 0.0
            with suppress(OSError):  # a store that is only read: clocks are near enough for a list
                self._objects.write(name, b"")
                self._ahead_s = self._objects.info(name).written_s - time.time()
                self._objects.remove([name])
        return self._ahead_s


def _records_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (not name.endswith(".json"), name))
