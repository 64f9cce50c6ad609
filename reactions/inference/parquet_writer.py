"""Embeddings to parquet: a row an item, a row group for some thousands of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra
from reactions.core.types import Item
from reactions.inference.writer_base import FilesWriter, is_numbered, json_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP_ROWS: Final = 8192
METADATA: Final = b"molspace"
"""The key of the schema's metadata under which a file says what it is, as JSON."""


class ParquetWriter(FilesWriter):
    """Columns ``id``, ``modality``, ``numbered`` and ``embedding``, a list of ``dim`` float32.

    Raises:
        MissingError: pyarrow is not installed.
    """

    def __init__(self, paths: Sequence[Path], about: Mapping[str, Any], *, overwrite: bool) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise MissingError(
                f"cannot write '{paths[0]}'",
                why="pyarrow is not installed",
                fix=install_extra("parquet"),
            ) from None
        self._pa, self._parquet = pyarrow, parquet
        super().__init__(paths, about, overwrite=overwrite)

    def _begin(self) -> None:
        pa = self._pa
        self._schema = pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("modality", pa.dictionary(pa.int32(), pa.string()), nullable=False),
                pa.field("numbered", pa.bool_(), nullable=False),
                pa.field("embedding", pa.list_(pa.float32(), self._about["dim"]), nullable=False),
            ],
            metadata={METADATA: json_text(dict(self._about)).encode()},
        )
        self._writer = self._parquet.ParquetWriter(self._streams[0], self._schema)
        self._waiting: list[tuple[Item, NDArray[np.float32]]] = []

    def _write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        self._waiting += zip(items, rows, strict=True)
        if len(self._waiting) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        pa = self._pa
        items = [item for item, _ in self._waiting]
        rows = np.stack([row for _, row in self._waiting]).astype(np.float32, copy=False)
        self._waiting = []
        modalities = pa.array([item.modality for item in items]).dictionary_encode()
        columns = [
            pa.array([item.id for item in items], pa.string()),
            modalities.cast(self._schema.field("modality").type),
            pa.array([is_numbered(item) for item in items]),
            pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), self._about["dim"]),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def _finish(self) -> None:
        if self._waiting:
            self._flush()
        self._writer.close()

    def _discard(self) -> None:
        self._waiting = []
        with suppress(OSError, AttributeError):  # a full disk; or nothing was begun
            self._writer.close()  # while its file is open: it writes a footer
        super()._discard()
