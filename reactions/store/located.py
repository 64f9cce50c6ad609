"""A store's layout at a place: a folder, or a bucket behind a URL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from reactions.core.errors import StoreError
from reactions.core.paths import cache_home
from reactions.store.disk import Disk
from reactions.store.layout import FORMAT, StoreLayout
from reactions.store.places import StorePlace

_MAX_RECORD_BYTES = 1 << 16


@dataclass(frozen=True)
class LocatedStore(StoreLayout):
    """Paths under a store's root, and what reads and writes there.

    Attributes:
        place: what reads and writes.
        address: the folder, or the URL, for people and for other processes.
    """

    place: StorePlace
    address: str

    @property
    def is_remote(self) -> bool:
        """Whether the store lies behind a URL, and the root holds copies."""
        return self.address != str(self.root)

    def name(self, path: Path) -> str:
        """Return what people call a file or folder of the store."""
        return f"{self.address}/{path.relative_to(self.root).as_posix()}"

    def entry_folders(self) -> Iterator[Path]:
        """Yield the folder of every entry, in order of keys."""
        yield from self.place.folders(self.entries, 2)


def locate(address: Path | str) -> LocatedStore:
    """Return the layout of a store.

    Args:
        address: a folder, or a URL.

    Raises:
        UsageError: a store cannot lie at the URL.
        MissingError: the package that its protocol needs is not installed, or offline mode is on.
    """
    if "://" not in str(address):
        root = Path(address).absolute()
        return LocatedStore(root, Disk(), str(root))
    from reactions.store.bucket import Bucket
    from reactions.store.objects import Objects
    from reactions.store.services import normal_url

    url = normal_url(str(address))
    copies = cache_home() / "molspace" / "remote" / sha256(url.encode()).hexdigest()[:16]
    return LocatedStore(copies, Bucket(copies, Objects(url)), url)


def check_format(layout: LocatedStore) -> bool:
    """Refuse a store of another version.

    Returns:
        Whether the store is there.

    Raises:
        StoreError: the store is of another version, or does not say of which.
        OSError: it cannot be read.
    """
    root, path = layout.address, layout.store_json
    fix = (
        f"set MOLSPACE_CACHE to another folder, or remove {layout.name(path)} and "
        f"{layout.name(layout.entries)}"
    )
    try:
        # The file has a few bytes: one this large is not ours, and is not read into memory.
        version = json.loads(layout.place.load(path, _MAX_RECORD_BYTES))["format"]
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise StoreError(
            f"cannot tell the version of the store at {root}",
            why=f"{layout.name(path)} is damaged ({error!r})",
            fix=fix,
            path=root,
        ) from error
    if version != FORMAT:
        raise StoreError(
            f"the store at {root} has format {version}, this version reads format {FORMAT}",
            why="it was written by another version of molspace",
            fix=fix,
            path=root,
            found=version,
            expected=FORMAT,
        )
    return True
