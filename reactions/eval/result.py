"""A task's score as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Result:
    """One task's score, as stored.

    Attributes:
        record: metrics, n, expected, prompts, factors, notices (what of the task's data was
            left out, and why); JSON-able.
        arrays: per-item results, for resampling.
    """

    record: Mapping[str, Any]
    arrays: Mapping[str, NDArray[np.generic]] = field(repr=False)
