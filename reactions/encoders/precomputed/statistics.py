"""What is in tables of embeddings: counted in one pass, or looked at in a sample."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import MolspaceError
from reactions.core.types import Modality, SpaceSpec
from reactions.encoders.precomputed.folder import open_table
from reactions.encoders.precomputed.tables import EmbeddingFile
from reactions.encoders.spread import rms_cosine

_BLOCK_ROWS = 4096
_SAMPLE_ROWS = 1024
_SAMPLE_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """One modality of a folder of embeddings.

    Attributes:
        space: name of the space.
        modality: whose rows.
        n: rows.
        dim: their width.
        ids_from: the file or column that gives their ids; "" where they have only numbers.
        n_not_finite: rows with NaN or infinity.
        n_zero: rows of zeros.
        n_repeated: rows that are the same as an earlier one.
        first_bad: the first row that is not finite or zero; -1 for none.
        cosine: root mean squared cosine of a sample's pairs; 1 for a collapsed tower.
    """

    space: str
    modality: Modality
    n: int
    dim: int
    ids_from: str
    n_not_finite: int
    n_zero: int
    n_repeated: int
    first_bad: int
    cosine: float

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**asdict(self), "cosine": None if np.isnan(self.cosine) else self.cosine}


def statistics(spec: SpaceSpec, modality: Modality) -> TableStatistics:
    """Read every row of a table and count what is wrong with it.

    Raises:
        DataError: it cannot be read, or its ids do not fit or repeat.
    """
    table, _, where = open_table(spec, modality)
    n, dim = table.shape
    n_not_finite = n_zero = 0
    first_bad = -1
    marks = np.empty(n, np.uint64)
    for start in range(0, n, _BLOCK_ROWS):
        raw = table.read(np.arange(start, min(n, start + _BLOCK_ROWS)))
        finite = np.isfinite(raw).all(axis=1)
        zero = finite & (raw == 0).all(axis=1)
        n_not_finite += int((~finite).sum())
        n_zero += int(zero.sum())
        if first_bad < 0 and (~finite | zero).any():
            first_bad = start + int(np.argmax(~finite | zero))
        marks[start : start + len(raw)] = _marks(raw)
    return TableStatistics(
        spec.name,
        modality,
        n,
        dim,
        where,
        n_not_finite,
        n_zero,
        n - len(np.unique(marks)),
        first_bad,
        _sampled(table),
    )


def sample_cosine(spec: SpaceSpec, modality: Modality) -> tuple[float, int]:
    """Return the root mean squared cosine of a few rows of a table, and how many it has.

    Raises:
        DataError: it cannot be read.
    """
    table, _, _ = open_table(spec, modality)
    return _sampled(table), table.shape[0]


def _sampled(table: EmbeddingFile) -> float:
    """Look at blocks from the whole table: rows are often sorted by what they show."""
    n = table.shape[0]
    size = max(1, min(n, _SAMPLE_ROWS) // _SAMPLE_BLOCKS)
    starts = np.unique(np.linspace(0, n - size, _SAMPLE_BLOCKS).astype(np.int64))
    rows = np.unique((starts[:, None] + np.arange(size)).reshape(-1))
    try:
        raw = table.read(rows).astype(np.float64)
    except MolspaceError:  # a damaged row, which embedding it reports
        return float("nan")
    with np.errstate(all="ignore"):
        peak = np.abs(raw).max(axis=1, keepdims=True)
        raw = raw[(np.isfinite(peak) & (peak > 0))[:, 0]]
        raw = raw / np.abs(raw).max(axis=1, keepdims=True, initial=0.0)
        return rms_cosine(raw / np.linalg.norm(raw, axis=1, keepdims=True))


def _marks(raw: NDArray[Any]) -> NDArray[np.uint64]:
    """Return 64 bits of each row: among millions of rows no two different ones share them."""
    words = np.ascontiguousarray(raw).view(f"u{min(8, raw.dtype.itemsize)}").astype(np.uint64)
    # A factor for each place. Odd ones lose no bits modulo 2**64; + 1 makes zeros count.
    factors = np.random.default_rng(0).integers(0, 1 << 64, words.shape[1], np.uint64)
    mixed = (words + np.uint64(1)) * (factors | np.uint64(1))
    mixed ^= mixed >> np.uint64(29)
    marks: NDArray[np.uint64] = (mixed * np.uint64(0x9E3779B97F4A7C15)).sum(axis=1, dtype=np.uint64)
    return marks
