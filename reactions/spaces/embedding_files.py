"""One file of embeddings, read by rows without loading it: npy, safetensors or parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reactions.errors import DataError, DimensionMismatch, MissingError

SUFFIXES = (".npy", ".parquet", ".safetensors")


class EmbeddingFile(Protocol):
    """Rows of embeddings on disk.

    Attributes:
        path: the file.
        shape: (n, d), both at least 1.
    """

    path: Path
    shape: tuple[int, int]

    def ids(self) -> list[Any] | None:
        """Return the ids stored inside the file, or None where it has none."""

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Return the given rows, in the given order: (len(rows), d) float."""


def open_embeddings(path: Path) -> EmbeddingFile:
    """Open a file of embeddings; only its header is read.

    Raises:
        DataError: it is damaged, empty, or holds no 2-d array of floats.
        MissingError: it needs an optional package.
    """
    if path.suffix == ".npy":
        return _Npy(path)
    if path.suffix == ".safetensors":
        return _Safetensors(path)
    return _Parquet(path)


class _Npy:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Never pickles: an object array is a program, and ragged besides.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            raise _unreadable(path, error) from error
        self.shape = _shape(path, array.shape, array.dtype.name, array.dtype.kind == "f")
        self._array = array

    def ids(self) -> list[Any] | None:
        return None

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        return _gather(self._array, rows)


_SAFETENSORS_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class _Safetensors:
    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            with safe_open(path, "np") as stored:  # checks the header against the file
                name = self._pick(list(stored.keys()))
                part = stored.get_slice(name)
                shape, dtype = tuple(part.get_shape()), part.get_dtype()
                self._metadata = dict(stored.metadata() or {})
        except (OSError, SafetensorError, ValueError) as error:
            raise _unreadable(path, error) from error
        self.shape = _shape(path, shape, dtype, dtype in _SAFETENSORS_DTYPES)
        self._bfloat16 = dtype == "BF16"
        with path.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            begin, _ = json.loads(stream.read(header_bytes))[name]["data_offsets"]
        # Mapped by ourselves: the library slices single ranges only, and no bfloat16.
        self._array = np.memmap(
            path, _SAFETENSORS_DTYPES[dtype], "r", offset=8 + header_bytes + begin, shape=self.shape
        )

    def _pick(self, names: list[str]) -> str:
        if len(names) == 1:
            return names[0]
        known = [n for n in (self.path.stem, "embeddings", "embedding") if n in names]
        if known:
            return known[0]
        raise DataError(
            f"cannot tell which tensor of '{self.path}' holds the embeddings",
            why=f"it has {len(names)}: {', '.join(sorted(names)[:5])}" if names else "it has none",
            fix="keep one tensor, or name it 'embeddings'",
            path=str(self.path),
        )

    def ids(self) -> list[Any] | None:
        if "ids" not in self._metadata:
            return None
        return parse_ids(self._metadata["ids"], f"the metadata of '{self.path}'")

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        found = _gather(self._array, rows)
        if self._bfloat16:  # the upper half of a float32
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found


class _Parquet:
    """Reads forward in batches, for a row group may hold a million rows."""

    _BATCH_ROWS = 4096

    def __init__(self, path: Path) -> None:
        pa, parquet = _pyarrow(path)
        self.path = path
        self._arrow_error = pa.ArrowException
        try:
            self._file = parquet.ParquetFile(path, memory_map=True)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
        schema = self._file.schema_arrow
        if "embedding" not in schema.names:
            raise DataError(
                f"no column 'embedding' in '{path}'",
                why=f"its columns: {', '.join(schema.names) or 'none'}",
                fix="rename the column that holds the vectors to 'embedding'",
                path=str(path),
            )
        kind = schema.field("embedding").type
        is_list = any(
            test(kind)
            for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        )
        if not is_list:
            raise _not_rows(path, f"the column 'embedding' is {kind}, not a list of floats")
        n = self._file.metadata.num_rows
        groups = [self._file.metadata.row_group(g) for g in range(self._file.num_row_groups)]
        self._group_starts = np.cumsum([0] + [group.num_rows for group in groups])
        self._start = 0
        self._batch = np.zeros((0, 0), np.float32)
        self._batches: Iterator[Any] = iter(())
        d = 0
        if n:
            self._seek(0)
            d = self._batch.shape[1]
        self.shape = _shape(path, (n, d), str(kind), pa.types.is_floating(kind.value_type))

    def ids(self) -> list[Any] | None:
        if "id" not in self._file.schema_arrow.names:
            return None
        try:
            found: list[Any] = self._file.read(columns=["id"]).column("id").to_pylist()
        except (OSError, self._arrow_error) as error:
            raise _unreadable(self.path, error) from error
        return found

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        out = np.empty((len(rows), self.shape[1]), self._batch.dtype)
        order = np.argsort(rows, kind="stable")
        done = 0
        while done < len(rows):
            row = int(rows[order[done]])
            if not self._start <= row < self._start + len(self._batch):
                self._seek(row)
            stop = int(np.searchsorted(rows[order], self._start + len(self._batch)))
            here = order[done:stop]
            out[here] = self._batch[rows[here] - self._start]
            done = stop
        return out

    def _seek(self, row: int) -> None:
        """Make the batch that holds ``row`` current, starting over only to go back or skip."""
        group = int(np.searchsorted(self._group_starts, row, side="right")) - 1
        first = int(self._group_starts[group])
        following = self._start + len(self._batch)
        if row < following or first > following or following == 0:
            self._batches = self._file.iter_batches(
                self._BATCH_ROWS,
                row_groups=range(group, self._file.num_row_groups),
                columns=["embedding"],
            )
            self._start, self._batch = first, self._batch[:0]
        while row >= self._start + len(self._batch):
            self._start += len(self._batch)
            try:
                batch = next(self._batches)
            except StopIteration:
                raise _unreadable(self.path, ValueError("it ends too early")) from None
            except (OSError, self._arrow_error) as error:
                raise _unreadable(self.path, error) from error
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
            found = "null" if widths[row] < 0 else f"{widths[row]} wide, the first is {d} wide"
            raise DimensionMismatch(
                f"ragged embeddings in '{self.path}'",
                why=f"row {self._start + row} is {found}",
                fix="write rows of one width",
                path=str(self.path),
                row=self._start + row,
            )
        flat = pc.list_flatten(column)
        values = np.asarray(flat.to_numpy(zero_copy_only=False))  # a null becomes NaN
        return values.reshape(len(column), d)


def read_column(path: Path, names: Sequence[str]) -> list[Any] | None:
    """Return the first of some columns that a parquet file has, or None if it has none.

    Raises:
        DataError: it is damaged.
        MissingError: pyarrow is not installed.
    """
    pa, parquet = _pyarrow(path)
    try:
        with parquet.ParquetFile(path) as file:
            name = next((name for name in names if name in file.schema_arrow.names), None)
            if name is None:
                return None
            found: list[Any] = file.read(columns=[name]).column(name).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    return found


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingError(
            f"cannot read '{path}'",
            why="pyarrow is not installed",
            fix="pip install 'molspace[parquet]'",
            path=str(path),
        ) from None
    return pyarrow, parquet


def read_ids(path: Path) -> list[Any]:
    """Read a file of ids: a JSON list, or one a line.

    Raises:
        DataError: it cannot be read, or is no JSON list.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read '{path}'",
            why=" ".join(str(error).split()),
            fix="write the ids in UTF-8, one a line, or as a JSON list",
            path=str(path),
        ) from error
    if path.suffix == ".json":
        return parse_ids(text, f"'{path}'")
    return text.removesuffix("\n").split("\n")  # not splitlines: ids may hold odd separators


def parse_ids(text: str, where: str) -> list[Any]:
    """Parse a JSON list of ids.

    Args:
        text: the JSON.
        where: what errors call it.

    Raises:
        DataError: it is no JSON list.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_ids(where, str(error)) from error
    if not isinstance(found, list):
        raise _no_ids(where, f"it holds a JSON {type(found).__name__}")
    return found


def _no_ids(where: str, why: str) -> DataError:
    return DataError(
        f"{where} holds no JSON list of ids", why=why, fix='write one, such as ["a", "b"]'
    )


def _gather(array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    first, n = (int(rows[0]), len(rows)) if len(rows) else (0, 0)
    if np.array_equal(rows, np.arange(first, first + n)):
        return np.asarray(array[first : first + n])  # a view of the mapped pages
    return np.asarray(array[rows])


def _shape(path: Path, shape: Sequence[int], dtype: str, is_float: bool) -> tuple[int, int]:
    if len(shape) != 2:
        raise _not_rows(path, f"its shape is {tuple(shape)}")
    n, d = shape
    if n == 0 or d == 0:
        raise DataError(
            f"no embeddings in '{path}'",
            why=f"its shape is {(n, d)}",
            fix="write it again, or remove it if this modality has none",
            path=str(path),
        )
    if not is_float:
        raise _not_rows(path, f"its elements are {dtype}")
    return int(n), int(d)


def _not_rows(path: Path, why: str) -> DataError:
    return DimensionMismatch(
        f"'{path}' is no table of embeddings",
        why=why,
        fix="store one row of floats an item: an (n, dim) array",
        path=str(path),
    )


def _unreadable(path: Path, error: Exception) -> DataError:
    why = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"cannot read the embeddings '{path}'",
        why=why,
        fix="copy or write it again: it is damaged, or holds more than plain numbers",
        path=str(path),
    )
