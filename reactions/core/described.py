"""Items and the texts that describe them, by rows of two tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from reactions.core.hashing import bytes_digest, digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.core.types import Digest


@dataclass(frozen=True, eq=False)
class DescribedItems:
    """Which texts describe which items; each item has at least one.

    Attributes:
        starts: (n + 1,) int64; item i is described by ``texts[starts[i] : starts[i + 1]]``.
        texts: int64, rows of the table of distinct texts.
    """

    starts: NDArray[np.int64]
    texts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Self:
        """Return the texts of items, in order."""
        counts = [len(item_texts) for item_texts in texts]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(
            starts, np.array([text for item_texts in texts for text in item_texts], np.int64)
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def digest(self) -> Digest:
        """Digest of what describes what."""
        # Little-endian everywhere: keys do not depend on the machine.
        arrays = self.starts, self.texts
        return digest(
            "described", [bytes_digest(array.astype("<i8").tobytes()) for array in arrays]
        )

    def drawn(self, shares: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return one text of each item.

        Args:
            shares: (n,) in [0, 1): how far down the list of its texts.
        """
        counts = np.diff(self.starts)
        below = np.minimum((shares * counts).astype(np.int64), counts - 1)  # rounding may reach it
        drawn_texts: NDArray[np.int64] = self.texts[self.starts[:-1] + below]
        return drawn_texts
