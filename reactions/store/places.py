"""Where a store's files lie: what the store asks of a folder, or of a bucket of objects.

Names are paths under the store's root everywhere. On a disk (``disk``) they are the files. Of a
bucket (``bucket``) they name objects, and where this machine keeps its copies of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from reactions.core.hashing import JSON
from reactions.core.types import Digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.store.layout import StoreLayout
    from reactions.store.leases import Leases

_T = TypeVar("_T")

OnBusy: TypeAlias = Callable[[int | None], None]

GRACE_S = 3600.0
"""How old debris has to be at least: who makes it takes its lock at once; an hour is generous."""

UNLOCKED_GRACE_S = 86400.0
"""The same where no lock says whether something is in use."""


class RowSource(Protocol):
    """Rows that are read by slices: an array, or a file of which parts are fetched."""

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Return contiguous rows."""


class Held(Protocol):
    """A lock that this process holds; see ``locks.Lock``."""

    @property
    def is_alone(self) -> bool:
        """Whether no other process holds it beside this one."""

    @property
    def is_lost(self) -> bool:
        """Whether another process has taken it over, to which this one seemed dead."""

    def share(self) -> bool:
        """Let others hold it, too; False when it was lost in between."""


class EntryClaim(Protocol):
    """Keeps one entry where it is for as long as the object lives."""

    @property
    def refused(self) -> bool:
        """Whether another process is removing the entry."""


class StorePlace(Protocol):
    """What a store does with files; all paths lie under its root.

    Methods raise ``OSError`` for what cannot be read or written, and ``FileNotFoundError`` for
    what is not there. A folder of files is *published* as a whole, with a record that names
    them: it is there for all, or for nobody.
    """

    def prefix(self) -> str:
        """Return what names of files in a folder to be published have to begin with."""

    # --- reading ---

    def load(self, path: Path, max_bytes: int) -> bytes:
        """Return a small file's bytes.

        Raises:
            ValueError: it is not a file, or is larger.
        """

    def load_all(self, folders: Iterable[Path], record: str) -> Iterator[tuple[Path, bytes]]:
        """Yield folders and their records, without those that cannot be read."""

    def is_file(self, path: Path) -> bool:
        """Return whether there is a file."""

    def look_again(self, ask: Callable[[], _T]) -> _T:
        """Return what ``ask`` does, once it is true or what others made must be visible here."""

    def is_published(self, folder: Path, record: str) -> bool:
        """Return whether a folder was published, perhaps damaged since."""

    def names(self, folder: Path, record: str) -> list[str]:
        """Return the names of folders that were published in a folder, in any order."""

    def folders(self, folder: Path, depth: int = 1) -> list[Path]:
        """Return the folders that many levels down, sorted; none where there is no folder."""

    def sizes(self, folder: Path) -> dict[str, int]:
        """Return the files of a folder and their bytes."""

    def digest(self, path: Path) -> Digest:
        """Return the SHA-256 of a file as it is now."""

    def local(self, path: Path, sha256: str = "") -> Path:
        """Return where to read a file that is never changed; it is fetched unless it is here.

        Args:
            path: of the file.
            sha256: that it should have, if known; it may turn out to have another.
        """

    def fresh(self, path: Path) -> Path:
        """Return where to read a file that may have been replaced."""

    def open_rows(
        self,
        path: Path,
        sha256: Digest,
        size_bytes: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
    ) -> RowSource:
        """Return the rows of one file.

        Args:
            path: an ``.npy`` file.
            sha256: of the file, as its record says.
            size_bytes: likewise.
            dtype: that it must hold.
            shape: likewise.

        Raises:
            StoreError: it cannot be read, or is not what the record says.
        """

    # --- writing ---

    def publish(self, folder: Path, target: Path, record: str) -> bool:
        """Publish a folder on this machine's disk under a name.

        Returns:
            False when the name is taken: then nothing was changed.
        """

    def link(self, source: Path, target: Path) -> None:
        """Give a published file a second name in a folder that is about to be published."""

    def write_json(self, path: Path, value: JSON) -> None:
        """Write or replace a small file, as a whole."""

    def replace(self, temporary: Path, path: Path) -> None:
        """Put a file on this machine's disk in another's place, as a whole."""

    def move(self, folder: Path, aside: Path) -> None:
        """Give a published folder another name."""

    def remove(self, folder: Path, tmp: Path | None = None) -> None:
        """Remove a folder, which others may be removing, too.

        Args:
            folder: that goes.
            tmp: where it is moved first, so that nobody sees it half removed.
        """

    def try_writing(self, root: Path) -> None:
        """Write something, and remove it."""

    def making_room(self, write: Callable[[], _T]) -> _T:
        """Return what ``write`` does; on a full disk again, if something could go before."""

    # --- who uses what ---

    def caveat(self) -> str:
        """Return what locks here cannot do, as far as it has shown; "" for nothing."""

    def locked(
        self, path: Path, on_busy: OnBusy | None = None, *, shared: bool = False
    ) -> AbstractContextManager[Held | None]:
        """Hold a lock unless another process has it; see ``locks.locked``."""

    def open_leases(self, folder: Path) -> Leases:
        """Return the leases of this process, none yet."""

    def leased(self, folder: Path) -> set[Digest]:
        """Return the keys that living processes lease."""

    def claim(self, path: Path) -> EntryClaim:
        """Keep an entry by its record alone, where no lease can be written."""

    def mark_used(self, path: Path) -> None:
        """Note that a record's folder was used now."""

    def usage(self, folders: Iterable[Path], record: str) -> Mapping[Path, tuple[int, float]]:
        """Return, for folders that are there, bytes of the record and when it was last used."""

    # --- cleaning ---

    def idle_s(self, folder: Path) -> float:
        """Return how long ago something was last put into a folder."""

    def size_of(self, folder: Path) -> int:
        """Return the bytes that removing a folder frees."""

    def watch_others(self, layout: StoreLayout) -> None:
        """Find out which other holders live, which may take half a minute."""

    def retire(
        self, layout: StoreLayout, key: Digest, record: str, *, dry_run: bool
    ) -> bool | None:
        """Remove an entry unless a living process uses it.

        Returns:
            Whether it was, or could be, removed; None where it is gone already.
        """

    def prune_copies(
        self, *, older_than_s: float | None, max_bytes: int | None, dry_run: bool
    ) -> tuple[int, int]:
        """Remove copies on this machine of what lies elsewhere; return how many, and bytes."""

    def left_over(
        self, layout: StoreLayout, record: str, *, dry_run: bool
    ) -> Iterator[tuple[Path, int]]:
        """Remove and yield what killed processes left, and its bytes where they count."""
