"""What a step returned, checked before it is stored."""

from __future__ import annotations

import numpy as np

from reactions.core.errors import DataError, StepError
from reactions.core.hashing import canonical
from reactions.core.step import Artifact, Rows, Step

_BLOCK_ELEMENTS = 1 << 22


def check_result(step: Step, artifact: Artifact, start: int, stop: int | None) -> None:
    """Check an artifact, or one shard of it.

    Args:
        step: what made it.
        artifact: its result.
        start: first row of the shard; 0 for a whole step.
        stop: row after the last of the shard; None for a whole step, whose arrays may have
            any number of rows.

    Raises:
        DataError: a value is not finite; the first bad row is named.
        StepError: an array has the wrong number of rows, no rows at all, or holds
            Python objects, or ``meta`` is not JSON.
    """
    for name, rows in artifact.arrays.items():
        shape, dtype = tuple(rows.shape), np.dtype(rows.dtype)
        if not shape or dtype.hasobject:
            raise _fault(step, f"array '{name}' is a {dtype} of shape {shape}")
        if stop is not None and shape[0] != stop - start:
            raise _fault(step, f"array '{name}' has {shape[0]} rows, not {stop - start}")
        bad = _first_bad_row(rows)
        if bad is not None:
            raise DataError(
                f"'{step.label}' made values that are not finite",
                why=f"row {start + bad} of '{name}' holds NaN or infinity",
                fix="look for broken inputs or weights at that row; nothing was stored",
                step=step.label,
                array=name,
                row=start + bad,
            )
    try:
        canonical(artifact.meta)
    except TypeError as error:
        raise _fault(step, f"its record (meta) is not JSON: {error}") from error


def _fault(step: Step, why: str) -> StepError:
    return StepError(
        f"'{step.label}' returned something that cannot be stored",
        why=why,
        fix="this is a fault of the step: please report it",
        step=step.label,
    )


def _first_bad_row(rows: Rows) -> int | None:
    """Return the first row with a value that is not finite, reading block by block."""
    # Only floats and complex numbers can be NaN or infinite.
    if np.dtype(rows.dtype).kind not in "fc":
        return None
    n, width = len(rows), int(np.prod(rows.shape[1:], dtype=np.int64))
    block = max(1, _BLOCK_ELEMENTS // max(1, width))
    for start in range(0, n, block):
        finite = np.isfinite(np.asarray(rows[start : start + block]))
        if not finite.all():
            by_row = finite.reshape(len(finite), -1).all(axis=1)
            # argmin: the first of the smallest values, here the first False.
            return start + int(np.argmin(by_row))
    return None
