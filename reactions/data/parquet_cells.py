"""Media that are fields of parquet files, read when they are decoded.

A field cannot be read alone: its row group is unpacked from the start. So the fields that were
unpacked on the way are kept, those of a few row groups at a time, in memory up to a limit and in
a temporary file beyond it.
"""

from __future__ import annotations

import atexit
import contextlib
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np

from reactions.core.errors import DataError
from reactions.core.hashing import bytes_digest
from reactions.core.storage import Blob, find, open_binary
from reactions.core.transient import run_again
from reactions.data.parquet_rows import ParquetTable

_HELD_BYTES: Final = 1 << 26
"""What is kept of a row group in memory; more goes to a temporary file."""

_GROUPS: Final = 4
"""Row groups that are kept: the last ones used, of any file and column."""

_FILES: Final = 8


@dataclass(frozen=True, slots=True)
class ParquetCell(Blob):
    """Encoded media in a row of a parquet file.

    Attributes:
        row: in the file, from 0.
        column: its name: of ``{bytes, path}`` structs, or of bytes.
    """

    row: int = 0
    column: str = ""

    def __str__(self) -> str:
        return f"{self.url}:{self.row + 1}"

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            MissingError: the file is gone, or pyarrow is not installed.
            DataError: it cannot be read, or has changed.
        """
        data = _KEPT.read(self.url, self.column, self.row)
        if self.size_bytes not in (None, len(data)) or (
            self.tag and self.tag != f"file:{bytes_digest(data)}"
        ):
            _KEPT.forget(self.url)
            raise _changed(self)
        return data


def encoded_bytes(value: Any) -> bytes:
    """Return the bytes of a field that holds media; b"" where it holds none."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return value if isinstance(value, bytes) else b""


def forget_files() -> None:
    """Close the files that were read, and drop what was kept of them."""
    _KEPT.forget()


def _changed(cell: ParquetCell) -> DataError:
    return DataError(
        f"'{cell}' changed",
        why="it holds something else than when the file was scanned",
        fix="run it again: changed files are scanned anew",
        path=str(cell),
    )


class _File:
    """An open file; its row groups are unpacked one at a time."""

    def __init__(self, url: str, column: str) -> None:
        (entry,) = find(url)
        self.stream: BinaryIO = open_binary(url)
        self.lock = threading.Lock()
        self.column = column
        try:
            self.table = ParquetTable(entry, self.stream, "media")
            if column not in self.table.schema.names:
                raise self.table.unusable(f"its column '{column}' is gone")
        except BaseException:
            self.stream.close()
            raise
        # (groups + 1,) the row that each group begins with, and the number of rows.
        self.starts = np.cumsum([0, *self.table.group_rows])

    def close(self) -> None:
        with self.lock:
            self.stream.close()


class _Group:
    """The fields of one row group, unpacked as far as they were asked for."""

    def __init__(self, file: _File, number: int) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._rows: Iterator[dict[str, Any]] = file.table.rows([file.column], [number])
        self._n_rows = file.table.group_rows[number]
        self._ends: list[int] = []
        self._store = tempfile.SpooledTemporaryFile(_HELD_BYTES)  # noqa: SIM115

    def read(self, row: int) -> bytes | None:
        """Return a field; None if the group was closed meanwhile."""
        with self._lock:
            if self._store.closed:
                return None
            try:
                while len(self._ends) <= row:
                    self._add()
                begin = self._ends[row - 1] if row else 0
                self._store.seek(begin)
                return self._store.read(self._ends[row] - begin)
            except OSError as error:  # the disk of temporary files is full
                raise run_again(tempfile.gettempdir(), error) from error

    def _add(self) -> None:
        with self._file.lock:
            if self._file.stream.closed:
                raise self._file.table.unusable("it was closed")
            values = next(self._rows, None)
        if values is None:
            raise self._file.table.unusable("a row group ends too early")
        data = encoded_bytes(values[self._file.column])
        begin = self._ends[-1] if self._ends else 0
        self._store.seek(begin)
        self._store.write(data)
        self._ends.append(begin + len(data))
        if len(self._ends) == self._n_rows:
            self._rows = iter(())  # what was unpacked last is let go of

    def close(self) -> None:
        with self._lock:
            self._store.close()


class _Kept:
    """The files and row groups that were used last; its methods may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[str, str], _File] = OrderedDict()
        self._groups: OrderedDict[tuple[str, str, int], _Group] = OrderedDict()

    def read(self, url: str, column: str, row: int) -> bytes:
        while True:
            with self._lock:
                file = self._file(url, column)
                if not 0 <= row < int(file.starts[-1]):
                    raise file.table.unusable(f"it has no row {row + 1} any more")
                number = int(np.searchsorted(file.starts, row, side="right")) - 1
                group = self._group(file, url, number)
            data = group.read(row - int(file.starts[number]))
            if data is not None:
                return data

    def forget(self, url: str = "") -> None:
        with self._lock:
            for key in [k for k in self._files if not url or k[0] == url]:
                self._drop(key)

    def _file(self, url: str, column: str) -> _File:
        key = (url, column)
        if key not in self._files:
            self._files[key] = _File(url, column)
            while len(self._files) > _FILES:
                self._drop(next(iter(self._files)))
        self._files.move_to_end(key)
        return self._files[key]

    def _group(self, file: _File, url: str, number: int) -> _Group:
        key = (url, file.column, number)
        if key not in self._groups:
            self._groups[key] = _Group(file, number)
            while len(self._groups) > _GROUPS:
                self._groups.popitem(last=False)[1].close()
        self._groups.move_to_end(key)
        return self._groups[key]

    def _drop(self, key: tuple[str, str]) -> None:
        for group in [g for g in self._groups if g[:2] == key]:
            self._groups.pop(group).close()
        self._files.pop(key).close()


_KEPT = _Kept()


@atexit.register
def _at_exit() -> None:
    with contextlib.suppress(Exception):
        forget_files()
