"""A store that is opened: where it lies, whether it can be used, and what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from reactions.core.environment import from_variable
from reactions.core.errors import MolspaceError
from reactions.core.paths import CACHE_VARIABLE, store_address
from reactions.core.types import Digest
from reactions.store import maintenance
from reactions.store.files import disk_errors
from reactions.store.index import Index
from reactions.store.layout import FORMAT, MANIFEST_JSON
from reactions.store.located import LocatedStore, check_format, locate

_T = TypeVar("_T")


def ignore(_: object) -> None:
    """Do nothing: what is called where nobody listens."""


class OpenedStore:
    """What a ``Store`` is opened by.

    Looking things up never creates anything; the root appears with the first write.

    Args:
        root: folder of the store, or a URL such as ``s3://bucket/prefix``, of which this machine
            keeps copies; what ``MOLSPACE_CACHE`` says by default.
        warn: called with a sentence when something damaged was put aside.

    Attributes:
        address: the folder or URL: what another process opens the same store by.
        root: the folder; of a store behind a URL, that of this machine's copies.
        layout: what lies where.
        index: entries by what made them but the corpus.

    Raises:
        UsageError: a store cannot lie at the URL.
        MissingError: the package that its protocol needs is not installed, or offline mode is on.
    """

    def __init__(
        self, root: Path | str | None = None, *, warn: Callable[[str], None] = ignore
    ) -> None:
        self.layout = _located() if root is None else locate(root)
        self.address = self.layout.address
        self.root = self.layout.root
        self.warn = warn
        self.index = Index(self.layout)
        self._place = self.layout.place
        self._leases = self._place.open_leases(self.layout.leases)
        self._checked = False
        self._prepared = False
        self._has_cautioned = False

    def is_there(self) -> bool:
        """Return whether anything was ever written at the store's address.

        Raises:
            StoreError: the store is of another version, or cannot be read.
        """
        self._check_format()
        return self._checked

    def has(self, key: Digest) -> bool:
        """Return, at little cost, whether there is an entry; ``lookup`` may still find it damaged.

        Raises:
            StoreError: the store is of another version, or cannot be read.
        """
        self._check_format()
        with disk_errors(self.address, "read"):
            return self._place.is_file(self.layout.entry(key) / MANIFEST_JSON)

    def has_lock(self, key: Digest) -> bool:
        """Return whether the lock of a key is there: held, or left behind.

        Raises:
            StoreError: the store cannot be read.
        """
        with disk_errors(self.address, "read"):
            return self._place.is_file(self.layout.lock(key))

    def look_again(self, ask: Callable[[], _T]) -> _T:
        """Return what ``ask`` does as soon as it is true, or what it does after some seconds.

        For what another process has just made: a network file system may hide it from this
        machine for a while, and lists a folder anew in between.
        """
        return self._place.look_again(ask)

    def prepare(self) -> None:
        """Make the store's folders now, before work is done that it could not keep.

        Raises:
            StoreError: the store is of another version, or cannot be written.
        """
        with self._writing():
            pass

    def try_writing(self) -> None:
        """Write something and remove it, for who is about to make what it could not keep.

        Raises:
            StoreError: the store is of another version, or cannot be written.
        """
        with disk_errors(self.address, "read"):
            self._prepared = self._prepared and self.root.is_dir()  # it may be gone since
        with self._writing():
            self._place.try_writing(self.root)

    def _check_format(self) -> None:
        """Refuse a store of another version; an absent one is empty."""
        if not self._checked:
            with disk_errors(self.address, "read"):
                self._checked = check_format(self.layout)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Make the root if needed, and speak plainly of disk errors."""
        self._check_format()
        with disk_errors(self.address, "write to"):
            if not self._prepared:
                self.root.mkdir(parents=True, exist_ok=True)
                if not self._place.is_file(self.layout.store_json):
                    self._place.write_json(self.layout.store_json, {"format": FORMAT})
                maintenance.sweep(self.layout)
                self._prepared = True
            yield

    def _is_published(self, folder: Path) -> bool:
        with disk_errors(self.address, "read"):
            return self._place.is_published(folder, MANIFEST_JSON)


def _located() -> LocatedStore:
    """Return what lies where in the store that the environment names."""
    try:
        return locate(store_address())
    except MolspaceError as error:
        raise from_variable(error, CACHE_VARIABLE) from None
