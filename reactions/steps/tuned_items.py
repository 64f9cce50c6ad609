"""The items of a corpus on their way through an encoder that is tuned."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import StepError
from reactions.core.left_out import LeftOut, Note, Tally, limits_of
from reactions.core.types import Corpus, Encoder, Item
from reactions.encoding.batch_size import is_out_of_memory
from reactions.encoding.items import size_bytes
from reactions.encoding.stream import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from reactions.ops.tuning import Hop

KEPT_BYTES = 2 << 30
"""Prepared items up to so much are kept from one epoch to the next, instead of decoded again."""


class CorpusItems:
    """Items, prepared ahead, through a tower and the projectors that follow it.

    Args:
        encoder: prepares the items.
        tower: of the encoder.
        hops: mixtures of projectors, innermost first.
        corpus: the items.
        device: where the tower is.
    """

    def __init__(
        self,
        encoder: Encoder,
        tower: nn.Module,
        hops: Sequence[Hop],
        corpus: Corpus,
        device: str,
    ) -> None:
        self._encoder = encoder
        self._tower = tower
        self._hops = hops
        self._corpus = corpus
        self._device = device
        self._kept_items: dict[int, Any] = {}
        self._kept_bytes = 0
        self._limits = limits_of(encoder, corpus.modality)
        self._tally = Tally()
        self._counted: set[int] = set()

    def batches(self, rows: Sequence[NDArray[np.int64]]) -> Iterator[list[Any]]:
        """Yield the prepared items of each batch."""
        missing = [
            row for batch_rows in rows for row in batch_rows.tolist() if row not in self._kept_items
        ]
        with closing(self._prepared(missing)) as prepared:
            for batch_rows in rows:
                batch = []
                for row in batch_rows.tolist():
                    value = self._kept_items.get(row)
                    if value is None:
                        value = next(prepared)
                        if self._kept_bytes < KEPT_BYTES:
                            self._kept_items[row] = value
                            self._kept_bytes += size_bytes(value)
                    batch.append(value)
                yield batch

    def embed(self, batch: Sequence[Any]) -> Tensor:
        """Embed prepared items, with gradients.

        Raises:
            StepError: they do not fit into memory.
        """
        from reactions.ops.tuning import through

        try:
            rows: Tensor = self._tower(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise StepError(
                f"{len(batch)} items at once do not fit into memory while the encoder is tuned",
                fix=f"micro_batch = {max(1, len(batch) // 2)} under [tuning] in the lab file",
            ) from error
        return through(self._hops, rows)

    def left_out(self, space: str, n_elsewhere: int) -> LeftOut:
        """Return what was left out of the items, each of which counts once.

        Args:
            space: whose encoder it is.
            n_elsewhere: further items that an interrupted run may have prepared.
        """
        counts = self._tally.of(space, self._corpus.modality, len(self._counted))
        return replace(counts, n_uncounted=counts.n_uncounted + n_elsewhere)

    def _prepared(self, rows: Sequence[int]) -> Generator[Any]:
        stream = Stream(self._encoder, device=self._device)
        with closing(stream.prepared(self._items(rows))) as entries:
            for piece in entries:
                for entry in piece:
                    self._count(rows[entry.place], entry.notes)
                    yield entry.value

    def _count(self, row: int, notes: Sequence[Note]) -> None:
        """Count what was left out of an item, which is prepared again in every epoch."""
        if row not in self._counted:
            self._counted.add(row)
            self._tally.add(self._corpus.modality, self._limits, [notes])

    @property
    def n_counted(self) -> int:
        """How many different items were prepared."""
        return len(self._counted)

    def _items(self, rows: Sequence[int]) -> Iterator[Item]:
        for row in rows:
            yield from self._corpus.items(row, row + 1)
