"""How far apart a tower's embeddings are: one that says nearly the same of everything is broken."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import MolspaceError
from reactions.core.hashing import digest
from reactions.core.local_files import replace_file
from reactions.core.paths import cache_root
from reactions.core.types import Modality, SpaceSpec

MAX_COSINE = 0.98
"""Above, a tower has collapsed. Healthy ones were seen between 0.1 and 0.9; the known broken
checkpoint (the hub's larger_clap_music, text) is at 0.9993."""

FEWEST_ROWS = 8
"""Of fewer rows nothing is said."""

_RECORD_BYTES = 1 << 16


def rms_cosine(rows: NDArray[np.floating]) -> float:
    """Return the root of the mean squared cosine of all pairs.

    It is 1 where all rows point the same way, or along one line; ``nan`` for fewer than two.

    Args:
        rows: (n, d) unit-norm.
    """
    n, d = rows.shape
    if n < 2:
        return float("nan")
    wide = rows.astype(np.float64)
    # (d, d) or (n, n), whichever is smaller.
    gram = wide.T @ wide if d < n else wide @ wide.T
    # The sum over all pairs is the squared norm of either product; each row meets itself once.
    return float(np.sqrt(max(0.0, (np.square(gram).sum() - n) / (n * (n - 1)))))


def is_collapsed(cosine: float, n: int, dim: int) -> bool:
    """Return whether rows of this root mean squared cosine come from a collapsed tower."""
    return n >= FEWEST_ROWS and dim > 1 and cosine > MAX_COSINE


def remember(spec: SpaceSpec, modality: Modality, cosine: float) -> None:
    """Keep what an examination of an encoder found, for the plans that use it."""
    path = _record(spec, modality)
    record = {"space": spec.name, "modality": modality, "cosine": cosine}
    with contextlib.suppress(OSError):  # a note: without it nothing is said
        replace_file(path, json.dumps(record))


def remembered(spec: SpaceSpec, modality: Modality) -> float | None:
    """Return the cosine that ``remember`` kept for these weights; None without one."""
    from reactions.core.local_files import read_text_file

    try:
        cosine = json.loads(read_text_file(_record(spec, modality), _RECORD_BYTES))["cosine"]
    except (MolspaceError, OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return float(cosine) if isinstance(cosine, int | float) else None


def _record(spec: SpaceSpec, modality: Modality) -> Path:
    key = digest("spread", [spec.identity(modality), modality])
    return cache_root() / "spread" / f"{key[:24]}.json"
