"""Captions in parquet files: which columns hold them, and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from reactions.core.addresses import Entry
from reactions.data.media_columns import class_names, named_classes
from reactions.data.parquet_rows import ParquetTable
from reactions.data.sources.caption_tables import caption_column, column_numbers, which_column
from reactions.data.sources.config import Source


def read_parquet(
    file: Entry, stream: BinaryIO, source: Source
) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield the id (None without a column of ids) and the captions of every row.

    Where the library ``datasets`` wrote that numbers stand for classes, their names take their
    place.

    Args:
        file: for messages.
        stream: its bytes, seekable.
        source: columns.

    Raises:
        DataError: it is damaged, lacks a column, or stands for more than its size allows.
        MissingError: pyarrow is not installed.
    """
    table = ParquetTable(file, stream)
    header = table.schema.names
    columns = column_numbers(file, header, source.columns)
    if not columns:
        if (number := caption_column(header)) is None:
            raise which_column(file, f"its columns: {', '.join(header) or 'none'}")
        columns = (number,)
    ids = () if source.id_column == "" else column_numbers(file, header, (source.id_column,))
    names = [header[i] for i in (*columns, *ids)]
    if len({*names}) < len({*columns, *ids}):
        raise table.unusable(f"several columns have the same name, '{names[0]}'")
    classes = {name: class_names(table.schema, name) for name in names[: len(columns)]}
    for values in table.rows(names):
        for name, labels in classes.items():
            if labels:
                values[name] = named_classes(values[name], labels)
        # ``names`` ends with the column of ids, if there is one.
        id_value = values[names[-1]] if ids else None
        yield id_value, [values[name] for name in names[: len(columns)]]
