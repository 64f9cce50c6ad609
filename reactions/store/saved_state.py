"""What a running step has saved of itself, to go on from after an interruption."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.types import Digest
from reactions.store.files import disk_errors
from reactions.store.located import LocatedStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "checkpoint.npz"


class SavedState:
    """The last state that a step saved: one file, replaced as a whole.

    It lies where the shards of steps made by rows do, so that a cleaning counts and removes it as
    it does those: when the step's result is there, or nothing was saved for a week.

    Args:
        folder: ``partial/<key>`` of the store.
        layout: of the store.
    """

    def __init__(self, folder: Path, layout: LocatedStore) -> None:
        self._folder = folder
        self._address = layout.address
        self._place = layout.place

    @property
    def key(self) -> Digest:
        """Of the step."""
        return self._folder.name

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / FILE

    def read(self, warn: Callable[[str], None]) -> dict[str, NDArray[Any]] | None:
        """Return what was saved last; None where nothing was, or it is damaged.

        Args:
            warn: called with a sentence where it is damaged.

        Raises:
            StoreError: it cannot be read.
        """
        with disk_errors(self._address, "read"):
            try:
                # Opened here: numpy leaves a file open that turns out not to be one of its own.
                path = self._place.fresh(self.path)
                with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                    return {name: stored[name] for name in stored.files}
            except FileNotFoundError:
                return None
            except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
                warn(f"dropped what an earlier run saved in {self.path}: it is damaged ({error})")
                return None

    def write(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace what was saved before; a run that is killed meanwhile leaves that as it was.

        Raises:
            StoreError: it cannot be written.
        """
        with disk_errors(self._address, "write to"):
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._folder / f".{FILE}.{os.getpid()}"
            try:
                with temporary.open("wb") as stream:
                    np.savez(stream, **arrays)  # type: ignore[arg-type]
                    stream.flush()
                    os.fsync(stream.fileno())
                self._place.replace(temporary, self.path)
            finally:
                with suppress(OSError):
                    temporary.unlink()

    def discard(self) -> None:
        """Remove it; the step's result is there now."""
        with suppress(OSError):
            self._place.remove(self._folder)
