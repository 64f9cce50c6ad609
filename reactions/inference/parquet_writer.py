"""Embeddings to parquet: a row an item, a row group for some thousands of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reactions.core.types import Item
from reactions.inference.arrow_rows import ArrowRows, pyarrow_for
from reactions.inference.writer_base import FilesWriter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUP_ROWS: Final = 8192


class ParquetWriter(FilesWriter):
    """Columns of ``ArrowRows``.

    Raises:
        MissingError: pyarrow is not installed.
    """

    def __init__(self, paths: Sequence[Path], about: Mapping[str, Any], *, overwrite: bool) -> None:
        self._rows = ArrowRows(pyarrow_for(paths[0], "parquet"), about)
        super().__init__(paths, about, overwrite=overwrite)

    def _begin(self) -> None:
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(self._streams[0], self._rows.schema)

    def _write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        self._rows.add(items, rows)
        if len(self._rows) >= GROUP_ROWS:
            self._writer.write_table(self._rows.take())

    def _finish(self) -> None:
        if len(self._rows):
            self._writer.write_table(self._rows.take())
        self._writer.close()

    def _discard(self) -> None:
        with suppress(OSError, AttributeError):  # a full disk; or nothing was begun
            self._writer.close()  # while its file is open: it writes a footer
        super()._discard()
