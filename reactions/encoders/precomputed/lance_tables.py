"""Lance tables that ``infer`` wrote, read by rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError
from reactions.core.lance import lance_files, load_lance
from reactions.encoders.precomputed.item_groups import (
    Groups,
    ItemRows,
    add_record,
    bad_line,
    settled,
)
from reactions.encoders.precomputed.tables import (
    FREE_BYTES,
    MAX_RATIO,
    not_rows,
    reading,
    shape_of,
    unreadable,
)

COLUMN = "embedding"


class LanceTable:
    """The embeddings of a table.

    Args:
        path: its folder.

    Raises:
        MissingError: pylance is not installed.
        DataError: it is damaged, holds something else, or names files outside its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _reading(path):
            self._table = _opened(path)
            kind = self._table.schema.field(COLUMN).type
            n = self._table.count_rows()
        import pyarrow as pa

        if not pa.types.is_fixed_size_list(kind):
            raise not_rows(path, f"the column '{COLUMN}' is {kind}, not a fixed-size list")
        is_float = pa.types.is_floating(kind.value_type)
        self.shape = shape_of(path, (n, kind.list_size), str(kind), is_float)
        size_bytes = sum(file.stat().st_size for file in lance_files(path))
        declared_bytes = n * kind.list_size * (kind.value_type.bit_width // 8)
        if declared_bytes > max(FREE_BYTES, MAX_RATIO * size_bytes):
            raise DataError(
                f"'{path}' unpacks to too much",
                why=f"it declares {declared_bytes:,} bytes of embeddings in {size_bytes:,}",
                fix="write it again; all rows may be the same",
                path=str(path),
            )

    def ids(self) -> list[Any] | None:
        """Return None: the ids were read with the modalities."""
        return None

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Return the given rows, in the given order."""
        with _reading(self.path):
            column = self._table.take(rows.tolist(), columns=[COLUMN]).column(COLUMN)
            flat = column.combine_chunks().flatten()
            values = np.asarray(flat.to_numpy(zero_copy_only=False))
        return values.reshape(len(rows), self.shape[1])


def lance_facts(path: Path) -> dict[str, Any]:
    """Return what a table's schema says of itself; empty for others' tables."""
    with _reading(path):
        metadata = _opened(path).schema.metadata or {}
    try:
        facts = json.loads(metadata.get(b"molspace", b"{}"))
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


@lru_cache(maxsize=8)
def lance_items(path: Path, *stamp: int) -> Groups:
    """Return the rows of a table by modality.

    Args:
        path: its folder.
        stamp: what changes when its files do, by which its rows are remembered.

    Raises:
        MissingError: pylance is not installed.
        DataError: it is damaged, or ``infer`` did not write it.
    """
    columns = ["id", "modality", "numbered"]
    groups: dict[str, ItemRows] = {}
    row = 0
    with _reading(path):
        table = _opened(path)
        missing = [name for name in (*columns, COLUMN) if name not in table.schema.names]
        if missing:
            raise DataError(
                f"'{path}' is not a table that molspace infer wrote",
                why=f"it has no column {', '.join(missing)}",
                fix="columns id, modality, numbered and embedding, or another format",
                path=str(path),
            )
        for batch in table.to_batches(columns=columns):
            for record in batch.to_pylist():
                add_record(groups, path, record, row)
                row += 1
    if not row:
        raise bad_line(path, 0, "it is empty")
    return settled(groups)


def _opened(path: Path) -> Any:
    """Open a table all of whose files lie in its folder: one may name others, anywhere."""
    lance = load_lance(f"cannot read '{path}'")
    table = lance.dataset(str(path))
    elsewhere = [
        file.path
        for fragment in table.get_fragments()
        for file in fragment.data_files()
        if getattr(file, "base_id", None) is not None or not _is_own(path, file.path)
    ]
    if elsewhere:
        raise DataError(
            f"'{path}' names files outside its folder",
            why=f"such as '{elsewhere[0]}'",
            fix="copy the table as a whole: lance.write_dataset(lance.dataset(OLD), NEW)",
            path=str(path),
        )
    return table


def _is_own(path: Path, name: str) -> bool:
    data = (path / "data").resolve()
    return (data / name).resolve().is_relative_to(data)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever Lance raises over a damaged table into one DataError, its panics as well."""
    try:
        with reading(path):
            yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # of Rust: no Exception
            raise unreadable(path, str(error)) from error
        raise
