"""A store in a folder, on this machine's disk or on one that several machines share."""

from __future__ import annotations

import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reactions.core.hashing import JSON, file_digest
from reactions.core.types import Digest
from reactions.store import clocks, leases
from reactions.store.arrays import open_array
from reactions.store.clocks import age_s, ahead_s
from reactions.store.files import link, publish, replace_json
from reactions.store.heartbeats import Life, watch_until_known
from reactions.store.locks import (
    Lease,
    Lock,
    is_idle,
    life_of,
    locked,
    made_elsewhere,
    open_to_lock,
    try_lock,
)
from reactions.store.places import GRACE_S, UNLOCKED_GRACE_S, OnBusy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.store.layout import StoreLayout

SETTLING_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Pauses between looks for what another process says it has made."""

_T = TypeVar("_T")


class Disk:
    """Files of a folder; see ``places.StorePlace``."""

    def prefix(self) -> str:
        """Names are as they are: a folder gets its name when all is in it."""
        return ""

    # --- reading ---

    def load(self, path: Path, max_bytes: int) -> bytes:
        """Return a small file's bytes."""
        state = path.stat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > max_bytes:
            raise ValueError(f"its {path.stem} is not a file of at most {max_bytes:,} bytes")
        return path.read_bytes()

    def load_all(self, folders: Iterable[Path], record: str) -> Iterator[tuple[Path, bytes]]:
        """Yield folders and their records, one read at a time."""
        for folder in folders:
            with suppress(OSError):
                yield folder, (folder / record).read_bytes()

    def is_file(self, path: Path) -> bool:
        """Return whether there is a file."""
        return path.is_file() or (_list_anew(path.parent) and path.is_file())

    def is_published(self, folder: Path, record: str) -> bool:
        """Return whether there is a folder: it had all its files when it appeared."""
        return folder.is_dir() or (_list_anew(folder.parent) and folder.is_dir())

    def look_again(self, ask: Callable[[], _T]) -> _T:
        """Ask every now and then: not all network file systems are made to look by listing."""
        answer = ask()
        for pause_s in SETTLING_S:
            if answer:
                break
            time.sleep(pause_s)
            answer = ask()
        return answer

    def names(self, folder: Path, record: str) -> list[str]:
        """Return the names in a folder; other files may lie among the folders."""
        _list_anew(folder.parent)
        with suppress(FileNotFoundError):
            return os.listdir(folder)  # noqa: PTH208  (a thousand names, often)
        return []

    def folders(self, folder: Path, depth: int = 1) -> list[Path]:
        """Return the folders that many levels down."""
        paths = children(folder)
        return paths if depth == 1 else [p for f in paths for p in self.folders(f, depth - 1)]

    def sizes(self, folder: Path) -> dict[str, int]:
        """Return the files of a folder and their bytes."""
        with os.scandir(folder) as files:
            return {file.name: file.stat().st_size for file in files if file.is_file()}

    def digest(self, path: Path) -> Digest:
        """Return the SHA-256 of a file."""
        return file_digest(path)

    def local(self, path: Path, sha256: str = "") -> Path:
        """Return the file."""
        return path

    def fresh(self, path: Path) -> Path:
        """Return the file."""
        return path

    def open_rows(
        self,
        path: Path,
        sha256: Digest,
        size_bytes: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
    ) -> NDArray[Any]:
        """Read a small file, memory-map a large one."""
        return open_array(path, dtype, shape)

    # --- writing ---

    def publish(self, folder: Path, target: Path, record: str) -> bool:
        """Rename a folder."""
        return publish(folder, target)

    def link(self, source: Path, target: Path) -> None:
        """Link a file, or copy it."""
        link(source, target)

    def write_json(self, path: Path, value: JSON) -> None:
        """Write or replace a file."""
        replace_json(path, value)

    def replace(self, temporary: Path, path: Path) -> None:
        """Rename a file."""
        temporary.replace(path)

    def move(self, folder: Path, aside: Path) -> None:
        """Rename a folder."""
        aside.parent.mkdir(exist_ok=True)
        folder.rename(aside)

    def remove(self, folder: Path, tmp: Path | None = None) -> None:
        """Remove a folder."""
        aside = folder if tmp is None else move_aside(tmp, folder)
        if aside is not None:
            remove_tree(aside)

    def try_writing(self, root: Path) -> None:
        """Make a file in the root."""
        try:
            clocks.touch_once(root)
        except OSError as error:  # of a file that nobody knows
            raise OSError(error.errno, error.strerror, str(root)) from error

    def making_room(self, write: Callable[[], _T]) -> _T:
        """Write once: what is here is kept nowhere else."""
        return write()

    # --- who uses what ---

    def caveat(self) -> str:
        """Nothing: who cannot be asked for locks of others is watched instead."""
        return ""

    def locked(
        self, path: Path, on_busy: OnBusy | None = None, *, shared: bool = False
    ) -> AbstractContextManager[Lock | None]:
        """Hold a lock file."""
        return locked(path, on_busy, shared=shared)

    def open_leases(self, folder: Path) -> leases.Leases:
        """Return leases in a lease file."""
        return leases.DiskLeases(folder)

    def leased(self, folder: Path) -> set[Digest]:
        """Return the keys in lease files of living processes."""
        with leases.mutex(folder, exclusive=True):
            return leases.leased(folder)

    def claim(self, path: Path) -> Lease:
        """Lock the record."""
        return Lease(path)

    def mark_used(self, path: Path) -> None:
        """Touch the record."""
        os.utime(path)

    def usage(self, folders: Iterable[Path], record: str) -> dict[Path, tuple[int, float]]:
        """Return the records' sizes, and times by this machine's clock."""
        usages = {}
        for folder in folders:
            with suppress(FileNotFoundError):
                state = (folder / record).stat()
                usages[folder] = state.st_size, state.st_mtime - ahead_s(folder.parents[2])
        return usages

    # --- cleaning ---

    def idle_s(self, folder: Path) -> float:
        """Return the age of the folder's list of names."""
        return age_s(folder)

    def size_of(self, folder: Path) -> int:
        """Return the bytes that removing a folder frees."""
        return size_of(folder)

    def watch_others(self, layout: StoreLayout) -> None:
        """Look at lease files of other machines, and at all lock files."""
        foreign_leases = filter(made_elsewhere, leases.lease_files(layout.leases))
        watch_until_known(
            [
                *(partial(leases.life_of, path) for path in foreign_leases),
                *(partial(life_of, path) for path in layout.locks.glob("*.lock")),
            ]
        )

    def retire(
        self, layout: StoreLayout, key: Digest, record: str, *, dry_run: bool
    ) -> bool | None:
        """Move an entry aside, and remove it there."""
        folder = layout.entry(key)
        with leases.mutex(layout.leases, exclusive=True):
            if key in leases.leased(layout.leases):
                return False
            try:
                fd = open_to_lock(folder / record)
            except FileNotFoundError:
                return None
            try:
                # Who cannot write leases, and earlier versions, hold this.
                if try_lock(fd) is False:
                    return False
                # Only renamed here, deleted below: that takes long, and others wait for the mutex.
                aside = None if dry_run else move_aside(layout.tmp, folder)
            finally:
                os.close(fd)
            # Asked again: where the mutex does not reach other machines, one may have leased the
            # entry since. Who leased it later than this finds it gone.
            if aside is not None and key in leases.leased(layout.leases):
                publish(aside, folder)  # or another has made it anew, which is as good
                return False
        if aside is not None:
            remove_tree(aside)
        return True

    def prune_copies(
        self, *, older_than_s: float | None, max_bytes: int | None, dry_run: bool
    ) -> tuple[int, int]:
        """Nothing: there are no copies."""
        return 0, 0

    def left_over(
        self, layout: StoreLayout, record: str, *, dry_run: bool
    ) -> Iterator[tuple[Path, int]]:
        """Remove and yield locks, leases and unfinished records, whose bytes do not count."""
        names = (layout.store_json.name, layout.index.name, clocks.PROBE)
        unfinished = (path for name in names for path in layout.root.glob(f".{name}-*"))
        for path in [*sorted(unfinished), *sorted(layout.root.glob("cluster-*.probe"))]:
            # Of earlier versions are probes, which nothing but their age tells from those in use.
            is_probe = path.suffix == ".probe"
            if _age_or_0_s(path) >= UNLOCKED_GRACE_S if is_probe else is_debris(path):
                if not dry_run:
                    path.unlink(missing_ok=True)
                yield path, 0
        for path in sorted(layout.locks.glob("*.lock")):
            # ``locked`` looks at the name again once it has the lock: no new holder is lost.
            if life_of(path) is Life.DEAD:
                if dry_run:
                    yield path, 0
                    continue
                with locked(path) as is_locked:  # which removes it
                    if is_locked:
                        yield path, 0
        with leases.mutex(layout.leases, exclusive=True):
            for path in leases.lease_files(layout.leases):
                if leases.is_left_over(path):
                    if not dry_run:
                        path.unlink(missing_ok=True)
                    yield path, 0


def _list_anew(folder: Path) -> bool:
    """Have the kernel ask a file server for what is in a folder, and in the two above it.

    A client of NFS remembers for up to a minute that a name was not there. It forgets when it
    finds that the folder has changed, and asks for that whenever a folder is opened.

    Returns:
        Whether there is such a folder.
    """
    for parent in (*reversed(folder.parents[:2]), folder):
        try:
            os.close(os.open(parent, os.O_RDONLY))
        except OSError:  # Windows opens no folders, and has no such clients
            return False
    return True


def _age_or_0_s(path: Path) -> float:
    """Return how long ago a file was written; 0 where it is gone."""
    with suppress(FileNotFoundError):
        return age_s(path)
    return 0.0


def children(folder: Path) -> list[Path]:
    """Return the folders within a folder, by name; none where it does not exist."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def move_aside(tmp: Path, folder: Path) -> Path | None:
    """Move a folder away, so that no process sees it half removed; None if it is gone already."""
    tmp.mkdir(exist_ok=True)
    aside = tmp / uuid.uuid4().hex
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


def is_debris(path: Path) -> bool:
    """Return whether a temporary file or folder is held by nobody."""
    return is_idle(path, grace_s=GRACE_S, unlocked_grace_s=UNLOCKED_GRACE_S)


def size_of(folder: Path) -> int:
    """Return the bytes that removing a folder frees."""
    size_bytes = 0
    for parent, _, names in os.walk(folder):  # passes over what vanishes meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                state = (Path(parent) / name).lstat()
                # A finished shard may be linked into an entry: removing a name frees nothing.
                size_bytes += state.st_size if state.st_nlink == 1 else 0
    return size_bytes
