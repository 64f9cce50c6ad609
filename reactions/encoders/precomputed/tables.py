"""What all tables of embeddings have in common, and the errors of other files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, DimensionMismatch, guarded
from reactions.core.npy import npy_header

FREE_BYTES = 64 << 20
"""What a file may unpack to, whatever its size."""

MAX_RATIO = 64
"""How many times its size a file may unpack to beyond that: rows of numbers hardly compress."""


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


class Selected:
    """Some rows of a table, in an order of their own.

    Args:
        table: all rows.
        rows: which.
    """

    def __init__(self, table: EmbeddingFile, rows: NDArray[np.int64]) -> None:
        self.path = table.path
        self.shape = (len(rows), table.shape[1])
        self._table = table
        self._rows = rows

    def ids(self) -> list[Any] | None:
        """Return None: the ids were read before the rows were selected."""
        return None

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Return the given rows, in the given order."""
        return self._table.read(self._rows[rows])


class Joined:
    """Several tables, one after the other.

    Raises:
        DimensionMismatch: they differ in width.
    """

    def __init__(self, path: Path, parts: Sequence[EmbeddingFile]) -> None:
        self.path = path
        self.parts = list(parts)
        for part in self.parts:
            if part.shape[1] != self.parts[0].shape[1]:
                raise DimensionMismatch(
                    f"the embeddings in '{path}' differ in width",
                    why=f"{self.parts[0].path.name} has {self.parts[0].shape[1]} dimensions, "
                    f"{part.path.name} has {part.shape[1]}",
                    fix="embed all of them with one model",
                    path=str(path),
                )
        self._starts = np.cumsum([0] + [part.shape[0] for part in self.parts])
        self.shape = (int(self._starts[-1]), self.parts[0].shape[1])

    def ids(self) -> list[Any] | None:
        """Return None: ids lie beside the parts."""
        return None

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Return the given rows, in the given order."""
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        if len(rows) and (owner == owner[0]).all():
            return self.parts[int(owner[0])].read(rows - self._starts[owner[0]])
        # Copied one after the other: views would keep all their files open.
        pieces = {
            i: (at := np.flatnonzero(owner == i), self.parts[i].read(rows[at] - start).copy())
            for i in np.unique(owner).tolist()
            for start in [self._starts[i]]
        }
        # Parts may differ in precision; a double beyond the range of a float stays what it is.
        dtype = np.result_type(np.float32, *(piece.dtype for _, piece in pieces.values()))
        out = np.empty((len(rows), self.shape[1]), dtype)
        for at, piece in pieces.values():
            out[at] = piece
        return out


def gather(array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return rows of a mapped array; rows that follow one another are a view of its pages."""
    first, n = (int(rows[0]), len(rows)) if len(rows) else (0, 0)
    if np.array_equal(rows, np.arange(first, first + n)):
        return np.asarray(array[first : first + n])
    return np.asarray(array[rows])


def shape_of(path: Path, shape: Sequence[int], dtype: str, is_float: bool) -> tuple[int, int]:
    """Return the shape of a table, (n, d).

    Raises:
        DataError: it is empty.
        DimensionMismatch: it has another number of dimensions, or holds no floats.
    """
    if len(shape) != 2:
        raise not_rows(path, f"its shape is {tuple(shape)}")
    n, d = shape
    if n == 0 or d == 0:
        raise DataError(
            f"no embeddings in '{path}'",
            why=f"its shape is {(n, d)}",
            fix="write it again, or remove it if this modality has none",
            path=str(path),
        )
    if not is_float:
        raise not_rows(path, f"its elements are {dtype}")
    return int(n), int(d)


def npy_of(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], bool, int]:
    """Read the header of an npy file, as ``npy_header`` does.

    Raises:
        DataError: it is damaged, is not an npy file, or holds more, or less, than its header says.
    """
    try:
        with path.open("rb") as stream:
            return npy_header(stream, path.stat().st_size)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def check_unpacked(path: Path, declared_bytes: int, what: str) -> None:
    """Hold the size that a compressed file declares against its own, before anything is read.

    Raises:
        DataError: it would unpack to far more than rows of different numbers could.
    """
    size_bytes = path.stat().st_size
    limit_bytes = max(FREE_BYTES, MAX_RATIO * size_bytes)
    if declared_bytes > limit_bytes:
        raise DataError(
            f"'{path}' unpacks to too much",
            why=f"{what}: {declared_bytes:,} bytes, from a file of {size_bytes:,}; "
            f"the limit is {limit_bytes:,}",
            fix="write it again; all rows may be the same",
            path=str(path),
            declared_bytes=declared_bytes,
            limit_bytes=limit_bytes,
        )


def not_rows(path: Path, why: str) -> DataError:
    """Return the error for a file of something else than rows of floats."""
    return DimensionMismatch(
        f"'{path}' is not a table of embeddings",
        why=why,
        fix="store one row of floats an item: an (n, dim) array",
        path=str(path),
    )


def reading(path: Path) -> AbstractContextManager[None]:
    """Turn whatever a library raises over a damaged file into one DataError.

    The set is open: Arrow's own errors, and Python's where it meets what no file should hold.
    """
    return guarded(lambda error: unreadable(path, error))


def unreadable(path: Path, error: Exception | str) -> DataError:
    """Return the error for a damaged file."""
    why = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"cannot read the embeddings '{path}'",
        why=why,
        fix="copy or write it again: it is damaged, or holds more than plain numbers",
        path=str(path),
    )
