"""Embeddings in parquet: a column of lists, read forward in batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, DimensionMismatch, MissingError
from reactions.core.extras import install_extra
from reactions.data.parquet_sizes import DeclaredSizes, declared_sizes
from reactions.encoders.precomputed.names import id_name
from reactions.encoders.precomputed.tables import (
    check_unpacked,
    not_rows,
    reading,
    shape_of,
    unreadable,
)

COLUMN = "embedding"

_BATCH_BYTES = 32 << 20
_FEW_ROWS = 1 << 16


class Parquet:
    """Reads forward in batches, as a row group may hold a million rows.

    Args:
        path: of the file.
        modality: by which the column of ids is understood; "" for any.
    """

    _BATCH_ROWS = 4096

    def __init__(self, path: Path, modality: str = "") -> None:
        self.path = path
        self._modality = modality
        self.unread: tuple[str, ...] = ()
        """Names of columns other than that of the embeddings."""
        self._start = 0
        self._batch = np.zeros((0, 0), np.float32)
        self._batches: Iterator[Any] = iter(())
        pa, parquet = pyarrow_of(path)
        with reading(path):
            sizes = declared_sizes(path, COLUMN)
            check_rows(path, sizes.n_rows)
            self._file = parquet.ParquetFile(path, memory_map=True)
            self.shape = self._open(pa, sizes)

    def _open(self, pa: Any, sizes: DeclaredSizes) -> tuple[int, int]:
        """Hold what the file declares against its size, and return the table's shape."""
        path, schema = self.path, self._file.schema_arrow
        if COLUMN not in schema.names:
            raise DataError(
                f"no column 'embedding' in '{path}'",
                why=f"its columns: {', '.join(schema.names) or 'none'}",
                fix="rename the column that holds the vectors to 'embedding'",
                path=str(path),
            )
        kind = schema.field(COLUMN).type
        self.unread = tuple(name for name in schema.names if name != COLUMN)
        is_list = any(
            test(kind)
            for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        )
        if not is_list:
            raise not_rows(path, f"the column 'embedding' is {kind}, not a list of floats")
        is_float = pa.types.is_floating(kind.value_type)
        n = self._file.metadata.num_rows
        groups = [self._file.metadata.row_group(g) for g in range(self._file.num_row_groups)]
        self._group_starts = np.cumsum([0] + [group.num_rows for group in groups])
        if n < 0 or n != int(self._group_starts[-1]) or (np.diff(self._group_starts) < 0).any():
            raise unreadable(path, f"it declares {n} rows, its groups {self._group_starts[-1]}")
        item_bytes = kind.value_type.bit_width // 8 if is_float else 8
        # Values as well as pages: a dictionary can repeat a value for a few bits.
        declared_bytes = max(sizes.values * item_bytes, sizes.unpacked_bytes)
        check_unpacked(path, declared_bytes, "its column 'embedding' declares this much")
        row_bytes = max(1, sizes.values // max(1, n)) * item_bytes
        self._batch_rows = max(1, min(self._BATCH_ROWS, _BATCH_BYTES // row_bytes))
        if n and is_float:
            self._seek(0)
        d = self._batch.shape[1] if is_float else 1
        return shape_of(path, (n, d), str(kind), is_float)

    def ids(self) -> list[Any] | None:
        """Return the column of ids, or None without one."""
        return read_id_column(self.path, self._modality, besides=(COLUMN,))

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Return the given rows, in the given order."""
        out = np.empty((len(rows), self.shape[1]), self._batch.dtype)
        # In the file's order, as it is only read forward.
        order = np.argsort(rows, kind="stable")
        done = 0
        while done < len(rows):
            row = int(rows[order[done]])
            if not self._start <= row < self._start + len(self._batch):
                self._seek(row)
            stop = int(np.searchsorted(rows[order], self._start + len(self._batch)))
            at = order[done:stop]
            out[at] = self._batch[rows[at] - self._start]
            done = stop
        return out

    def _seek(self, row: int) -> None:
        """Make the batch that holds ``row`` current, starting over only to go back or skip."""
        group = int(np.searchsorted(self._group_starts, row, side="right")) - 1
        first = int(self._group_starts[group])
        following = self._start + len(self._batch)
        with reading(self.path):
            if row < following or first > following or following == 0:
                self._batches = self._file.iter_batches(
                    self._batch_rows,
                    row_groups=range(group, self._file.num_row_groups),
                    columns=[COLUMN],
                )
                # Emptied, not dropped: its width is the one that all batches must have.
                self._start, self._batch = first, self._batch[:0]
            while row >= self._start + len(self._batch):
                self._start += len(self._batch)
                batch = next(self._batches, None)
                if batch is None:
                    raise unreadable(self.path, "it ends too early")
                self._batch = self._rows(batch.column(0))

    def _rows(self, column: Any) -> NDArray[Any]:
        import pyarrow.compute as pc

        if not len(column):
            return self._batch[:0]
        lengths = pc.list_value_length(column)
        widths = np.asarray(lengths.fill_null(-1), dtype=np.int64)
        d = self._batch.shape[1] or max(0, int(widths[0]))
        if (widths != d).any():
            row = int(np.argmax(widths != d))
            other = "null" if widths[row] < 0 else f"{widths[row]} wide, the first is {d} wide"
            raise DimensionMismatch(
                f"ragged embeddings in '{self.path}'",
                why=f"row {self._start + row} is {other}",
                fix="write rows of one width",
                path=str(self.path),
                row=self._start + row,
            )
        flat = pc.list_flatten(column)
        values = np.asarray(flat.to_numpy(zero_copy_only=False))  # a null becomes NaN
        return values.reshape(len(column), d)


def read_id_column(path: Path, modality: str, besides: tuple[str, ...] = ()) -> list[Any] | None:
    """Return the column of a parquet file that holds ids, or None if it has none.

    Args:
        path: of the file.
        modality: by which names are understood.
        besides: columns that hold something else.

    Raises:
        DataError: it is damaged, or it is unclear which column holds the ids.
        MissingError: pyarrow is not installed.
    """
    _, parquet = pyarrow_of(path)
    with reading(path):
        with parquet.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name not in besides]
            name = id_name(names, modality, f"'{path}'")
            if not name:
                return None
        sizes = declared_sizes(path, name)
        check_rows(path, max(sizes.n_rows, sizes.values))
        check_unpacked(path, sizes.unpacked_bytes, f"its column '{name}' declares this much")
        # What a dictionary repeats would be written out for every row; ids do not repeat.
        with parquet.ParquetFile(path, read_dictionary=[name]) as file:
            column = file.read(columns=[name]).column(name)
            if hasattr(column.type, "index_type") and column.null_count == 0:
                column = column.unify_dictionaries()
                n_different = len(column.chunk(0).dictionary) if column.num_chunks else 0
                if n_different < len(column):
                    check_unpacked(
                        path,
                        len(column) * (column.chunk(0).dictionary.nbytes // max(1, n_different)),
                        f"its column '{name}' repeats ids",
                    )
            ids: list[Any] = column.to_pylist()
    return ids


def check_rows(path: Path, n: int) -> None:
    """Hold the number of rows against the file: each has an id, or numbers, of its own.

    Raises:
        DataError: there are more than bytes.
    """
    size_bytes = path.stat().st_size
    if n > max(_FEW_ROWS, size_bytes):
        raise DataError(
            f"'{path}' unpacks to too much",
            why=f"it declares {n:,} rows in {size_bytes:,} bytes",
            fix="write it again; all rows may be the same",
            path=str(path),
        )


def pyarrow_of(path: Path) -> tuple[Any, Any]:
    """Return pyarrow and its parquet module.

    Raises:
        MissingError: it is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingError(
            f"cannot read '{path}'",
            why="pyarrow is not installed",
            fix=install_extra("parquet"),
            path=str(path),
        ) from None
    return pyarrow, parquet
