"""Outputs of a space that an examination keeps, for later ones to compare with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.errors import DataError, StoreError
from reactions.core.local_files import replace_file
from reactions.core.types import Modality, SpaceSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_rows(path: Path) -> NDArray[np.float32] | None:
    """Return the outputs of the last time, (n, dim) float32; None if there are none.

    Raises:
        DataError: they cannot be read.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        rows = np.array(record["rows"], dtype=np.float32)
        if rows.ndim != 2:
            raise ValueError("it holds no rows")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(
            f"cannot read {path}",
            why=" ".join(str(error).split()) or type(error).__name__,
            fix="nothing was compared; to store these outputs in its place: --renew",
            path=str(path),
        ) from error
    return rows


def write_rows(path: Path, spec: SpaceSpec, modality: Modality, rows: NDArray[np.float32]) -> None:
    """Store outputs in place of those of the last time, in one move.

    Args:
        path: of the file.
        spec: the space.
        modality: of the rows.
        rows: (n, dim) float32.

    Raises:
        StoreError: they cannot be written.
    """
    # Rounding to seven digits is far below any drift that is reported.
    record = {
        "space": spec.name,
        "modality": modality,
        "rows": [[float(f"{value:.7g}") for value in row] for row in rows],
    }
    try:
        replace_file(path, json.dumps(record), prefix=".golden.")
    except OSError as error:
        raise StoreError(
            f"cannot write {path}", why=error.strerror or str(error), fix="set MOLSPACE_CACHE"
        ) from error
