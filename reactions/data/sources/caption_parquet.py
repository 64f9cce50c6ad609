"""Captions in parquet files, whose sizes are held against limits before anything is allocated.

A kilobyte of parquet may stand for gigabytes: pages that unpack to anything, one long value
that a dictionary or a run repeats a million times, values that each begin with all of the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.addresses import Entry, is_url
from reactions.core.errors import DataError, MissingError
from reactions.core.extras import install_extra
from reactions.core.transient import is_transient, run_again
from reactions.data.parquet_sizes import check_levels, page_sizes
from reactions.data.sources.caption_tables import caption_column, column_numbers, which_column
from reactions.data.sources.config import Source

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

LEAST_BYTES = 1 << 28
"""What any file may unpack to; larger files to ``MOST_BYTES_PER_BYTE`` times their size."""
MOST_BYTES_PER_BYTE = 100

LEAST_ROWS = 1_000_000
"""Rows that any file may have; larger files ``MOST_ROWS_PER_BYTE`` times their size."""
MOST_ROWS_PER_BYTE = 8

_BATCH_ROWS = 4096
_PREFIXED_ROWS = 16
"""Rows of a batch where each value may hold all of the one before it."""
_MOST_FIXED_BYTES = 1 << 12
_READ_TWICE_BYTES = 1 << 26
"""Of larger files elsewhere, the pages' own sizes are not looked at before they are read."""


def read_parquet(
    file: Entry, stream: BinaryIO, source: Source
) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield the id (None without a column of ids) and the captions of every row.

    Args:
        file: for messages.
        stream: its bytes, seekable.
        source: columns.

    Raises:
        DataError: it is damaged, lacks a column, or stands for more than its size allows.
        MissingError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingError(
            f"cannot read '{file.url}'",
            why="pyarrow is not installed",
            fix=install_extra("parquet"),
            path=file.url,
        ) from None
    try:
        table = parquet.ParquetFile(stream)
        header = table.schema_arrow.names
        columns = column_numbers(file, header, source.columns)
        if not columns:
            if (number := caption_column(header)) is None:
                raise which_column(file, f"its columns: {', '.join(header) or 'none'}")
            columns = (number,)
        ids = () if source.id_column == "" else column_numbers(file, header, (source.id_column,))
        names = [header[i] for i in (*columns, *ids)]
        if len({*names}) < len({*columns, *ids}):
            raise _unusable(file, f"several columns have the same name, '{names[0]}'")
        leaves = _leaves(table, names)
        stored = [table.schema.column(i) for i in range(len(table.schema.names))]
        levels = [(column.max_repetition_level, column.max_definition_level) for column in stored]
        # Before any row group's metadata are asked for: Arrow aborts the process on damaged ones.
        check_levels(stream, levels)
        _check_sizes(file, table, leaves)
        if not is_url(file.url) or file.size_bytes <= _READ_TWICE_BYTES:
            _check_pages(file, table, leaves, stream)
        budget = max(LEAST_BYTES, MOST_BYTES_PER_BYTE * file.size_bytes)
        for values in _values(table, stream, list(dict.fromkeys(names)), leaves, file):
            budget -= sum(map(_size, values.values()))
            if budget < 0:
                raise _too_large(file, "its texts are far longer than it is")
            # ``names`` ends with the column of ids, if there is one.
            id_value = values[names[-1]] if ids else None
            yield id_value, [values[name] for name in names[: len(columns)]]
    except (OSError, ValueError, pa.ArrowException) as error:
        if is_transient(error):
            raise run_again(file.url, error) from error
        raise _unusable(file, " ".join(str(error).split())) from error


def _leaves(table: parquet.ParquetFile, names: Sequence[str]) -> list[int]:
    """Return the columns as they are stored that make up those of the names."""
    roots = tuple(f"{name}." for name in names)
    paths = [table.schema.column(i).path for i in range(len(table.schema.names))]
    return [i for i, path in enumerate(paths) if path in names or path.startswith(roots)]


def _check_sizes(file: Entry, table: parquet.ParquetFile, leaves: Sequence[int]) -> None:
    """Hold what a file says of itself against its size.

    Raises:
        DataError: it says too much.
    """
    most_bytes = max(LEAST_BYTES, MOST_BYTES_PER_BYTE * file.size_bytes)
    most_rows = max(LEAST_ROWS, MOST_ROWS_PER_BYTE * file.size_bytes)
    metadata = table.metadata
    if not 0 <= metadata.num_rows <= most_rows:
        raise _too_large(file, f"it says that it has {metadata.num_rows:,} rows")
    for leaf in leaves:
        stored = table.schema.column(leaf)
        if stored.physical_type == "FIXED_LEN_BYTE_ARRAY" and stored.length > _MOST_FIXED_BYTES:
            raise _too_large(file, f"each value of '{stored.path}' has {stored.length:,} bytes")
        n_values = 0
        for group in range(metadata.num_row_groups):
            chunk = metadata.row_group(group).column(leaf)
            if not 0 <= chunk.total_uncompressed_size <= most_bytes:
                size = chunk.total_uncompressed_size
                raise _too_large(file, f"'{stored.path}' unpacks to {size:,} bytes")
            n_values += chunk.num_values
            if not 0 <= n_values <= most_rows:
                raise _too_large(file, f"'{stored.path}' says that it has {n_values:,} values")


def _check_pages(
    file: Entry, table: parquet.ParquetFile, leaves: Sequence[int], stream: BinaryIO
) -> None:
    """Hold what each page says of itself against the file's size; the footer may say less.

    Raises:
        DataError: it says too much.
        ValueError: it cannot be read.
    """
    most_bytes = max(LEAST_BYTES, MOST_BYTES_PER_BYTE * file.size_bytes)
    for group in range(table.metadata.num_row_groups):
        for leaf in leaves:
            chunk = table.metadata.row_group(group).column(leaf)
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            budget = most_bytes
            for size in page_sizes(stream, start, chunk.total_compressed_size):
                if (budget := budget - size) < 0:
                    raise _too_large(
                        file, f"a page of '{chunk.path_in_schema}' unpacks to {size:,}"
                    )


def _values(
    table: parquet.ParquetFile,
    stream: BinaryIO,
    names: list[str],
    leaves: Sequence[int],
    file: Entry,
) -> Iterator[dict[str, Any]]:
    """Yield the values of every row, by column; equal ones share their memory where they can."""
    from pyarrow import parquet

    encodings: dict[str, set[str]] = {}
    for group in range(table.metadata.num_row_groups):
        for leaf in leaves:
            chunk = table.metadata.row_group(group).column(leaf)
            if chunk.physical_type == "BYTE_ARRAY":
                path = table.schema.column(leaf).path
                encodings.setdefault(path, set()).update(chunk.encodings)
    # Left as dictionaries, so that a value which a page repeats a million times is held once.
    repeated = [p for p, used in encodings.items() if {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & used]
    prefixed = any("DELTA_BYTE_ARRAY" in used for used in encodings.values())
    stream.seek(0)
    packed = parquet.ParquetFile(stream, read_dictionary=repeated)
    budget = max(LEAST_BYTES, MOST_BYTES_PER_BYTE * file.size_bytes)
    n_rows = _PREFIXED_ROWS if prefixed else _BATCH_ROWS
    for batch in packed.iter_batches(n_rows, columns=names):
        columns = []
        for array in batch.columns:
            if (size := _unpacked_bytes(array)) > budget:
                raise _too_large(file, f"{len(array)} rows of it unpack to {size:,} bytes")
            columns.append(_to_python(array))
        for row in zip(*columns, strict=True):
            yield dict(zip(names, row, strict=True))


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


def _to_python(array: pa.Array) -> list[Any]:
    import pyarrow as pa

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


def _unusable(file: Entry, why: str) -> DataError:
    return DataError(
        f"cannot read captions from '{file.url}'", why=why, fix="copy it again", path=file.url
    )


def _too_large(file: Entry, why: str) -> DataError:
    return DataError(
        f"'{file.url}' stands for more than its size allows",
        why=f"it has {file.size_bytes:,} bytes, but {why}",
        fix="write it anew, as csv or jsonl; if it comes from someone else, do not trust it",
        path=file.url,
    )
