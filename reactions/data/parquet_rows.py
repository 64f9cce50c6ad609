"""Rows of parquet files, in order; sizes are held against limits before anything is allocated.

A kilobyte of parquet may stand for gigabytes: pages that unpack to anything, one long value
that a dictionary or a run repeats a million times, values that each begin with all of the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.addresses import Entry, is_url
from reactions.core.errors import DataError, MissingError
from reactions.core.extras import install_extra
from reactions.core.transient import is_transient, run_again
from reactions.data.parquet_sizes import check_levels, page_sizes

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_BYTES = 1 << 28
"""What any file may unpack to; larger files to ``MOST_BYTES_PER_BYTE`` times their size."""
MOST_BYTES_PER_BYTE = 100

LEAST_ROWS = 1_000_000
"""Rows that any file may have; larger files ``MOST_ROWS_PER_BYTE`` times their size."""
MOST_ROWS_PER_BYTE = 8

_BATCH_ROWS = 4096
_BATCH_BYTES = 1 << 25
"""Rows that are unpacked together: so many, or about so large."""
_PREFIXED_ROWS = 16
"""Rows of a batch where each value may hold all of the one before it."""
_MOST_FIXED_BYTES = 1 << 12
_READ_TWICE_BYTES = 1 << 26
"""Of larger files elsewhere, the pages' own sizes are not looked at before they are read."""
_BUFFER_BYTES = 1 << 20


class ParquetTable:
    """A parquet file, open for reading columns of it in order.

    Args:
        file: for messages, and its size.
        stream: its bytes, seekable; open for as long as rows are read.
        holds: what is read from it, in the plural, for messages.

    Attributes:
        schema: Arrow's.
        group_rows: how many rows each row group has.

    Raises:
        DataError: it is damaged.
        MissingError: pyarrow is not installed.
    """

    def __init__(self, file: Entry, stream: BinaryIO, holds: str = "captions") -> None:
        try:
            from pyarrow import parquet
        except ImportError:
            raise MissingError(
                f"cannot read '{file.url}'",
                why="pyarrow is not installed",
                fix=install_extra("parquet"),
                path=file.url,
            ) from None
        self._file = file
        self._stream = stream
        self._holds = holds
        self._checked: set[str] = set()
        with self._explained():
            self._table = parquet.ParquetFile(stream)
            self.schema: pa.Schema = self._table.schema_arrow
            stored = [self._table.schema.column(i) for i in range(len(self._table.schema.names))]
            levels = [(c.max_repetition_level, c.max_definition_level) for c in stored]
            # Before any row group's metadata are asked for: Arrow aborts on damaged ones.
            check_levels(stream, levels)
            metadata = self._table.metadata
            groups = range(metadata.num_row_groups)
            self.group_rows = [int(metadata.row_group(group).num_rows) for group in groups]

    def rows(
        self, names: Sequence[str], groups: Iterable[int] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the values of some columns, row by row; of a batch at a time are they held.

        Args:
            names: of columns at the top of the schema.
            groups: numbers of the row groups, rising; all by default.

        Raises:
            DataError: it is damaged, or stands for more than its size allows.
        """
        names = list(dict.fromkeys(names))
        with self._explained():
            leaves = self._leaves(names)
            self._check(names, leaves)
            budget = self._most_bytes
            for row in self._values(names, leaves, groups):
                budget -= sum(map(_size, row.values()))
                if budget < 0:
                    raise _too_large(self._file, f"its {self._holds} are far longer than it is")
                yield row

    @property
    def _most_bytes(self) -> int:
        return max(LEAST_BYTES, MOST_BYTES_PER_BYTE * self._file.size_bytes)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (OSError, ValueError, pa.ArrowException) as error:
            if is_transient(error):
                raise run_again(self._file.url, error) from error
            raise self.unusable(" ".join(str(error).split())) from error

    def unusable(self, why: str) -> DataError:
        """Return the error for a file that cannot be read."""
        return DataError(
            f"cannot read {self._holds} from '{self._file.url}'",
            why=why,
            fix="copy it again",
            path=self._file.url,
        )

    def _leaves(self, names: Sequence[str]) -> list[int]:
        """Return the columns as they are stored that make up those of the names."""
        roots = tuple(f"{name}." for name in names)
        schema = self._table.schema
        paths = [schema.column(i).path for i in range(len(schema.names))]
        return [i for i, path in enumerate(paths) if path in names or path.startswith(roots)]

    def _check(self, names: Sequence[str], leaves: Sequence[int]) -> None:
        if self._checked.issuperset(names):
            return
        self._check_sizes(leaves)
        if not is_url(self._file.url) or self._file.size_bytes <= _READ_TWICE_BYTES:
            self._check_pages(leaves)
        self._checked.update(names)

    def _check_sizes(self, leaves: Sequence[int]) -> None:
        """Hold what a file says of itself against its size.

        Raises:
            DataError: it says too much.
        """
        file, metadata = self._file, self._table.metadata
        most_rows = max(LEAST_ROWS, MOST_ROWS_PER_BYTE * file.size_bytes)
        if not 0 <= metadata.num_rows <= most_rows:
            raise _too_large(file, f"it says that it has {metadata.num_rows:,} rows")
        for leaf in leaves:
            stored = self._table.schema.column(leaf)
            if stored.physical_type == "FIXED_LEN_BYTE_ARRAY" and stored.length > _MOST_FIXED_BYTES:
                raise _too_large(file, f"each value of '{stored.path}' has {stored.length:,} bytes")
            n_values = 0
            for group in range(metadata.num_row_groups):
                chunk = metadata.row_group(group).column(leaf)
                if not 0 <= chunk.total_uncompressed_size <= self._most_bytes:
                    size = chunk.total_uncompressed_size
                    raise _too_large(file, f"'{stored.path}' unpacks to {size:,} bytes")
                n_values += chunk.num_values
                if not 0 <= n_values <= most_rows:
                    raise _too_large(file, f"'{stored.path}' says that it has {n_values:,} values")

    def _check_pages(self, leaves: Sequence[int]) -> None:
        """Hold what each page says of itself against the file's size; the footer may say less.

        Raises:
            DataError: it says too much.
            ValueError: it cannot be read.
        """
        for group in range(self._table.metadata.num_row_groups):
            for leaf in leaves:
                chunk = self._table.metadata.row_group(group).column(leaf)
                start = chunk.data_page_offset
                if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                    start = min(start, chunk.dictionary_page_offset)
                budget = self._most_bytes
                for size in page_sizes(self._stream, start, chunk.total_compressed_size):
                    if (budget := budget - size) < 0:
                        raise _too_large(
                            self._file, f"a page of '{chunk.path_in_schema}' unpacks to {size:,}"
                        )

    def _values(
        self, names: list[str], leaves: Sequence[int], groups: Iterable[int] | None
    ) -> Iterator[dict[str, Any]]:
        """Yield every row's values by column; equal ones share their memory where they can."""
        from pyarrow import parquet

        metadata = self._table.metadata
        encodings: dict[str, set[str]] = {}
        for group in range(metadata.num_row_groups):
            for leaf in leaves:
                chunk = metadata.row_group(group).column(leaf)
                if chunk.physical_type == "BYTE_ARRAY":
                    path = self._table.schema.column(leaf).path
                    encodings.setdefault(path, set()).update(chunk.encodings)
        # Left as dictionaries, so that a value which a page repeats a million times is held once.
        dictionaries = {"RLE_DICTIONARY", "PLAIN_DICTIONARY"}
        # Within structs Arrow cannot: there batches are small enough for any repetition.
        repeated = [p for p, used in encodings.items() if p in names and dictionaries & used]
        prefixed = any("DELTA_BYTE_ARRAY" in used for used in encodings.values())
        most_rows = _PREFIXED_ROWS if prefixed else _BATCH_ROWS
        self._stream.seek(0)
        # With a buffer, and nothing fetched ahead, a column is read page by page, not as a whole.
        packed = parquet.ParquetFile(
            self._stream,
            read_dictionary=repeated,
            buffer_size=_BUFFER_BYTES,
            pre_buffer=False,
        )
        chosen_groups = range(metadata.num_row_groups) if groups is None else groups
        for n_rows, alike in groupby(
            chosen_groups, lambda g: self._batch_rows(g, leaves, most_rows)
        ):
            for batch in packed.iter_batches(n_rows, columns=names, row_groups=list(alike)):
                columns = []
                for array in batch.columns:
                    if (size := _unpacked_bytes(array)) > self._most_bytes:
                        raise _too_large(
                            self._file, f"{len(array)} rows of it unpack to {size:,} bytes"
                        )
                    columns.append(_to_python(array))
                for row in zip(*columns, strict=True):
                    yield dict(zip(names, row, strict=True))

    def _batch_rows(self, group: int, leaves: Sequence[int], most: int) -> int:
        """Return how many rows of a group are unpacked together."""
        record = self._table.metadata.row_group(group)
        size_bytes: int = 0
        for leaf in leaves:
            chunk = record.column(leaf)
            size_bytes += int(chunk.total_uncompressed_size)
            nested = "." in self._table.schema.column(leaf).path
            if nested and chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(chunk.dictionary_page_offset, chunk.data_page_offset)
                # The longest value that the dictionary may repeat in every row.
                longest = next(page_sizes(self._stream, start, chunk.total_compressed_size), 0)
                most = min(most, LEAST_BYTES // max(1, longest))
        fitting = _BATCH_BYTES * max(1, int(record.num_rows)) // max(1, size_bytes)
        return max(1, min(most, fitting))


def _unpacked_bytes(array: pa.Array) -> int:
    """Return about how many bytes an array's values take once each has its own."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        texts = array.dictionary.type
        if not (pa.types.is_string(texts) or pa.types.is_binary(texts)):
            return int(array.nbytes)
        lengths = pc.binary_length(array.dictionary).fill_null(0).cast(pa.int64())
        return int(pc.sum(lengths.take(array.indices.drop_null())).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(_unpacked_bytes(child) for child in array.flatten())
    if pa.types.is_nested(array.type) and hasattr(array, "flatten"):
        return _unpacked_bytes(array.flatten())
    return int(array.nbytes)


def _to_python(array: pa.Array) -> Iterable[Any]:
    import pyarrow as pa

    if pa.types.is_struct(array.type):
        # One by one: a struct's values do not share their memory once they are Python's.
        return (value.as_py() for value in array)
    if not pa.types.is_dictionary(array.type):
        return list(array.to_pylist())
    distinct = array.dictionary.to_pylist()
    return [None if i is None else distinct[i] for i in array.indices.to_pylist()]


def _size(value: Any) -> int:
    """Return about how many bytes a value takes in memory."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return 64 + sum(map(_size, value.values()))
    return 64 + sum(map(_size, value)) if isinstance(value, list) else 8


def _too_large(file: Entry, why: str) -> DataError:
    return DataError(
        f"'{file.url}' stands for more than its size allows",
        why=f"it has {file.size_bytes:,} bytes, but {why}",
        fix="write it anew, as csv or jsonl; if it comes from someone else, do not trust it",
        path=file.url,
    )
