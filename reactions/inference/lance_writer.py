"""Embeddings to a Lance table: a folder, which appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from reactions.core.errors import StoreError
from reactions.core.lance import is_lance, load_lance
from reactions.core.types import Item
from reactions.inference.arrow_rows import ArrowRows, pyarrow_for
from reactions.inference.outputs import refuse_replacing
from reactions.inference.writer_base import Writer, unwritable
from reactions.products.bundles.folder import replace, staging_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRAGMENT_ROWS: Final = 1 << 16


class LanceWriter(Writer):
    """Columns of ``ArrowRows``, in one version of a table.

    Args:
        path: the table's folder.
        about: from ``writers.describe``.
        overwrite: whether a table that is there by the end may be replaced.

    Raises:
        MissingError: pylance is not installed.
        StoreError: the folder cannot be written, or holds something other than a table.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], *, overwrite: bool) -> None:
        self._lance = load_lance(f"cannot write '{path}'")
        self._rows = ArrowRows(pyarrow_for(path, "lance"), about)
        self._path = Path(os.path.realpath(path))
        self._overwrite = overwrite
        self._fragments: list[Any] = []
        self._resources = ExitStack()
        self._check()
        with self._guarded():
            self._staging = self._resources.enter_context(staging_folder(self._path))

    def _check(self) -> None:
        is_there = os.path.lexists(self._path)
        is_empty = self._path.is_dir() and not any(self._path.iterdir())
        if is_there and not is_empty and not is_lance(self._path):
            raise StoreError(
                f"cannot write '{self._path}'",
                why="it is there, and is not a Lance table",
                fix="--out DIR.lance, a new one",
            )

    def _write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        with self._guarded():
            self._rows.add(items, rows)
            if len(self._rows) >= FRAGMENT_ROWS:
                self._flush()

    def _flush(self) -> None:
        self._fragments += self._lance.fragment.write_fragments(
            self._rows.take(), str(self._staging), schema=self._rows.schema
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._resources, self._guarded():
            if kind is not None or self.n == 0:
                return
            if len(self._rows):
                self._flush()
            whole = self._lance.LanceOperation.Overwrite(self._rows.schema, self._fragments)
            self._lance.LanceDataset.commit(str(self._staging), whole)
            self._check()  # again: it may have appeared during the run
            if not self._overwrite:
                refuse_replacing([self._path])
            _flush_files(self._staging)
            replace(self._staging, self._path)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Leave nothing behind, and say what the disk said in plain words."""
        try:
            yield
        except OSError as error:
            self._resources.close()
            raise unwritable(self._path, error) from error
        except BaseException:
            self._resources.close()
            raise


def _flush_files(folder: Path) -> None:
    """Flush what Lance wrote: a power cut could otherwise leave names without their data."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
