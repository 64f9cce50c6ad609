"""Tables on disk: columns that are mapped into memory, for corpora of millions of items.

A table belongs to a name (what was asked) and a signature (the state of the files it was
made from). Tables are a cache: one that is damaged or cannot be written only costs time.
Columns that are mapped are pickled by the paths of their files.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import shutil
import time
import uuid
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_FORMAT = 1
_RECORD = "table.json"
_BLOCK_ROWS = 1 << 14


class Strings:
    """Strings packed end to end: 8 bytes a row besides their UTF-8.

    Args:
        data: uint8, all strings.
        ends: int64, where each one ends.
    """

    __slots__ = ("_data", "_ends")

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._data = data
        self._ends = ends

    @classmethod
    def pack(cls, texts: Iterable[str]) -> Strings:
        """Pack strings; lone surrogates, as in odd file names, survive."""
        data, ends = bytearray(), array("q")
        for text in texts:
            data += text.encode("utf-8", "surrogatepass")
            ends.append(len(data))
        return cls(np.frombuffer(data, np.uint8), np.frombuffer(ends, np.int64))

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK_ROWS):
            yield from self.between(start, min(len(self), start + _BLOCK_ROWS))

    def __getitem__(self, row: int) -> str:
        return self.between(row, row + 1)[0]

    def between(self, start: int, stop: int) -> list[str]:
        """Return rows ``start`` to ``stop`` (exclusive)."""
        first = int(self._ends[start - 1]) if start else 0
        ends = self._ends[start:stop].tolist()
        data = self._data[first : ends[-1] if ends else first].tobytes()
        begins = [first, *ends[:-1]]
        return [
            data[a - first : b - first].decode("utf-8", "surrogatepass")
            for a, b in zip(begins, ends, strict=True)
        ]

    def at(self, rows: NDArray[np.int64]) -> list[str]:
        """Return some rows, in the given order."""
        first, n = (int(rows[0]), len(rows)) if len(rows) else (0, 0)
        if n and int(rows[-1]) == first + n - 1:  # rows rise
            return self.between(first, first + n)
        return [self[row] for row in rows.tolist()]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each string."""
        return np.diff(self._ends, prepend=0)

    def __reduce__(self) -> tuple[Any, ...]:
        return _strings, (_reference(self._data), _reference(self._ends))

    @property
    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """What it is made of."""
        return self._data, self._ends


Column: TypeAlias = Strings | NDArray[Any]


@dataclass(frozen=True)
class ScanTable:
    """Columns of equal length, and a few facts.

    Attributes:
        columns: by name.
        facts: JSON-able.
    """

    columns: Mapping[str, Column] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __reduce__(self) -> tuple[Any, ...]:
        columns = {
            name: column if isinstance(column, Strings) else _reference(column)
            for name, column in self.columns.items()
        }
        return _table, (columns, dict(self.facts))

    def strings(self, name: str) -> Strings:
        """Return a column of strings."""
        column = self.columns[name]
        assert isinstance(column, Strings)
        return column

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a column of numbers."""
        column = self.columns[name]
        assert isinstance(column, np.ndarray)
        return column


class TableCache:
    """Tables in a folder, one for each name.

    Args:
        folder: where they are, made when first needed; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def get(self, name: str, signature: str) -> ScanTable | None:
        """Return the table of this name if it has this signature; "" never matches."""
        if self.folder is None or not signature:
            return None
        # Half a signature keeps names short; all of it is in the record, and compared there.
        path = self.folder / f"{name}-{signature[:32]}"
        table = _read(path, signature)
        if table is not None:
            with contextlib.suppress(OSError):
                os.utime(path)  # ``prune`` goes by the last use
        return table

    def latest(self, name: str) -> ScanTable | None:
        """Return the table of this name whatever its signature, to take over what still holds."""
        for path in self._versions(name):
            if (table := _read(path, None)) is not None:
                return table
        return None

    def put(self, name: str, signature: str, table: ScanTable) -> ScanTable:
        """Keep a table in the place of the name's earlier ones; "" keeps nothing.

        Returns:
            The table, mapped into memory where it was kept.
        """
        if self.folder is None or not signature:
            return table
        target = self.folder / f"{name}-{signature[:32]}"
        fresh = self.folder / f"tmp-{os.getpid()}-{uuid.uuid4().hex}"
        earlier = [path for path in self._versions(name) if path != target]
        try:
            fresh.mkdir(parents=True)
            _write(fresh, signature, table)
            if target.exists() and _read(target, signature) is None:
                shutil.rmtree(target, ignore_errors=True)  # damaged
            # Last and in one move: a table that a killed run left half written is never read.
            fresh.rename(target)
        except OSError:  # a full or read-only disk, or another process was faster
            shutil.rmtree(fresh, ignore_errors=True)
            return table
        # Processes that have mapped their columns keep them until they end (POSIX).
        for path in earlier:
            shutil.rmtree(path, ignore_errors=True)
        return _read(target, signature) or table

    def journal(self, name: str) -> Journal:
        """Return the journal of a table in the making."""
        return Journal(None if self.folder is None else self.folder / f"{name}.journal")

    def prune(self, *, older_than_s: float = 0.0, dry_run: bool = False) -> tuple[int, int]:
        """Remove tables, journals and lists that were not used for so long.

        Args:
            older_than_s: seconds since the last use; 0 removes everything.
            dry_run: only count.

        Returns:
            How many were, or would be, removed, and their bytes.
        """
        count = size_bytes = 0
        oldest = time.time() - older_than_s
        for path in sorted(self.folder.iterdir()) if self.folder and self.folder.is_dir() else ():
            with contextlib.suppress(OSError):  # removed meanwhile
                if path.stat().st_mtime > oldest:
                    continue
                files = [path] if path.is_file() else [p for p in path.iterdir() if p.is_file()]
                size_bytes += sum(file.stat().st_size for file in files)
                count += 1
                if not dry_run:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return count, size_bytes

    def _versions(self, name: str) -> list[Path]:
        return [] if self.folder is None else sorted(self.folder.glob(f"{name}-*"))


class Journal:
    """Rows noted one by one while a table is made, so that a killed run need not start over.

    Args:
        path: of the file; None notes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Iterator[list[Any]]:
        """Yield the rows noted so far; damaged lines are skipped."""
        if self._path is not None:
            with contextlib.suppress(OSError), self._path.open("rb") as stream:
                for line in stream:
                    with contextlib.suppress(ValueError):
                        row = json.loads(line)
                        if isinstance(row, list):
                            yield row

    def note(self, rows: Iterable[list[Any]]) -> None:
        """Append rows."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # The leading line break ends a line that a killed run left unfinished.
            with self._path.open("ab") as stream:
                stream.write(b"\n" + b"".join(f"{json.dumps(row)}\n".encode() for row in rows))

    def drop(self) -> None:
        """Forget everything."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def _write(folder: Path, signature: str, table: ScanTable) -> None:
    kinds = {}
    for name, column in table.columns.items():
        if isinstance(column, Strings):
            kinds[name] = "strings"
            data, ends = column.arrays
            np.save(folder / f"{name}.npy", data, allow_pickle=False)
            np.save(folder / f"{name}.ends.npy", ends, allow_pickle=False)
        else:
            kinds[name] = "numbers"
            np.save(folder / f"{name}.npy", column, allow_pickle=False)
    record = {
        "format": _FORMAT,
        "signature": signature,
        "rows": len(table),
        "columns": kinds,
        "facts": dict(table.facts),
    }
    (folder / _RECORD).write_text(json.dumps(record), encoding="utf-8")


def _read(folder: Path, signature: str | None) -> ScanTable | None:
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if record["format"] != _FORMAT or signature not in (None, record["signature"]):
            return None
        columns: dict[str, Column] = {}
        for name, kind in record["columns"].items():
            column: Column = _load(folder / f"{name}.npy")
            if kind == "strings":
                ends = _load(folder / f"{name}.ends.npy")
                if len(ends) and int(ends[-1]) != len(column):
                    return None
                column = Strings(column, ends)  # type: ignore[arg-type]
            if len(column) != record["rows"]:
                return None
            columns[name] = column
        return ScanTable(columns, record["facts"])
    except (OSError, ValueError, TypeError, KeyError, EOFError):
        return None


def _load(path: Path) -> NDArray[Any]:
    # An empty file cannot be mapped, and small ones are not worth a file handle each.
    mapped = path.stat().st_size > (1 << 16)
    array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    return array


def _reference(array: NDArray[Any]) -> NDArray[Any] | Path:
    """Return what stands for an array in a pickle: the path of a file that is mapped whole."""
    # A slice has the file's name, too, but its base is the array it was taken from.
    whole = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)
    return Path(array.filename) if whole and array.filename else array  # type: ignore[attr-defined]


def _array(reference: NDArray[Any] | Path) -> NDArray[Any]:
    return _load(reference) if isinstance(reference, Path) else reference


def _strings(data: NDArray[Any] | Path, ends: NDArray[Any] | Path) -> Strings:
    return Strings(_array(data), _array(ends))


def _table(
    columns: Mapping[str, Strings | NDArray[Any] | Path], facts: Mapping[str, Any]
) -> ScanTable:
    return ScanTable(
        {
            name: column if isinstance(column, Strings) else _array(column)
            for name, column in columns.items()
        },
        facts,
    )
