"""A file of embedding centres that were made elsewhere: rows of each category, and its name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, MissingError, guarded
from reactions.core.hashing import file_digest
from reactions.core.local_files import is_file
from reactions.core.types import Digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "molspace-centres-1"
SUFFIX = ".safetensors"

_ROWS = "rows"
_UNIT_SLACK = 1e-2


@dataclass(frozen=True, slots=True)
class CentreCategory:
    """A category of a file of centres.

    Attributes:
        name: letter for letter as its maker wrote it.
        n_rows: how many rows it has, >= 1.
    """

    name: str
    n_rows: int


@dataclass(frozen=True)
class CentreFile:
    """A file of centres, its header read.

    Attributes:
        path: where it lies.
        dim: width of its rows.
        categories: in the order of its rows.
        space: whose text encoder made the rows; "" if unknown.
        source: what it was made of; "" if unknown.
    """

    path: Path
    dim: int
    categories: tuple[CentreCategory, ...]
    space: str = ""
    source: str = ""
    _spans: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name without its suffix, for tables."""
        return self.path.stem

    @cached_property
    def digest(self) -> Digest:
        """Digest of its bytes."""
        return file_digest(self.path)

    def span(self, category: str) -> tuple[int, int]:
        """Return the first row of a category, and the one after its last."""
        return self._spans[category]

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Read rows ``start`` to ``stop`` (exclusive).

        Returns:
            (stop - start, dim) float32, of about unit norm.

        Raises:
            DataError: the file is not what it was, or a row is not of unit norm.
        """
        from safetensors import safe_open

        with (
            guarded(lambda error: _unreadable(self.path, str(error))),
            safe_open(self.path, framework="numpy") as file,
        ):
            rows: NDArray[np.float32] = file.get_slice(_ROWS)[start:stop]
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        bad = np.flatnonzero(~(np.abs(norms - 1) < _UNIT_SLACK))  # NaN is bad too
        if len(bad):
            row = int(bad[0])
            raise _unreadable(self.path, f"row {start + row} has length {norms[row]:g}, not 1")
        return rows


def open_centre_file(path: Path) -> CentreFile:
    """Read the header of a file of centres.

    Raises:
        MissingError: there is no such file.
        DataError: it is damaged, or not a file of centres.
    """
    from safetensors import safe_open

    if not is_file(path):
        raise MissingError(f"no such file: {path}", path=str(path))
    with (
        guarded(lambda error: _unreadable(path, str(error))),
        safe_open(path, framework="numpy") as file,
    ):
        about = file.metadata() or {}
        if about.get("format") != FORMAT or _ROWS not in file.keys():  # noqa: SIM118  (no mapping)
            raise DataError(
                f"'{path}' is not a file of centres",
                why="it is a safetensors file of something else",
                fix="molspace kb import unibind FILE.pkl --out FILE.safetensors makes one",
                path=str(path),
            )
        part = file.get_slice(_ROWS)
        shape, dtype = tuple(part.get_shape()), part.get_dtype()
        categories = _categories(about.get("categories", ""))
    total = sum(category.n_rows for category in categories)
    if len(shape) != 2 or dtype != "F32" or shape[0] != total or not total:
        raise _unreadable(path, f"its rows are {dtype} {shape}, its categories have {total}")
    starts = [0, *accumulate(category.n_rows for category in categories)]
    spans = {
        category.name: (start, start + category.n_rows)
        for category, start in zip(categories, starts, strict=False)
    }
    return CentreFile(
        path, shape[1], categories, about.get("space", ""), about.get("source", ""), spans
    )


def write_centre_file(
    path: Path,
    rows: NDArray[np.float32],
    categories: Sequence[CentreCategory],
    *,
    space: str,
    source: str,
) -> None:
    """Write a file of centres; it appears when it is whole.

    Args:
        path: ends in ``.safetensors``.
        rows: (n, d), unit-norm, one category after the other.
        categories: distinct, in order.
        space: whose text encoder made the rows.
        source: what they were made of.
    """
    from safetensors.numpy import save

    about = {
        "format": FORMAT,
        "space": space,
        "source": source,
        "categories": json.dumps([[c.name, c.n_rows] for c in categories]),
    }
    # Together in memory, where they have been read to.
    data = save({_ROWS: np.ascontiguousarray(rows, np.float32)}, metadata=about)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _categories(text: str) -> tuple[CentreCategory, ...]:
    """Read the list of categories.

    Raises:
        ValueError: it is not a list of distinct names and counts.
    """
    listed: Any = json.loads(text)
    categories = tuple(CentreCategory(name, n_rows) for name, n_rows in listed)
    for category in categories:
        if not isinstance(category.name, str) or type(category.n_rows) is not int:
            raise ValueError("its categories are not names and counts")
        if category.n_rows < 1:
            raise ValueError(f"category '{category.name}' has {category.n_rows} rows")
    if len({category.name for category in categories}) < len(categories):
        raise ValueError("it names a category twice")
    return categories


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"cannot read the centres '{path}'",
        why=" ".join(why.split()),
        fix="import them again: molspace kb import unibind FILE.pkl",
        path=str(path),
    )
